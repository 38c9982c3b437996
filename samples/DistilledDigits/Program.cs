using DistilledDigits;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

// The manifest trains on the first 750 digits; neither model has seen these.
const int FirstUnseen = 750;
var unseen = Digit.Load(Path.Combine(AppContext.BaseDirectory, "digits")).Skip(FirstUnseen).ToList();

using var original = new InferenceSession(Path.Combine(AppContext.BaseDirectory, "models", "digits_resnet.onnx"));
using var distilled = CompressedModels.Digits.CreateSession();
Print("original", original, CompressedModels.Digits.OriginalLength);
Print("distilled", distilled, CompressedModels.Digits.Length);

void Print(string name, InferenceSession session, long size) =>
    Console.WriteLine($"{name,-10} {size,9:N0} bytes, {100.0 * unseen.Count(d => Read(session, d) == d.Label) / unseen.Count:F1} % of {unseen.Count} digits read");

static int Read(InferenceSession session, Digit digit)
{
    var pixels = new DenseTensor<float>(digit.Pixels, [1, 1, Digit.Side, Digit.Side]);
    using var results = session.Run([NamedOnnxValue.CreateFromTensor("image", pixels)]);
    var scores = results[0].AsEnumerable<float>().ToArray();
    return Array.IndexOf(scores, scores.Max());
}
