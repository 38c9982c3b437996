using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;
using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Benchmarks.Training;

/// <summary>
/// Networks of digits with weights of few bits, first and last layer in 8 bits: rounded, and distilled with the rounding in the loop, without labels, on
/// the first 8,000 digits; accuracy on the last 2,000, and the size of the file.
/// </summary>
internal static class FewBitsTable
{
    private static readonly Dictionary<string, BitsPlan?> _weights = new()
    {
        ["int8"] = null,
        ["int4"] = new(4) { Symmetric = true },
        ["uint4"] = new(4),
        ["int3"] = new(3) { Symmetric = true },
        ["uint2"] = new(2),
        ["int2"] = new(2) { Symmetric = true },
        ["ternary"] = new(2) { Symmetric = true, Ternary = true },
        ["binary"] = new(1) { Symmetric = true },
        ["binary-2"] = new(1) { Symmetric = true, Planes = 2 },
    };

    public static int Write(string dataFolder, string[] options) => ModelTable.WithManifest(dataFolder, manifest =>
    {
        string option(int i, string otherwise) => options.ElementAtOrDefault(i) is { } value and not "all" ? value : otherwise;
        string[] models = option(0, "") is { Length: > 0 } one ? [one] : ["digits_resnet", "digits_mobile"];
        string[] weights = option(1, "") is { Length: > 0 } form ? form.Split(',') : ["int4", "uint2", "ternary", "binary"];
        var (epochs, rate) = (int.Parse(option(2, "15"), CultureInfo.InvariantCulture), float.Parse(option(3, "0.001"), CultureInfo.InvariantCulture));
        var targets = ManifestReader.Read(manifest).Targets;
        foreach (var model in models)
        {
            foreach (var word in weights)
                Measure(targets.First(t => Path.GetFileNameWithoutExtension(t.ModelPath) == model), word, epochs, rate);
        }

        return 0;
    });

    private static void Measure(TargetPlan target, string word, int epochs, float rate)
    {
        using var original = OnnxModel.Load(target.ModelPath);
        var teacher = Cleanup.Run(original, new PassContext(target.Runtime, [])).Model;
        var train = DatasetFactory.Open(target.Calibration! with { Skip = 0, Take = 8000 }, teacher);
        var test = DatasetFactory.Open(target.Calibration! with { Skip = 8000, Take = 2000 }, teacher);
        var plan = new QuantizePlan(default(SourceLocation)) { Activations = ActivationMode.None, Bits = _weights[word] };
        var context = new PassContext(target.Runtime, Ends(teacher)) { Threads = 2 };

        var rounded = Quantize.Run(teacher, plan, context).Model;
        var watch = Stopwatch.StartNew();
        var options = new TrainerOptions { Epochs = epochs, Rate = rate, Threads = 2, Patience = epochs, Quantizer = FakeQuantizer.Of(teacher, plan, context) };
        var result = new Trainer(teacher, teacher, train, options).Run(p =>
        {
            if (p.Step % 112 == 0)
                Console.Error.WriteLine($"step {p.Step} of {p.Steps}: loss {p.Loss:F4}, held back {p.HeldBack:F4}, {watch.Elapsed.TotalSeconds:F0} s");
        });
        var seconds = watch.Elapsed.TotalSeconds;
        var stored = Quantize.Run(result.Student, plan, context).Model;
        var (before, after) = (new FileInfo(target.ModelPath).Length, stored.ToBytes().Length);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"| {Path.GetFileNameWithoutExtension(target.ModelPath)} | {word} | {RecoveryTable.Accuracy(teacher, test):P2} | {RecoveryTable.Accuracy(rounded, test):P2} | {RecoveryTable.Accuracy(result.Student, test):P2} | {RecoveryTable.Accuracy(stored, test):P2} | {after:N0} B, 1/{(double)before / after:F1} | {result.Steps} steps, {seconds:F0} s |"));
    }

    /// <summary>8 bits for the first and the last node that has a weight.</summary>
    private static List<RulePlan> Ends(OnnxModel model)
    {
        var index = new GraphIndex(model, model.Graph);
        var weighted = model.Graph.Node.Where(n => NodeWeight.Of(n, index).Count > 0).ToList();
        return [.. new[] { weighted[0], weighted[^1] }.Select(n => new RulePlan(default, [], $"^{Regex.Escape(n.DisplayName())}$", true) { Form = QuantizedForm.Weights })];
    }
}
