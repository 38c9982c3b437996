using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>How the outputs of student and teacher are compared.</summary>
public enum OutputLoss
{
    /// <summary>Scores where a Softmax reads them or a matrix product gives them, else values.</summary>
    Auto,

    /// <summary>As scores of classes along the last axis: the divergence of their probabilities, which adding a number to all of them does not change.</summary>
    Scores,

    /// <summary>As values: the mean squared error.</summary>
    Values,
}

/// <summary>How values inside student and teacher are compared.</summary>
public enum HiddenLoss
{
    /// <summary>The mean squared error.</summary>
    Mse,

    /// <summary>One minus the cosine of the angle between the vectors along the last axis.</summary>
    Cosine,
}

/// <summary>Values inside student and teacher that are compared. They may differ in one width: then a learned matrix stands between.</summary>
/// <param name="Student">The student's value.</param>
/// <param name="Teacher">The teacher's value.</param>
public sealed record HiddenPair(string Student, string Teacher)
{
    /// <summary>Values of the same name.</summary>
    public HiddenPair(string name) : this(name, name)
    {
    }
}

/// <summary>How a student is trained.</summary>
public enum DistillMethod
{
    /// <summary>All weights together, by what the model answers.</summary>
    EndToEnd,

    /// <summary>Block by block, from the inputs on, each by what the teacher has at the block's end (Li et al.: BRECQ, 2021).</summary>
    Blockwise,
}

/// <summary>A model file that a manifest names besides the target's own.</summary>
/// <param name="Location">Where it is named.</param>
/// <param name="Path">Full path.</param>
public sealed record ModelFile(SourceLocation Location, string Path);

/// <summary>
/// <c>distill: { data: digits, epochs: 2 }</c>: the model is trained to answer like the original (Hinton, Vinyals, Dean: Distilling the
/// Knowledge in a Neural Network, 2015).
/// </summary>
/// <param name="Location">Where it stands.</param>
public sealed record DistillPlan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "distill";

    /// <summary>What is trained on; null for the target's calibration data.</summary>
    public DatasetUse? Data { get; init; }

    /// <summary>How the student is trained.</summary>
    public DistillMethod Method { get; init; }

    /// <summary>Times that the data is gone through, for each block where it is trained block by block; null for 2, and 50 block by block.</summary>
    public int? Epochs { get; init; }

    /// <summary>Steps at most; null for what the epochs take.</summary>
    public int? Steps { get; init; }

    /// <summary>Samples in a step.</summary>
    public int Batch { get; init; } = 64;

    /// <summary>The highest learning rate.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>The share of the learning rate by which weights shrink in a step; biases do not.</summary>
    public double WeightDecay { get; init; } = 0.01;

    /// <summary>The share of steps, 0 to 1, in which the learning rate rises.</summary>
    public double WarmUp { get; init; } = 0.05;

    /// <summary>What scores are divided by on both sides before they are compared.</summary>
    public double Temperature { get; init; } = 2;

    /// <summary>How the outputs of student and teacher are compared.</summary>
    public OutputLoss Loss { get; init; }

    /// <summary>The share of the loss, 0 to 1, that the data's labels have; the rest has the teacher.</summary>
    public double Labels { get; init; }

    /// <summary>Values inside the models that are compared, too.</summary>
    public IReadOnlyList<HiddenPair> Hidden { get; init; } = [];

    /// <summary>Whether values that have the same name and shape in both models are looked for and compared.</summary>
    public bool HiddenAuto { get; init; }

    /// <summary>How these values are compared.</summary>
    public HiddenLoss HiddenLoss { get; init; }

    /// <summary>The factor before the mean of their losses.</summary>
    public double HiddenWeight { get; init; } = 1;

    /// <summary>The share of samples, 0 to 1, that is held back to see which weights are best.</summary>
    public double HeldBack { get; init; } = 0.1;

    /// <summary>Epochs without a better loss on what is held back after which training ends.</summary>
    public int Patience { get; init; } = 5;

    /// <summary>The seed of the order of samples, and of new weights.</summary>
    public int Seed { get; init; }

    /// <summary>Bytes that a step may take: activations that do not fit are computed again on the way back.</summary>
    public long Memory { get; init; } = 4_000_000_000;

    /// <summary>Another model that takes the place of the target's; null for the target's own.</summary>
    public ModelFile? Student { get; init; }

    /// <summary>The quantization behind the training, whose stored weights are trained; null for float weights.</summary>
    public QuantizePlan? Quantize { get; init; }

    /// <summary>What becomes zero while the student is trained: single weights, a pattern or blocks; null for nothing.</summary>
    public PrunePlan? Prune { get; init; }

    /// <summary>The share of the steps, above 0 to 1, in which these zeros grow; in the rest they stay.</summary>
    public double PruneUntil { get; init; } = 0.5;

    /// <summary>The runs of a stream through which a gradient goes; null for <see cref="DefaultWindow"/>, and for data without outputs that are fed back.</summary>
    public int? Window { get; init; }

    /// <summary>Runs of a stream through which a gradient goes where nobody says it.</summary>
    public const int DefaultWindow = 8;

    /// <summary>Whether the student's weights are drawn anew.</summary>
    public bool Scratch { get; init; }
}
