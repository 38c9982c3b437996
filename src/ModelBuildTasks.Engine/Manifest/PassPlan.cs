using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>One pass of a target.</summary>
/// <param name="Location">Where it stands in the manifest or recipe.</param>
public abstract record PassPlan(SourceLocation Location)
{
    /// <summary>The pass's key in the manifest.</summary>
    public abstract string Name { get; }
}

/// <summary>What activations become.</summary>
public enum ActivationMode
{
    /// <summary>Static where the runtime is fast at it and there is calibration data, else dynamic or weights only: the policy's order for each operator.</summary>
    Auto,

    /// <summary>Calibrated scale and zero point (QDQ), 8 bit of the signedness that the runtime wants.</summary>
    Uint8,

    /// <summary>Scale and zero point computed at run time from each tensor's range.</summary>
    Dynamic,

    /// <summary>Activations stay float; only weights are stored in 8 bits.</summary>
    None,

    /// <summary>Calibrated scale and zero point (QDQ), 16 bit, where the runtime has that.</summary>
    Uint16,
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

    /// <summary>The mean of the samples' least and of their greatest values.</summary>
    MeanMinMax,

    /// <summary>The threshold whose quantized histogram has the least Kullback-Leibler divergence from the one seen.</summary>
    Entropy,

    /// <summary>The fixed point at which the noise of clipping and of rounding balance (Sakr et al. 2022).</summary>
    Octav,

    /// <summary>For each tensor the calibrator of the least predicted error at the operators that read it.</summary>
    Auto,
}

/// <summary><c>quantize: { weights: int8, activations: auto, calibrator: mse }</c>.</summary>
public sealed record QuantizePlan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "quantize";

    /// <summary>Weights of another width than 8 bits, with float arithmetic; null for 8 bits.</summary>
    public BitsPlan? Bits { get; init; }

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

    /// <summary>Whether weights are rounded for the least change of their nodes' outputs, where there is calibration data, instead of to nearest.</summary>
    public bool AdaRound { get; init; } = true;

    /// <summary>
    /// With <see cref="ActivationMode.Auto"/> and calibration data: the signal-to-noise ratio of the outputs, in dB, below which precision is
    /// given back whatever it costs. Above it only what is cheap is given back. At 20, a detector of depthwise convolutions keeps the speed that 8
    /// bits are for; at 25 two thirds of its operators left them for 3 dB, and no other measured model changed.
    /// </summary>
    public double MinimumSqnr { get; init; } = 20;

    /// <summary>
    /// With <see cref="ActivationMode.Auto"/> and calibration data: the share of multiply-accumulates, 0 to 1, that stays in 8-bit arithmetic
    /// where it can be, whatever it costs in precision or time.
    /// </summary>
    public double IntegerMacs { get; init; }

    /// <summary>Whether cross-layer equalization and high-bias absorption are tried, where there is calibration data.</summary>
    public bool Equalization { get; init; } = true;

    /// <summary>Whether SmoothQuant is tried, where there is calibration data.</summary>
    public bool SmoothQuant { get; init; } = true;
}

/// <summary><c>float16: { compute: false, keep_io: true }</c>.</summary>
public sealed record Float16Plan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "float16";

    /// <summary>Whether the graph computes in float16, or weights are only stored so; null for what the runtime is made for.</summary>
    public bool? Compute { get; init; }

    /// <summary>For arithmetic in float16: whether inputs and outputs of the model stay float32.</summary>
    public bool KeepIo { get; init; } = true;
}

/// <summary>How clustered weights are found.</summary>
public enum ClusterMethod
{
    /// <summary><see cref="Gram"/> where there is calibration data, else <see cref="KMeans"/>.</summary>
    Auto,

    /// <summary>Optimal one-dimensional k-means; with calibration data weighted by what the weights are multiplied with.</summary>
    KMeans,

    /// <summary>Codes for the least error of outputs and palettes that fit them, in turns; needs calibration data.</summary>
    Gram,
}

/// <summary><c>cluster: { bits: 6 }</c> or <c>cluster: { entropy: 5.5 }</c>: weights of few distinct values.</summary>
/// <param name="Location">Where it stands.</param>
public sealed record ClusterPlan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "cluster";

    /// <summary>Bits of a code: a palette has at most 2^bits values.</summary>
    public int Bits { get; init; } = 6;

    /// <summary>Evenly spaced values instead of palettes, in so many bits a weight on average behind an ideal entropy coder; null for palettes.</summary>
    public double? Entropy { get; init; }

    /// <summary>Output channels that share a palette; 0 for the whole tensor.</summary>
    public int Channels { get; init; }

    /// <summary>How values and codes are found.</summary>
    public ClusterMethod Method { get; init; } = ClusterMethod.Auto;
}

/// <summary><c>store</c>: each tensor in the form that takes the fewest bytes.</summary>
/// <param name="Location">Where it stands.</param>
public sealed record StorePlan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "store";

    /// <summary>The largest error of a value, relative to the largest of its tensor; 0 for none.</summary>
    public double Tolerance { get; init; }
}

/// <summary>An exception: for the nodes that it matches, or, with <see cref="TensorPattern"/>, for the values that it matches.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Operators">Operator types; empty for all.</param>
/// <param name="NamePattern">A regular expression found in the node's name, or, where it has none, in its first output's; null for all.</param>
/// <param name="Quantize">Whether the nodes may be quantized.</param>
public sealed record RulePlan(SourceLocation Location, IReadOnlyList<string> Operators, string? NamePattern, bool Quantize)
{
    /// <summary>Whether the nodes' weights may be pruned; null for a rule that says nothing of it.</summary>
    public bool? Prune { get; init; }

    /// <summary>The form that the nodes get; null for what the passes choose.</summary>
    public QuantizedForm? Form { get; init; }

    /// <summary>Nodes or values behind which the nodes lie; empty for no such limit.</summary>
    public IReadOnlyList<string> From { get; init; } = [];

    /// <summary>Nodes or values in front of which the nodes lie; empty for no such limit.</summary>
    public IReadOnlyList<string> To { get; init; } = [];

    /// <summary>A regular expression found in the names of the values whose <see cref="Range"/> or <see cref="Type"/> is fixed; null for a rule about nodes.</summary>
    public string? TensorPattern { get; init; }

    /// <summary>Least and greatest value that the matching values are quantized for, against what calibration finds.</summary>
    public (double Min, double Max)? Range { get; init; }

    /// <summary>The type that the matching values are quantized to, one that the runtime has; null for the usual one.</summary>
    public Onnx.TensorProto.Types.DataType? Type { get; init; }
}
