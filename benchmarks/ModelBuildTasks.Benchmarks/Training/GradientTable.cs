using System.Diagnostics;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Benchmarks.Training;

/// <summary>
/// Builds and runs the gradients of every model of <c>models.yaml</c> on one batch of its data, all weights trained at once, and holds them against
/// the difference of the loss along the gradient. The loss is the squared distance of all float outputs from disturbed ones.
/// </summary>
internal static class GradientTable
{
    public static int Write(string dataFolder, string? only)
    {
        Console.WriteLine("| model | weights trained | of | parameters | nodes | with gradients | build | step | derivative | error |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        var failed = false;
        ModelTable.WithManifest(dataFolder, manifest =>
        {
            foreach (var target in ManifestReader.Read(manifest).Targets.DistinctBy(t => t.ModelPath).Where(t => only is null || t.Name == only))
            {
                try
                {
                    Console.WriteLine($"| {target.Name} | {Row(target)} |");
                }
                catch (ModelBuildException e)
                {
                    failed = true;
                    Console.WriteLine($"| {target.Name} | {e.Message.ReplaceLineEndings(" ")} |");
                }
            }

            return 0;
        });
        return failed ? 1 : 0;
    }

    private static string Row(TargetPlan target)
    {
        using var original = OnnxModel.Load(target.ModelPath);
        var model = Cleanup.Run(original, new PassContext(target.Runtime, [])).Model;
        if (model.Outputs.All(o => o.Type == DataType.Float16) && WideArithmetic.Apply(model) is { } wide)
        {
            // A model in float16 is trained in float32: its outputs in front of their Casts.
            model = wide;
            var index = new GraphIndex(model, model.Graph);
            model.Graph.Output.AddRange(model.Outputs.Select(o => new ValueInfoProto { Name = DefaultTerms.Compared(index, o) }).ToList());
        }

        var sample = Floats(model, DatasetFactory.Open(target.Calibration!, model).Batches().First().Inputs);
        string[] constants = [.. model.Inputs.Where(i => i.Type == DataType.Int64 && i.Shape is { Length: 0 }).Select(i => i.Name)];
        if (model.Graph.Node.Any(n => n.Bodies().Any()))
            model = TrainingForm.Of(model, [], sample, constants);
        var watch = Stopwatch.StartNew();
        string[] outputs = [.. model.Outputs.Where(o => o.Type is DataType.Float or DataType.Undefined).Select(o => o.Name)];
        if (outputs.Length == 0)
            return "no float32 output";
        var all = Trainability.Of(model, outputs, sample, constants);
        var parameters = Parameters.Of(model);
        string[] weights = [.. all.Where(w => w.Reason is null && parameters.Contains(w.Weight)).Select(w => w.Weight)];
        var (terms, targets) = Loss(model, outputs, sample);
        var gradients = Gradients.Build(model, new(weights, terms, sample) { Constants = constants });
        var built = watch.Elapsed.TotalSeconds;

        var tensors = model.Graph.Initializer.ToDictionary(t => t.Name);
        var values = weights.ToDictionary(w => w, w => Tensor.Of<float>(DataType.Float, [.. tensors[w].Dims], model.ReadFloats(tensors[w])));
        var inputs = sample.Where(s => !constants.Contains(s.Key)).Concat(values).ToDictionary();
        foreach (var (term, input) in gradients.Targets.Select((t, i) => (terms[i], t)))
            inputs[input] = targets[term.Value];
        using var session = new Session(gradients.Model, new SessionSettings(Threads: 2));
        var result = session.Run(inputs);
        watch.Restart();
        session.Run(inputs, [.. result.Keys], (_, _, _, _) => { });
        var step = watch.Elapsed.TotalMilliseconds;

        var moved = gradients.Outputs.ToDictionary(o => o.Key, o => result[o.Value].ToFloats());
        var slope = Math.Sqrt(moved.Values.Sum(g => g.Sum(v => (double)v * v)));
        // The model itself with its weights as inputs, not the training form, and the loss summed in double.
        var free = model.Clone();
        foreach (var weight in weights)
        {
            free.Graph.Initializer.Remove(free.Graph.Initializer.First(t => t.Name == weight));
            free.Graph.Input.Add(new ValueInfoProto { Name = weight, Type = TrainingForm.TypeOf(DataType.Float, tensors[weight].Dims) });
        }

        using var itself = new Session(free, new SessionSettings(Threads: 2));
        double at(Dictionary<string, Tensor> values)
        {
            var answers = itself.Run(sample.Where(s => free.Graph.Input.Any(i => i.Name == s.Key)).Concat(values).ToDictionary(), outputs);
            return terms.Sum(t => t.Weight * answers[t.Value].ToFloats().Zip(targets[t.Value].ToFloats(), (y, z) => ((double)y - z) * ((double)y - z)).Average());
        }

        var error = new[] { 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6 }.Min(share => Error(at, values, moved, slope, share * result[gradients.Loss].As<float>()[0] / slope));
        return $"{weights.Length} | {all.Count} | {values.Values.Sum(v => v.Count):N0} | {model.Graph.Node.Count:N0} | {gradients.Model.Graph.Node.Count:N0} | {built:F1} s | {step:F1} ms | {slope:G4} | {error:P2}{Reasons(all)}";
    }

    private static string Reasons(IReadOnlyList<Trainability> all) =>
        string.Concat(all.Where(w => w.Reason is not null).GroupBy(w => w.Reason).Select(g => $" ({g.Count()}: {g.Key})"));

    /// <summary>The relative difference between the slope along the gradient and the difference of the loss over a step of a given length.</summary>
    private static double Error(Func<Dictionary<string, Tensor>, double> loss, Dictionary<string, Tensor> weights, Dictionary<string, float[]> gradient, double slope, double step)
    {
        double at(double length) => loss(weights.ToDictionary(w => w.Key, w => !gradient.TryGetValue(w.Key, out var g) ? w.Value
            : Tensor.Of<float>(DataType.Float, w.Value.Shape, [.. w.Value.ToFloats().Select((v, i) => (float)(v + (length / slope * g[i])))])));
        return Math.Abs(((at(step) - at(-step)) / (2 * step)) - slope) / slope;
    }

    private static (List<LossTerm> Terms, Dictionary<string, Tensor> Targets) Loss(OnnxModel model, string[] outputs, IReadOnlyDictionary<string, Tensor> sample)
    {
        using var session = new Session(model, new SessionSettings());
        var terms = new List<LossTerm>();
        var targets = new Dictionary<string, Tensor>();
        foreach (var (name, tensor) in session.Run(sample.Where(i => model.Graph.Input.Any(given => given.Name == i.Key)).ToDictionary(), outputs))
        {
            var values = tensor.ToFloats();
            var size = Math.Sqrt(values.Average(v => (double)v * v)) + 1e-6;
            var random = new Random(values.Length);
            targets[name] = Tensor.Of<float>(DataType.Float, tensor.Shape, [.. values.Select(v => (float)(v + (size * ((random.NextDouble() * 2) - 1))))]);
            terms.Add(new(LossKind.SquaredError, name) { Weight = (float)(1 / (size * size)) });
        }

        return (terms, targets);
    }

    private static Dictionary<string, Tensor> Floats(OnnxModel model, IReadOnlyDictionary<string, Tensor> inputs) => model.Inputs.ToDictionary(i => i.Name, i => inputs[i.Name]);
}
