using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>A pruned weight.</summary>
/// <param name="Values">In the order of the tensor.</param>
/// <param name="Method">How it was found.</param>
/// <param name="Loss">See <see cref="SparseLayer.Loss"/>; null where the inputs are not known.</param>
internal sealed record LayerResult(float[] Values, string Method, double? Loss);

/// <summary>Prunes one weight by a method, or by the one of the least predicted loss.</summary>
internal static class LayerPruning
{
    /// <summary>Most multiplications that exact OBS may take for a weight where it was asked for: a minute or so.</summary>
    public const double MostObsCost = 2e11;

    /// <summary>The same where it is one of several methods.</summary>
    public const double MostAutoCost = 3e10;

    /// <summary>Prunes a weight.</summary>
    /// <param name="layer">The weight and its inputs.</param>
    /// <param name="method">How.</param>
    /// <param name="repair">Whether the rest is fitted again.</param>
    /// <param name="clear">How many weights become zero; of a pattern it says nothing.</param>
    /// <param name="obsCost">Most multiplications of exact OBS.</param>
    public static LayerResult Prune(SparseLayer layer, PruneMethod method, PruneRepair repair, long clear, double obsCost)
    {
        // A method that asks for data does not find any where a value could not be observed.
        if (!layer.HasData)
            return new(ScoreMask.Apply(layer.Values, ScoreMask.Choose(layer, ScoreMask.Scores(layer, PruneMethod.Magnitude), clear, ComparedWithin.Layer)), "magnitude", null);
        var refits = repair == PruneRepair.Refit || repair == PruneRepair.Auto && method is not (PruneMethod.Magnitude or PruneMethod.Wanda);
        var share = layer.Shape.IsPattern ? 1 - (double)layer.Shape.Keep / layer.Shape.Group : (double)clear / layer.Values.Length;
        var exact = ExactObs.Cost(layer.Rows.Count / layer.Shape.Rows, layer.Rows.Columns, (1 + share) / 2) <= obsCost;
        return method switch
        {
            PruneMethod.Magnitude => Scored(PruneMethod.Magnitude, ComparedWithin.Layer, "magnitude"),
            PruneMethod.Wanda => Scored(PruneMethod.Wanda, ComparedWithin.Row, "wanda"),
            PruneMethod.SparseGpt => Repaired(SparseGpt.Run(layer, clear), "sparsegpt"),
            PruneMethod.Obs when exact => Exact(),
            PruneMethod.Obs => Repaired(SparseGpt.Run(layer, clear), "sparsegpt (too large for obs)"),
            _ => Least(),
        };

        LayerResult Scored(PruneMethod by, ComparedWithin within, string name) =>
            Repaired(ScoreMask.Apply(layer.Values, ScoreMask.Choose(layer, ScoreMask.Scores(layer, by), clear, within)), name);

        LayerResult Exact()
        {
            var values = ExactObs.Run(layer, clear);
            // Zeros within a block that stays took part in making up for blocks that went, and are zero again.
            return layer.Shape.Structure == PruneStructure.Blocks ? Repaired(values, "obs") : new(values, "obs", layer.Loss(values));
        }

        LayerResult Repaired(float[] values, string name)
        {
            var loss = layer.Loss(values);
            if (!refits)
                return new(values, name, loss);
            var fitted = MaskedRefit.Run(layer, values);
            var after = layer.Loss(fitted);
            return after < loss ? new(fitted, $"{name} and refit", after) : new(values, name, loss);
        }

        LayerResult Least()
        {
            var best = Repaired(SparseGpt.Run(layer, clear), "sparsegpt");
            var other = Scored(PruneMethod.Wanda, ComparedWithin.Layer, "wanda");
            best = other.Loss < best.Loss ? other : best;
            return exact && Exact() is var obs && obs.Loss < best.Loss ? obs : best;
        }
    }
}
