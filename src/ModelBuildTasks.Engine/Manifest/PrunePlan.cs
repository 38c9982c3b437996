using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>What pruning removes as one.</summary>
public enum PruneStructure
{
    /// <summary>Single weights become zero.</summary>
    Unstructured,

    /// <summary>Of each M weights in a row at most N are left.</summary>
    Pattern,

    /// <summary>Blocks of weights become zero.</summary>
    Blocks,

    /// <summary>Channels go, of convolutions, feed-forward parts, recurrent layers and attention heads: tensors become smaller.</summary>
    Channels,

    /// <summary>Attention heads go.</summary>
    Heads,

    /// <summary>Residual blocks go.</summary>
    Layers,
}

/// <summary>How it is decided which weights or channels go.</summary>
public enum PruneMethod
{
    /// <summary>With calibration data <see cref="SparseGpt"/> for single weights and <see cref="Obs"/> for channels, else <see cref="Magnitude"/>.</summary>
    Auto,

    /// <summary>The least absolute values, or the least norms.</summary>
    Magnitude,

    /// <summary>The least product of weight and norm of its input (Sun et al. 2023); needs calibration data.</summary>
    Wanda,

    /// <summary>Column by column, the rest making up for the error (Frantar and Alistarh 2023); needs calibration data.</summary>
    SparseGpt,

    /// <summary>Optimal brain surgeon: what the outputs miss least after the rest has made up for it; needs calibration data.</summary>
    Obs,

    /// <summary>For channels: fluctuation of the input times the norm of its weights (An et al. 2023); needs calibration data.</summary>
    Flap,
}

/// <summary>How the amount is spread over layers.</summary>
public enum PruneAllocation
{
    /// <summary><see cref="Loss"/> where there is calibration data and the method predicts losses, else <see cref="Uniform"/>.</summary>
    Auto,

    /// <summary>The same share of each layer.</summary>
    Uniform,

    /// <summary>One threshold on scores, each layer's normalized, for all layers.</summary>
    Global,

    /// <summary>Where the predicted loss for what is saved is least.</summary>
    Loss,
}

/// <summary>How what is left makes up for what went.</summary>
public enum PruneRepair
{
    /// <summary><see cref="Refit"/> where there is calibration data, else <see cref="None"/>.</summary>
    Auto,

    /// <summary>Weights stay as they were.</summary>
    None,

    /// <summary>Biases take the mean of what went.</summary>
    Bias,

    /// <summary>Weights of the readers are fitted again by least squares, and biases.</summary>
    Refit,
}

/// <summary>What the amount counts.</summary>
public enum PruneMeasure
{
    /// <summary>Share of the weights, or of the channels, of each layer or of all.</summary>
    Amount,

    /// <summary>Share of the model's parameters that goes.</summary>
    Parameters,

    /// <summary>Share of the multiply-accumulates that goes.</summary>
    Macs,

    /// <summary>Most bytes of the model's parameters that are left, as they are stored.</summary>
    Bytes,

    /// <summary>Share of the time that goes, as the runtime's cost table predicts it.</summary>
    Latency,
}

/// <summary><c>prune: { structure: channels, macs: 30% }</c>.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Amount">How much, in what <see cref="Measure"/> says: a share, 0 to 1, or for <see cref="PruneMeasure.Bytes"/> bytes. For a <see cref="PruneStructure.Pattern"/> it says nothing.</param>
public sealed record PrunePlan(SourceLocation Location, double Amount) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "prune";

    /// <summary>What is removed as one.</summary>
    public PruneStructure Structure { get; init; }

    /// <summary>For <see cref="PruneStructure.Pattern"/> N and M; for <see cref="PruneStructure.Blocks"/> output channels and input channels of a block.</summary>
    public (int First, int Second) Shape { get; init; }

    /// <summary>What <see cref="Amount"/> counts.</summary>
    public PruneMeasure Measure { get; init; }

    /// <summary>How it is decided what goes.</summary>
    public PruneMethod Method { get; init; }

    /// <summary>How the amount is spread over layers.</summary>
    public PruneAllocation Allocation { get; init; }

    /// <summary>How what is left makes up for it; for layers nothing does.</summary>
    public PruneRepair Repair { get; init; }

    /// <summary>For zeros: how outputs are compared.</summary>
    public OutputLoss Loss { get; init; }

    /// <summary>Numbers of channels left are multiples of this where the layer had a multiple; null for what the runtime likes.</summary>
    public int? Multiple { get; init; }

    /// <summary>The largest share of one layer's channels that may go.</summary>
    public double Limit { get; init; } = 0.75;

    /// <summary>The quantization behind it, whose rounding is made up for together with the zeros; null for float weights.</summary>
    public QuantizePlan? Quantize { get; init; }

    /// <summary>Whether removed tensors have another shape, or zeros stand in their place.</summary>
    public bool RemovesShape => Structure is PruneStructure.Channels or PruneStructure.Heads or PruneStructure.Layers;
}
