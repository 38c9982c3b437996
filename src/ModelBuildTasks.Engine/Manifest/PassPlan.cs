using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>One pass of a target.</summary>
/// <param name="Location">Where it stands in the manifest or recipe.</param>
public abstract record PassPlan(SourceLocation Location)
{
    /// <summary>The pass's key in the manifest.</summary>
    public abstract string Name { get; }
}

/// <summary><c>prune: { structure: unstructured, amount: 50% }</c>: the smallest weights of each layer become zero.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Amount">The share of a layer's weights that become zero, 0 to 1.</param>
public sealed record PrunePlan(SourceLocation Location, double Amount) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "prune";
}

/// <summary>What activations become.</summary>
public enum ActivationMode
{
    /// <summary>Static where the runtime is fast at it and there is calibration data, else dynamic or weights only: the policy's order for each operator.</summary>
    Auto,

    /// <summary>Calibrated scale and zero point (QDQ), unsigned 8 bit.</summary>
    Uint8,

    /// <summary>Scale and zero point computed at run time from each tensor's range.</summary>
    Dynamic,

    /// <summary>Activations stay float; only weights are stored in 8 bits.</summary>
    None,
}

/// <summary>How a tensor's range is found from what was observed.</summary>
public enum Calibrator
{
    /// <summary>Least and greatest value.</summary>
    MinMax,

    /// <summary>Cuts off the same share of values at both ends.</summary>
    Percentile,

    /// <summary>The range whose quantization makes the least squared error on the histogram.</summary>
    Mse,
}

/// <summary><c>quantize: { weights: int8, activations: auto, calibrator: mse }</c>.</summary>
public sealed record QuantizePlan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "quantize";

    /// <summary>What activations become.</summary>
    public ActivationMode Activations { get; init; } = ActivationMode.Auto;

    /// <summary>How ranges of activations are found.</summary>
    public Calibrator Calibrator { get; init; } = Calibrator.Mse;

    /// <summary>For <see cref="Calibrator.Percentile"/>: the share of values inside the range, in percent.</summary>
    public double Percentile { get; init; } = 99.999;

    /// <summary>One scale for each output channel of a weight instead of one for the tensor.</summary>
    public bool PerChannel { get; init; } = true;

    /// <summary>Whether biases take back the mean error of quantized weights, where there is calibration data.</summary>
    public bool BiasCorrection { get; init; } = true;
}

/// <summary>An exception for the nodes that it matches.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Operators">Operator types; empty for all.</param>
/// <param name="NamePattern">A regular expression found in the node's name, or, where it has none, in its first output's; null for all.</param>
/// <param name="Quantize">Whether the nodes may be quantized.</param>
public sealed record RulePlan(SourceLocation Location, IReadOnlyList<string> Operators, string? NamePattern, bool Quantize);
