using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>What a pass may know besides the model and its own options.</summary>
/// <param name="Runtime">What the artifact's runtime can execute.</param>
/// <param name="Rules">Exceptions by operator and name; the last match wins.</param>
public sealed record PassContext(RuntimePolicy Runtime, IReadOnlyList<RulePlan> Rules)
{
    /// <summary>Calibration data that fits the model, or null.</summary>
    public IDataset? Calibration { get; init; }

    /// <summary>Runs the calibration data through a model and remembers what was seen; without a folder it remembers nothing.</summary>
    internal StatisticsStore Statistics { get; init; } = new(null);

    /// <summary>Threads to use; the result does not depend on it.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Whether the package is entropy-coded: then bytes count behind the encoder.</summary>
    public bool Encoded { get; init; }

    /// <summary>Told about the share of work done, 0 to 1.</summary>
    public Action<double>? Progress { get; init; }
}
