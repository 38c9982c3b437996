namespace ModelBuildTasks.Engine.Autodiff.Losses;

/// <summary>One summand of a loss.</summary>
/// <param name="Kind">How the value is compared.</param>
/// <param name="Value">The value of the model that is compared: an output or any float32 value inside.</param>
internal sealed record LossTerm(LossKind Kind, string Value)
{
    /// <summary>The value of the teacher that it is compared with, where that has another name; null for the same name.</summary>
    public string? Reference { get; init; }

    /// <summary>The factor before the summand.</summary>
    public float Weight { get; init; } = 1;

    /// <summary>For <see cref="LossKind.Divergence"/>: logits are divided by this on both sides, and the term is multiplied by its square.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>The axis of the classes or of the vectors that are compared.</summary>
    public int Axis { get; init; } = -1;
}

/// <summary>How a value is compared with what it should be.</summary>
internal enum LossKind
{
    /// <summary>The Kullback-Leibler divergence of softmax(value / T) from softmax(target / T), times T², meaned over positions (Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015).</summary>
    Divergence,

    /// <summary>The mean of (value - target)².</summary>
    SquaredError,

    /// <summary>One minus the cosine of the angle between the vectors along the axis, meaned over positions.</summary>
    Cosine,

    /// <summary>The negative logarithm of softmax(value) at the label, meaned over positions.</summary>
    CrossEntropy,
}
