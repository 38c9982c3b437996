using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>In which order the units of a group go, by each method.</summary>
internal static class UnitScores
{
    /// <summary>The trace of a group.</summary>
    /// <param name="model">The model.</param>
    /// <param name="group">The group.</param>
    /// <param name="readers">What reads the units.</param>
    /// <param name="method">How they are chosen; not auto.</param>
    /// <param name="most">How many may go.</param>
    public static RemovalTrace Of(OnnxModel model, ChannelGroup group, Readers readers, PruneMethod method, int most) => method switch
    {
        PruneMethod.Obs => ObsTrace.Of(group, readers, most),
        PruneMethod.Flap => RemovalTrace.OfScores(Fluctuation(group, readers), most),
        _ => RemovalTrace.OfScores(Magnitude(model, group), most),
    };

    /// <summary>The square of the norm of what makes a unit, as a share of the group's: each producer counts the same.</summary>
    private static double[] Magnitude(OnnxModel model, ChannelGroup group)
    {
        var scores = new double[group.Units];
        var slices = group.Slices.Where(s => s.Role == SliceRole.Producer).ToList();
        if (slices.Count == 0)
            slices = [.. group.Slices.Where(s => s.Role == SliceRole.Consumer)];
        var graphs = model.Graph.WithBodies().ToList();
        var indexes = GraphEdit.Indexes(model).ToDictionary(i => i.Number);
        foreach (var slice in slices)
        {
            if (indexes[slice.Graph].Constant(slice.Tensor) is not { } tensor)
                continue;
            var values = model.ReadFloats(tensor);
            var dims = tensor.Dims;
            var inner = (int)ElementTypes.Count(dims.Skip(slice.Axis + 1));
            var length = (int)dims[slice.Axis];
            var squares = new double[length];
            for (var i = 0; i < values.Length; i++)
                squares[i / inner % length] += (double)values[i] * values[i];
            var total = squares.Sum();
            for (var u = 0; u < scores.Length && total > 0; u++)
                scores[u] += slice.Indices[u].Sum(i => squares[i]) / total / slices.Count;
        }

        return scores;
    }

    /// <summary>
    /// FLAP (An et al. 2023, "Fluctuation-based Adaptive Structured Pruning"): the variance of a column times the squared norm of its weights,
    /// what is lost when its mean is taken into the bias. Without a bias, the second moment.
    /// </summary>
    private static double[] Fluctuation(ChannelGroup group, Readers readers)
    {
        var scores = new double[group.Units];
        foreach (var consumer in group.Consumers)
        {
            if (readers.Of(consumer) is not { } reader)
                continue;
            for (var g = 0; g < reader.Groups; g++)
            {
                var (moments, products, n) = (reader.Moments(g), reader.Products(g), reader.Columns);
                for (var u = 0; u < scores.Length; u++)
                    scores[u] += consumer.Columns[u].Sum(c => moments[c * n + c] * products[c * n + c]);
            }
        }

        return scores;
    }
}
