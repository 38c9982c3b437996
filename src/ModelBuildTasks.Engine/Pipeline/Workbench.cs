using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>The passes and the data that the pipeline works with; tests put their own in.</summary>
internal sealed record Workbench
{
    public Func<OnnxModel, PassContext, PassResult> CleanUp { get; init; } = Cleanup.Run;

    public Func<OnnxModel, PassPlan, PassContext, PassResult> Apply { get; init; } = (model, pass, context) => pass switch
    {
        PrunePlan prune => Prune.Run(model, prune, context),
        DistillPlan distill => Distill.Run(model, distill, context),
        Float16Plan half => Float16Pass.Run(model, half, context),
        ClusterPlan cluster => Cluster.Run(model, cluster, context),
        StorePlan store => Store.Run(model, store, context),
        QuantizePlan quantize => Quantize.Run(model, quantize, context),
        _ => throw new InvalidOperationException($"no pass '{pass.Name}'"),
    };

    /// <summary>From how many bytes of tensors on an artifact gets a data file.</summary>
    public long InlineLimit { get; init; } = ModelWriter.InlineLimit;

    public Func<DatasetUse, OnnxModel, IDataset> Open { get; init; } = DatasetFactory.Open;

    public Func<IReadOnlyList<ValueDescription>, IDataset> Random { get; init; } = inputs => DatasetFactory.Random(inputs);
}
