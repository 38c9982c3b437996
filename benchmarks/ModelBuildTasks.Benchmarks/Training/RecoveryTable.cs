using System.Diagnostics;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;

namespace ModelBuildTasks.Benchmarks.Training;

/// <summary>
/// A network of digits whose weights were disturbed by noise is distilled from the undisturbed one, without labels, on the first 8,000 digits; accuracy on
/// the last 2,000 before and after.
/// </summary>
internal static class RecoveryTable
{
    public static int Write(string dataFolder, string name, int epochs) => ModelTable.WithManifest(dataFolder, manifest =>
    {
        var target = ManifestReader.Read(manifest).Targets.First(t => Path.GetFileNameWithoutExtension(t.ModelPath) == name);
        using var original = OnnxModel.Load(target.ModelPath);
        var teacher = Cleanup.Run(original, new PassContext(target.Runtime, [])).Model;
        var student = Disturbed(teacher, 0.6f);
        var train = DatasetFactory.Open(target.Calibration! with { Skip = 0, Take = 8000 }, teacher);
        var test = DatasetFactory.Open(target.Calibration! with { Skip = 8000, Take = 2000 }, teacher);
        Console.WriteLine($"teacher {Accuracy(teacher, test):P2}, disturbed {Accuracy(student, test):P2}");
        var watch = Stopwatch.StartNew();
        var result = new Trainer(student, teacher, train, new TrainerOptions { Epochs = epochs, Threads = 2 }).Run(p =>
        {
            if (p.Step % 25 == 0)
                Console.WriteLine($"step {p.Step} of {p.Steps}: loss {p.Loss:F4}, held back {p.HeldBack:F4}, {watch.Elapsed.TotalSeconds:F0} s");
        });
        Console.WriteLine($"distilled {Accuracy(result.Student, test):P2} in {result.Steps} steps and {watch.Elapsed.TotalSeconds:F0} s; loss on what was held back {result.Before:F4} -> {result.After:F4}");
        return 0;
    });

    private static OnnxModel Disturbed(OnnxModel model, float share)
    {
        var disturbed = model.Clone();
        var random = new Random(1);
        foreach (var tensor in disturbed.Graph.Initializer.Where(t => Parameters.Of(model).Contains(t.Name)).ToList())
        {
            var values = model.ReadFloats(tensor);
            var size = MathF.Sqrt(values.Average(v => v * v)) * share * MathF.Sqrt(3);
            GraphEdit.ReplaceInitializer(disturbed.Graph, tensor, disturbed.CreateTensor(tensor.Name, tensor.Dims, [.. values.Select(v => v + (size * ((2 * random.NextSingle()) - 1)))]));
        }

        return disturbed;
    }

    internal static double Accuracy(OnnxModel model, IDataset data)
    {
        using var session = new Session(model, new SessionSettings(Threads: 2));
        var (right, all) = (0, 0);
        foreach (var batch in data.Batches())
        {
            var answers = session.Run(batch.Inputs)[model.Outputs[0].Name].ToFloats().Chunk(10).Select(c => Array.IndexOf(c, c.Max()));
            right += answers.Zip(batch.Labels!).Count(p => p.First == p.Second);
            all += batch.Count;
        }

        return (double)right / all;
    }
}
