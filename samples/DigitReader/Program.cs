using DigitReader;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

// The manifest calibrates with the first 200 digits; these were not seen then.
const int FirstUnseen = 200;
var digits = Digit.Load(Path.Combine(AppContext.BaseDirectory, "mnist"));

using var plain = CompressedModels.Digits.CreateSession();
using var pruned = CompressedModels.DigitsPruned.CreateSession();

var shown = digits[args.Length > 0 && int.TryParse(args[0], out var chosen) ? Math.Clamp(chosen, 0, digits.Count - 1) : FirstUnseen];
Console.WriteLine(shown.Draw());
Console.WriteLine($"Digits reads {Read(plain, shown)}, DigitsPruned reads {Read(pruned, shown)}; it is a {shown.Label}.");
Console.WriteLine();

var unseen = digits.Skip(FirstUnseen).ToList();
Print("Digits", plain, CompressedModels.Digits.Length, CompressedModels.Digits.OriginalLength);
Print("DigitsPruned", pruned, CompressedModels.DigitsPruned.Length, CompressedModels.DigitsPruned.OriginalLength);

void Print(string name, InferenceSession session, long size, long original) =>
    Console.WriteLine($"{name,-12} {size,6:N0} bytes instead of {original:N0}, {100.0 * unseen.Count(d => Read(session, d) == d.Label) / unseen.Count:F1} % of {unseen.Count} digits read");

static int Read(InferenceSession session, Digit digit)
{
    var pixels = new DenseTensor<float>(digit.Pixels, [1, 1, Digit.Side, Digit.Side]);
    using var results = session.Run([NamedOnnxValue.CreateFromTensor("Input3", pixels)]);
    var scores = results[0].AsEnumerable<float>().ToArray();
    return Array.IndexOf(scores, scores.Max());
}
