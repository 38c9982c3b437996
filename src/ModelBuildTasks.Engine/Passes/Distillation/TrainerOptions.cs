using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>How a student is trained.</summary>
internal sealed record TrainerOptions
{
    /// <summary>What is compared; empty for what <see cref="DefaultTerms"/> finds.</summary>
    public IReadOnlyList<LossTerm> Terms { get; init; } = [];

    /// <summary>The weights that are trained; empty for all that look like parameters and can be.</summary>
    public IReadOnlyList<string> Weights { get; init; } = [];

    /// <summary>Inputs that have the same value in every sample, such as a sampling rate.</summary>
    public IReadOnlyCollection<string> Constants { get; init; } = [];

    /// <summary>Times that the data is gone through.</summary>
    public int Epochs { get; init; } = 2;

    /// <summary>Steps at most, or null for what the epochs take.</summary>
    public int? Steps { get; init; }

    /// <summary>Samples in a step.</summary>
    public int Batch { get; init; } = 64;

    /// <summary>The highest learning rate.</summary>
    public float Rate { get; init; } = 1e-3f;

    /// <summary>The share of steps in which the rate rises from zero.</summary>
    public float WarmUp { get; init; } = 0.05f;

    /// <summary>The share of samples that are held back to see which weights are best.</summary>
    public float HeldBack { get; init; } = 0.1f;

    /// <summary>Epochs without a better loss on what is held back after which training ends.</summary>
    public int Patience { get; init; } = 5;

    /// <summary>The seed of the order of samples.</summary>
    public ulong Seed { get; init; }

    /// <summary>Whether exact zeros of weights stay zeros.</summary>
    public bool KeepZeros { get; init; } = true;

    /// <summary>Threads of ONNX Runtime. The result does not depend on it.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Bytes that a step may take, and that values kept between steps may take in memory.</summary>
    public long Memory { get; init; } = 4_000_000_000;

    /// <summary>The quantization behind the training, whose weights the student is trained with; null for float weights.</summary>
    public FakeQuantizer? Quantizer { get; init; }

    /// <summary>Zeros that grow while the student is trained; null for none.</summary>
    public GradualPruning? Gradual { get; init; }

    /// <summary>Values of the student that its next run reads, by the inputs that they go to; empty where runs do not depend on each other.</summary>
    public IReadOnlyDictionary<string, string> Carried { get; init; } = new Dictionary<string, string>();

    /// <summary>The optimizer's settings.</summary>
    public AdamWOptions Optimizer { get; init; } = new();
}

/// <summary>How far training is.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="Loss">The mean loss of the epoch so far.</param>
/// <param name="HeldBack">The last loss on what is held back, or null before the first epoch ends.</param>
internal sealed record TrainingProgress(int Step, int Steps, double Loss, double? HeldBack);

/// <summary>A trained student.</summary>
/// <param name="Student">The student with the best weights.</param>
/// <param name="Before">The loss on what is held back before training.</param>
/// <param name="After">The same with the best weights.</param>
/// <param name="Steps">Steps done.</param>
/// <param name="Weights">The weights that were trained.</param>
internal sealed record TrainingResult(Onnx.OnnxModel Student, double Before, double After, int Steps, IReadOnlyList<string> Weights)
{
    /// <summary>Those of them that were pruned and kept their zeros.</summary>
    public IReadOnlyCollection<string> Masked { get; init; } = [];

    /// <summary>Blocks whose new weights were kept, and all; none where it was not trained block by block.</summary>
    public (int Kept, int All) Blocks { get; init; }

    /// <summary>Where weights were not all trained together: what became of each, and whether it was trained.</summary>
    public IReadOnlyDictionary<string, (bool Trained, string Reason)> Notes { get; init; } = new Dictionary<string, (bool, string)>();
}
