using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Scores;
using ModelBuildTasks.Engine.Passes.Pruning.Sequential;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>Opens weights as layers, one at a time, as a plan wants them.</summary>
/// <param name="model">The model.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="data">Filled Gram matrices, or null.</param>
/// <param name="scores">Filled moments of weights whose products are scores.</param>
/// <param name="threads">Threads to use.</param>
internal sealed class LayerSource(OnnxModel model, PrunePlan plan, RoundingData? data, IReadOnlyDictionary<PrunableWeight, ScoreMoments> scores, int threads)
{
    /// <summary>What is seen of the inputs.</summary>
    public RoundingData? Data => data;

    /// <summary>Which weights become zero together.</summary>
    public MaskShape Shape { get; } = MaskShape.Of(plan);

    /// <summary>Whether biases take back mean errors: where the rest makes up for what went.</summary>
    public bool TakesBack => plan.Quantize is not null || plan.Repair == PruneRepair.Refit || plan.Repair == PruneRepair.Auto && plan.Method is not (PruneMethod.Magnitude or PruneMethod.Wanda);

    /// <summary>Whether the inputs of a weight are known.</summary>
    public bool HasData(PrunableWeight weight) => Use(weight) is not null;

    /// <summary>Whether the bias of a weight takes back its mean error.</summary>
    public bool Centered(PrunableWeight weight) => TakesBack && Use(weight) is { } use && data!.HasBias(use);

    /// <summary>The moments of a weight whose products are scores, where the rest makes up for what went; else null.</summary>
    public ScoreMoments? Scores(PrunableWeight weight) => TakesBack && scores.GetValueOrDefault(weight) is { IsValid: true } found && HasData(weight) ? found : null;

    /// <summary>Reads a weight of float32 whose rows are known.</summary>
    public SparseLayer Open(PrunableWeight weight) => Scores(weight) is { } seen ? Open(weight, seen, changed: false)
        : SparseLayer.Of(model, Use(weight) ?? weight.Uses[0], weight.Rows!, Shape, (DataType)weight.Tensor.DataType == DataType.Float ? data : null, TakesBack, threads);

    /// <summary>A weight behind others that are pruned already: it is to make of what it reads now what it made of what it read before.</summary>
    public SparseLayer Open(PrunableWeight weight, PairedMoments paired) =>
        new(paired.Wanted(model.ReadFloats(weight.Tensor), weight.Rows!, threads), weight.Rows!, Shape, [(double[])paired.Now.Clone()], [paired.Squares], threads);

    /// <summary>A weight whose products are scores.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="seen">What it reads.</param>
    /// <param name="changed">Whether others in front of it are pruned already.</param>
    public SparseLayer Open(PrunableWeight weight, ScoreMoments seen, bool changed) =>
        ScoreLayer.Of(model.ReadFloats(weight.Tensor), weight.Rows!, Shape, seen, Centered(weight), changed, threads);

    // What nodes read in different ways, as an autoencoder whose decoder has the encoder's weight transposed, or a table of words, is not fitted to one of them.
    private Quantization.NodeWeight? Use(PrunableWeight weight) =>
        (DataType)weight.Tensor.DataType == DataType.Float && weight is { Rows: not null, IsReadOtherwise: false } && weight.Uses.Select(u => (u.ChannelAxis, u.Node.OpType, u.Node.Int("group", 1))).Distinct().Count() == 1 ? weight.Uses.FirstOrDefault(u => data?.Of(u).Count > 0) : null;
}
