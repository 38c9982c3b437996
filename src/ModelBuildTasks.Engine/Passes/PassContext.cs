using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>What a pass may know besides the model and its own options.</summary>
/// <param name="Runtime">What the artifact's runtime can execute.</param>
/// <param name="Rules">Exceptions by operator and name; the last match wins.</param>
public sealed record PassContext(RuntimePolicy Runtime, IReadOnlyList<RulePlan> Rules)
{
    /// <summary>Calibration data that fits the model, or null.</summary>
    public IDataset? Calibration { get; init; }

    /// <summary>For passes that train: what they train on, where that is not the calibration data.</summary>
    public IDataset? Training { get; init; }

    /// <summary>For passes that train: the cleaned-up original, which the model learns from.</summary>
    public OnnxModel? Teacher { get; init; }

    /// <summary>For passes that train another model in the place of this one: that model, cleaned up.</summary>
    public OnnxModel? Student { get; init; }

    /// <summary>Runs the calibration data through a model and remembers what was seen; without a folder it remembers nothing.</summary>
    internal StatisticsStore Statistics { get; init; } = new(null);

    /// <summary>Threads to use; the result does not depend on it.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Whether the package is entropy-coded: then bytes count behind the encoder.</summary>
    public bool Encoded { get; init; }

    /// <summary>Told about the share of work done, 0 to 1.</summary>
    public Action<double>? Progress { get; init; }

    /// <summary>Told the same in words, by passes that have more to say than the share.</summary>
    public Action<string, double>? ProgressText { get; init; }

    /// <summary>Ends passes that take long, without a result.</summary>
    public CancellationToken Cancellation { get; init; }
}
