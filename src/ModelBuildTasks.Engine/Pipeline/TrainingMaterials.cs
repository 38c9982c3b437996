using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>What one pass trains on.</summary>
/// <param name="Data">The data.</param>
/// <param name="Student">The model that is trained in place of the target's, as it was read; null for the target's.</param>
internal sealed record TrainingMaterial(IDataset Data, OnnxModel? Student)
{
    /// <summary>The context of the pass.</summary>
    public PassContext Give(PassContext context, OnnxModel teacher, Workbench bench) => context with
    {
        Training = Data,
        Teacher = teacher,
        Student = Student is null ? null : bench.CleanUp(Student, context with { Progress = null }).Model,
    };
}

/// <summary>What the passes of a target train on.</summary>
internal sealed class TrainingMaterials : IDisposable
{
    private readonly List<OnnxModel> _students = [];

    private TrainingMaterials()
    {
    }

    /// <summary>For each pass of the target what it trains on; null for passes that do not train.</summary>
    public IReadOnlyList<TrainingMaterial?> ByPass { get; private init; } = [];

    /// <summary>A hash of all data and models; null when nothing is trained.</summary>
    public string? ContentHash { get; private init; }

    /// <summary>Opens data and models of the passes that train.</summary>
    /// <exception cref="ModelBuildException">A model that cannot be read, or data that does not fit.</exception>
    public static TrainingMaterials Open(TargetPlan target, OnnxModel original, IDataset? calibration, Workbench bench)
    {
        if (!target.Passes.Any(p => p is DistillPlan))
            return new();
        var (byPass, hashes, students) = (new List<TrainingMaterial?>(), new List<string>(), new List<OnnxModel>());
        foreach (var pass in target.Passes)
        {
            if (pass is not DistillPlan plan)
            {
                byPass.Add(null);
                continue;
            }

            var data = plan.Data is { } use ? bench.Open(use, original)
                : calibration ?? throw new ModelBuildException(DiagnosticCodes.DataMissing, "distill trains on data; give it a 'data', or the target a 'calibration'", plan.Location);
            var student = plan.Student is { } file ? Read(file) : null;
            if (student is not null)
                students.Add(student);
            byPass.Add(new(data, student));
            hashes.Add($"{data.ContentHash} {(plan.Student is null ? "none" : HashingFiles(student!))}");
        }

        var materials = new TrainingMaterials { ByPass = byPass, ContentHash = Hashing.ContentHash.OfText(string.Join('\n', hashes)) };
        materials._students.AddRange(students);
        return materials;
    }

    /// <inheritdoc/>
    public void Dispose() => _students.ForEach(s => s.Dispose());

    private static OnnxModel Read(ModelFile file)
    {
        try
        {
            return OnnxModel.Load(file.Path);
        }
        catch (ModelBuildException e)
        {
            throw e.At(file.Location);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelBuildException(DiagnosticCodes.FileNotFound, $"the student '{file.Path}' cannot be read: {e.Message}", file.Location, e);
        }
    }

    private static string HashingFiles(OnnxModel student) => Hashing.ContentHash.OfFiles(student.Payloads.Files, CancellationToken.None);
}
