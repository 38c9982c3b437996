using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;

namespace ModelBuildTasks.Engine.Passes.Pruning.Joint;

/// <summary>
/// Zeros and rounding of a weight found together, so that what is left makes up for both (Frantar and Alistarh 2023: joint sparsification and
/// quantization): one sweep over the columns that rounds what stays and chooses what goes by what zero loses more than rounding does, then a search on the
/// grid with these zeros, and the same search with the zeros that pruning alone chose. Of both the one of the least loss.
/// </summary>
internal static class JointRounding
{
    // Times that zeros are exchanged and all is rounded again.
    private const int Exchanges = 3;

    /// <summary>Refuses a quantization whose stored values are not known before it runs.</summary>
    /// <exception cref="ModelBuildException">MBT2067: it is one.</exception>
    public static void Require(QuantizePlan plan)
    {
        var reason = plan.Bits switch
        {
            { Average: not null } => "bits that a budget spreads over the weights are spread after pruning, by the pruned values",
            { Method: BitsMethod.Awq } => "method awq scales the weights after pruning",
            { Bits: 1 } => "signs have no zero for what was pruned",
            _ => null,
        };
        if (reason is not null)
            throw new ModelBuildException(DiagnosticCodes.NotRoundedAsStored, $"weights cannot be pruned and rounded at once as quantize will store them: {reason}", plan.Location);
    }

    /// <summary>Whether, and if not why, a weight is stored in numbers that its values alone decide.</summary>
    public static string? Misfit(WeightNumbers? form, PassContext context) => form is null ? "quantize will not store it in 8 bits or fewer"
        : form.Layout is null && form.Form != QuantizedForm.Weights && context.Runtime.Formats.PairsSaturate ? "the runtime's integer arithmetic wants scales that rounding changes" : null;

    /// <summary>The weight pruned and rounded; <see cref="LayerResult.Loss"/> counts both.</summary>
    /// <param name="layer">The weight and its inputs.</param>
    /// <param name="pruned">The weight pruned, and what is left fitted to it.</param>
    /// <param name="plan">What is asked for; its <see cref="PrunePlan.Quantize"/> is not null.</param>
    /// <param name="clear">How many weights become zero; of a pattern it says nothing.</param>
    /// <param name="form">What the weight is stored as.</param>
    public static LayerResult Run(SparseLayer layer, LayerResult pruned, PrunePlan plan, long clear, WeightNumbers form)
    {
        var quantize = plan.Quantize!;
        bool[] goes = [.. pruned.Values.Select(v => v == 0)];
        var best = Round(layer, quantize, form, pruned.Values, goes, null) is var (values, loss) ? new LayerResult(values, $"{pruned.Method}, rounded with it", loss) : pruned;
        if (plan.Method is not (PruneMethod.Auto or PruneMethod.SparseGpt))
            return best;
        var (swept, gone) = Sweep(layer, clear, StoredGrid.Of(layer, pruned.Values, form, quantize));
        // Scales for what the zeros leave.
        var start = new float[swept.Length];
        for (var i = 0; i < start.Length; i++)
            start[i] = gone[i] ? 0 : swept[i] != 0 ? swept[i] : layer.Values[i];
        var (other, least) = Round(layer, quantize, form, MaskedRefit.Run(layer, start), gone, swept);
        return least < best.Loss ? new(other, "one sweep of zeros and rounding", least) : best;
    }

    /// <summary>One pass over the columns that chooses zeros and rounds the rest.</summary>
    /// <returns>The values, and which of them are zero because they were pruned.</returns>
    public static (float[] Values, bool[] Gone) Sweep(SparseLayer layer, long clear, ISweepGrid grid, int blockColumns = SparseGpt.BlockColumns)
    {
        var gone = new bool[layer.Values.Length];
        return (SparseGpt.Run(layer, clear, blockColumns, grid, gone), gone);
    }

    private static (float[] Values, double Loss) Round(SparseLayer layer, QuantizePlan plan, WeightNumbers form, float[] fitted, bool[] goes, float[]? swept)
    {
        var grid = StoredGrid.Of(layer, fitted, form, plan);
        var result = new float[fitted.Length];
        layer.Each(layer.Rows.Count, row =>
        {
            var wanted = layer.Row(layer.Values, row);
            double[][] starts = swept is null ? [layer.Row(fitted, row)] : [layer.Row(fitted, row), layer.Row(swept, row)];
            var (numbers, one) = (grid.Row(row), grid.Fixed(row, goes));
            for (var round = 0; ; round++)
            {
                (var error, numbers) = GridRounding.Row(wanted, one, numbers, layer.Form(row), starts, grid.Refits, grid.Halves);
                var last = layer.Shape.Structure == PruneStructure.Blocks || round == Exchanges
                    || !new MaskExchange(layer.Form(row), numbers, layer.Order, layer.Shape.Group).Run(wanted, error, one, Array.ConvertAll(wanted, w => w != 0));
                for (var c = 0; c < wanted.Length; c++)
                    error[c] += wanted[c];
                if (last)
                {
                    grid.Write(row, numbers, error, result);
                    return;
                }

                starts = [error];
            }
        });
        return (result, layer.Loss(result));
    }
}
