using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning.Joint;

/// <summary>
/// The grid that a quantization gives a weight, with scales that suit some values: of few bits those of the least error in each group, of 8 bits the
/// largest magnitude of a channel at 127.
/// </summary>
internal sealed class StoredGrid : ISweepGrid
{
    private readonly SparseLayer _layer;
    private readonly WeightNumbers _form;
    private readonly GridRounding.Grid[] _rows;
    private readonly Dictionary<int, float> _pinned = [];

    private StoredGrid(SparseLayer layer, WeightNumbers form, Func<int, GridRounding.Grid> row) =>
        (_layer, _form, _rows) = (layer, form, [.. Enumerable.Range(0, layer.Rows.Count).Select(row)]);

    /// <summary>Whether scales are stored as float16.</summary>
    public bool Halves { get; private init; }

    /// <summary>Whether scales may move: those of 8 bits are found by the largest value.</summary>
    public bool Refits => _form.Layout is not null;

    /// <summary>The grid for values.</summary>
    /// <param name="layer">The weight.</param>
    /// <param name="values">What is to be rounded, in the order of the tensor.</param>
    /// <param name="form">What the weight is stored as.</param>
    /// <param name="plan">The quantization.</param>
    public static StoredGrid Of(SparseLayer layer, float[] values, WeightNumbers form, QuantizePlan plan) =>
        form.Layout is { } layout ? Few(layer, values, form, layout, plan.Bits!) : Eight(layer, values, form);

    /// <inheritdoc/>
    public double Nearest(int row, int column, double value) => _rows[row].Nearest(column, value);

    /// <summary>The numbers of a row.</summary>
    public GridRounding.Grid Row(int row) => _rows[row];

    /// <summary>The columns of a row that have one value: zero where a weight goes, and the largest of a channel, by which its scale is found again.</summary>
    /// <param name="row">The row.</param>
    /// <param name="goes">In the order of the tensor, which weights go.</param>
    public double[] Fixed(int row, bool[] goes)
    {
        var result = new double[_layer.Rows.Columns];
        for (var c = 0; c < result.Length; c++)
        {
            var at = _layer.Rows.Index(row, c);
            result[c] = goes[at] ? 0 : _pinned.TryGetValue(at, out var value) ? value : double.NaN;
        }

        return result;
    }

    /// <summary>What the quantization decodes a row's codes to.</summary>
    /// <param name="row">The row.</param>
    /// <param name="grid">Its grid, with scales that may have moved.</param>
    /// <param name="wished">Values on that grid, but for the rounding of doubles.</param>
    /// <param name="into">The weight in the order of its tensor.</param>
    public void Write(int row, GridRounding.Grid grid, ReadOnlySpan<double> wished, float[] into)
    {
        for (var c = 0; c < wished.Length; c++)
            into[_layer.Rows.Index(row, c)] = (float)grid.Scale(grid.Group(c)) * (grid.Code(c, wished[c]) - grid.Zero(c));
    }

    private static StoredGrid Few(SparseLayer layer, float[] values, WeightNumbers form, RowLayout layout, BitsPlan plan)
    {
        var (weight, halves) = BitQuantizer.Nearest(values, layout, plan, form.Group, layer.Rows.Groups == 1 ? layer.Squares[0] : null, layer.Threads);
        return new(layer, form, row =>
        {
            var (scales, zeros) = (new double[weight.Groups], new int[weight.Groups]);
            for (var g = 0; g < scales.Length; g++)
                (scales[g], zeros[g]) = (weight.Scales[row * scales.Length + g], weight.Zero(row * scales.Length + g));
            return new(scales, zeros, weight.Group, weight.Grid.Top);
        })
        {
            Halves = halves,
        };
    }

    private static StoredGrid Eight(SparseLayer layer, float[] values, WeightNumbers form)
    {
        var (outer, channels, inner) = form.Channels;
        float[] scales = [.. AffineQuantizer.QuantizeWeight(values, outer, channels, inner, []).Scales.Select(AffineQuantizer.FoundAgain)];
        int Scale(int at) => (int)(at / inner % channels);
        var grid = new StoredGrid(layer, form, row => new([scales[Scale(layer.Rows.Index(row, 0))]], [AffineQuantizer.WeightMax], layer.Rows.Columns, 2 * AffineQuantizer.WeightMax));
        var largest = new int[channels];
        Array.Fill(largest, -1);
        for (var at = 0; at < values.Length; at++)
        {
            ref var now = ref largest[Scale(at)];
            if (values[at] != 0 && (now < 0 || Math.Abs(values[at]) > Math.Abs(values[now])))
                now = at;
        }

        foreach (var at in largest.Where(at => at >= 0))
            grid._pinned[at] = MathF.CopySign(AffineQuantizer.WeightMax * scales[Scale(at)], values[at]);
        return grid;
    }
}
