using System.Diagnostics;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Benchmarks.Training;

/// <summary>
/// Times a step of training (forward, backward, AdamW) of three models, on a number of threads, and the parts of it. <c>peers/train_step.py</c> does the
/// same in PyTorch.
/// </summary>
internal static class StepTable
{
    private const int Steps = 20;

    public static int Write(string dataFolder, string? only, int threads, string? profileFolder)
    {
        Console.WriteLine("| model | batch | threads | nodes | build | step | forward alone | forward and backward | AdamW |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (var (name, batch) in new[] { ("digits_resnet", 64), ("digits_mobile", 64), ("sms_encoder", 64) })
        {
            if (only is not null && only != name && only != "all")
                continue;
            Console.WriteLine($"| {name} | {batch} | {threads} | {Row(Path.Combine(dataFolder, name, $"{name}.onnx"), batch, threads, profileFolder is null ? null : Path.Combine(profileFolder, $"{name}.onnx"))} |");
        }

        return 0;
    }

    private static string Row(string path, int batch, int threads, string? keep)
    {
        using var original = OnnxModel.Load(path);
        var model = Cleanup.Run(original, new PassContext(RuntimePolicies.Get("ort-cpu"), [])).Model;
        var sample = Sample(model, batch);
        var watch = Stopwatch.StartNew();
        var logits = model.Outputs[0].Name;
        var parameters = Parameters.Of(model);
        string[] weights = [.. Trainability.Of(model, [logits], sample, []).Where(w => w.Reason is null && parameters.Contains(w.Weight)).Select(w => w.Weight)];
        var gradients = Gradients.Build(model, new(weights, [new(LossKind.Divergence, logits)], sample));
        var built = watch.Elapsed.TotalSeconds;
        if (keep is not null)
            gradients.Model.Save(keep);
        using var session = new Session(gradients.Model, new SessionSettings(Threads: threads));
        using var forward = new Session(model, new SessionSettings(Threads: threads));
        var tensors = model.Graph.Initializer.ToDictionary(t => t.Name);
        var values = weights.ToDictionary(w => w, w => Tensor.Of<float>(DataType.Float, [.. tensors[w].Dims], model.ReadFloats(tensors[w])));
        var inputs = sample.Concat(values).ToDictionary();
        inputs[gradients.Targets[0]] = forward.Run(sample)[logits];
        var optimizer = new AdamW(new AdamWOptions());
        var byOutput = gradients.Outputs.ToDictionary(o => o.Value, o => o.Key);
        var (steps, forwards, runs, updates) = (new double[Steps], new double[Steps], new double[Steps], new double[Steps]);
        for (var i = 0; i < Steps; i++)
        {
            watch.Restart();
            forward.Run(sample, [logits], (_, _, _, _) => { });
            forwards[i] = watch.Elapsed.TotalMilliseconds;
            watch.Restart();
            var update = TimeSpan.Zero;
            optimizer.NextStep(1e-4f);
            session.Run(inputs, [.. byOutput.Keys, gradients.Loss], (name, _, _, bytes) =>
            {
                if (!byOutput.TryGetValue(name, out var weight))
                    return;
                var start = watch.Elapsed;
                optimizer.Update(weight, values[weight].As<float>(), System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes));
                update += watch.Elapsed - start;
            });
            steps[i] = watch.Elapsed.TotalMilliseconds;
            updates[i] = update.TotalMilliseconds;
            runs[i] = steps[i] - updates[i];
        }

        return $"{gradients.Model.Graph.Node.Count:N0} | {built:F1} s | {Cell(steps)} | {Cell(forwards)} | {Cell(runs)} | {Cell(updates)}";
    }

    private static string Cell(double[] times)
    {
        Array.Sort(times);
        return $"{times[times.Length / 2]:F1} ms (least {times[0]:F1})";
    }

    private static Dictionary<string, Tensor> Sample(OnnxModel model, int batch)
    {
        var input = model.Inputs[0];
        long[] shape = [batch, .. input.Shape!.Skip(1)];
        var random = new Random(1);
        var count = ElementTypes.Count(shape);
        return new()
        {
            [input.Name] = input.Type == DataType.Int64
                ? Tensor.Of<long>(DataType.Int64, shape, [.. Enumerable.Range(0, (int)count).Select(_ => (long)random.Next(1, 500))])
                : Tensor.Of<float>(DataType.Float, shape, [.. Enumerable.Range(0, (int)count).Select(_ => random.NextSingle())]),
        };
    }
}
