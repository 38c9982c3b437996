using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>Makes models without given units: readers are repaired, then the units are cut out.</summary>
/// <param name="model">The model.</param>
/// <param name="analysis">Its groups.</param>
/// <param name="readers">Their readers.</param>
/// <param name="shapes">Shapes of the model's values.</param>
/// <param name="repair">How what is left makes up for it; not auto.</param>
internal sealed class PrunedModel(OnnxModel model, ChannelAnalysis analysis, Readers readers, IReadOnlyDictionary<string, ValueDescription> shapes, PruneRepair repair)
{
    /// <summary>Readers repaired, and units cut out.</summary>
    public OnnxModel Cut(IReadOnlyDictionary<int, IReadOnlyList<int>> removed) => CutOut(Repaired(removed), removed);

    /// <summary>The cut alone: for what is counted and not run.</summary>
    public OnnxModel CutOnly(IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        var clone = model.Clone();
        ChannelSurgery.Remove(clone, analysis, removed);
        return clone;
    }

    /// <summary>
    /// A model that gives the same outputs as the one that is cut: where every reader's columns become zero and nothing else reads the units,
    /// cutting them out changes nothing.
    /// </summary>
    public OnnxModel Equivalent(IReadOnlyDictionary<int, IReadOnlyList<int>> removed) =>
        analysis.Groups.Where(g => removed.ContainsKey(g.Id)).All(g => !g.ReadByStatistics && g.Consumers.All(c => readers.Of(c) is { IsShared: false })) ? Repaired(removed) : Cut(removed);

    /// <summary>Readers repaired; the columns of units that go are zero, and every tensor has its shape.</summary>
    public OnnxModel Repaired(IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        var clone = model.Clone();
        Refit.Apply(clone, analysis.Groups, readers, removed, repair);
        return clone;
    }

    /// <summary>Cuts units out of a model that <see cref="Repaired"/> made.</summary>
    public OnnxModel CutOut(OnnxModel repaired, IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        // A repair adds biases and takes constants apart that two nodes shared: they belong to groups, too.
        var now = ChannelAnalysis.Of(repaired, shapes);
        if (now.Groups.Count != analysis.Groups.Count || now.Groups.Zip(analysis.Groups).Any(p => p.First.Units != p.Second.Units))
            throw new InvalidOperationException("the groups of a repaired model are others than those of the model");
        ChannelSurgery.Remove(repaired, now, removed);
        return repaired;
    }
}
