using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>What pruned weights do to the outputs of the model on a few batches of the calibration data.</summary>
/// <param name="model">The model before pruning.</param>
/// <param name="probe">Its outputs.</param>
/// <param name="source">What is known of the inputs.</param>
internal sealed class PruneProbe(OnnxModel model, OutputProbe probe, LayerSource source)
{
    /// <summary>Batches that are run.</summary>
    public const int Batches = 8;

    /// <summary>What the outputs lose with some weights pruned: Σ (reference − output)², or the divergence of classes.</summary>
    public double Noise(IEnumerable<(PrunableWeight Weight, float[] Before, float[] After)> pruned)
    {
        var clone = model.Clone();
        var names = new NameAllocator(clone);
        var indexes = GraphEdit.Indexes(clone).ToList();
        var nodes = new NodeMap(clone);
        var from = new NodeMap(model);
        foreach (var (weight, before, after) in pruned)
        {
            var tensor = indexes[weight.Key.Home].Constant(weight.Key.Name)!;
            tensor.PayloadRef = clone.CreateTensor<float>("", DataType.Float, tensor.Dims, after).PayloadRef;
            if (source.Centered(weight))
                BiasRepair.Apply(clone, weight, source.Data!, before, after, names, use => nodes.Node(from[use.Node]), scores: source.Scores(weight));
        }

        return probe.Noise(clone);
    }
}
