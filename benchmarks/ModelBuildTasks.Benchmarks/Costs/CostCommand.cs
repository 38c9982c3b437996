using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>Measures the cost table of ONNX Runtime on this machine, and compares the shipped one with real models.</summary>
internal static class CostCommand
{
    private static readonly TimeSpan s_burst = TimeSpan.FromMilliseconds(25);

    /// <summary>Times synthetic chains in every form, fits the table and prints it with the errors of the fit.</summary>
    public static int Measure(int rounds)
    {
        var runtime = RuntimePolicies.Get("ort-cpu");
        var variants = SyntheticModels.All().SelectMany(m => Variant.Of(m.Name, m.Model, runtime, FirstBatches.Random(m.Model), (_, _) => Forms(m.Model))).ToList();
        Console.Error.WriteLine($"{variants.Count} models");
        Time(variants, rounds, s_burst);
        var table = CostFit.Fit(variants);
        foreach (var variant in variants)
            Console.WriteLine($"# {variant.Least / 1000,9:F1} us  predicted {variant.Predict(table) / variant.Least,5:F2}  {variant.Name}");
        var errors = variants.Select(v => Math.Abs(Math.Log(v.Predict(table) / v.Least))).Order().ToList();
        Console.WriteLine($"# error: median {Math.Exp(errors[errors.Count / 2]) - 1:P0}, 90 % within {Math.Exp(errors[errors.Count * 9 / 10]) - 1:P0}");
        Console.WriteLine(CostFit.Yaml(table));
        return 0;
    }

    /// <summary>Prints predicted and measured latency of int8 in the policy's preferred forms against float, for the models of <c>models.yaml</c>.</summary>
    public static int Check(string manifest, string? only)
    {
        var plan = ManifestReader.Read(manifest);
        var wrong = 0;
        Console.WriteLine("| model | float µs | predicted | int8 µs | predicted | ratio | predicted |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|");
        foreach (var target in plan.Targets.Where(t => only is null || t.Name == only))
        {
            using var original = OnnxModel.Load(target.ModelPath);
            var data = FirstBatches.Of(DatasetFactory.Open(target.Calibration!, original));
            var cleaned = Cleanup.Run(original, new PassContext(target.Runtime, [])).Model;
            var variants = Variant.Of(target.Name, cleaned, target.Runtime, data, (quantize, context) => [("int8", new FormSelection(cleaned, quantize, context).Choose())]).ToList();
            Time(variants, 8, 8 * s_burst);
            var (real, quantized) = (variants[0], variants[1]);
            var costs = target.Runtime.Costs;
            double measured = quantized.Least / real.Least, predicted = quantized.Predict(costs) / real.Predict(costs);
            var agrees = measured switch { > 1.03 => predicted > 1, < 0.9 => predicted < 1, _ => true };
            wrong += agrees ? 0 : 1;
            Console.WriteLine($"| {target.Name} | {real.Least / 1000:F0} | {real.Predict(costs) / 1000:F0} | {quantized.Least / 1000:F0} | {quantized.Predict(costs) / 1000:F0} | {measured:F2} | {predicted:F2}{(agrees ? "" : " WRONG SIDE")} |");
            variants.ForEach(v => v.Dispose());
        }

        return wrong == 0 ? 0 : 1;
    }

    // Interleaved rounds: what else runs on the machine does not hit one model alone, and the least time is nearly free of it.
    private static void Time(IReadOnlyList<Variant> variants, int rounds, TimeSpan burst)
    {
        for (var round = 0; round < rounds; round++)
        {
            foreach (var variant in variants)
                variant.Time(burst);
        }
    }

    private static IEnumerable<(string, IReadOnlyList<FormChoice>)> Forms(OnnxModel model)
    {
        var index = new GraphIndex(model, model.Graph);
        List<FormChoice> Choices(QuantizedForm form, params string[] operators) =>
            [.. model.Graph.Node.Where(n => operators.Contains(n.OpType)).Select(n => new FormChoice(model.Graph, n, NodeWeight.Of(n, index), form, "") { Options = [new(form, "")] })];

        if (Choices(QuantizedForm.Static, "Conv", "MatMul", "Gemm") is { Count: > 0 } fixedRange)
            yield return ("static", fixedRange);
        if (Choices(QuantizedForm.Dynamic, "MatMul", "Gemm") is { Count: > 0 } dynamic)
            yield return ("dynamic", dynamic);
    }
}
