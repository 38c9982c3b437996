using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Finds the codes of weights as the plan says.</summary>
/// <param name="model">The float model.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="data">Gram matrices of the weights' inputs, or null without data.</param>
/// <param name="forms">Which form each weight gets.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class BitQuantizer(OnnxModel model, BitsPlan plan, RoundingData? data, BitForms forms, int threads)
{
    /// <summary>Below this float16 has too few digits for a scale.</summary>
    public const float LeastHalf = 1e-4f;

    /// <summary>Codes of a weight, whether their scales are float16, and how near they come, in dB.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="other">What it gets instead of what the plan says.</param>
    /// <param name="packs">Whether codes may come packed, see <see cref="BitWeight.Packed"/>: a weight of any size then takes little memory.</param>
    public (BitWeight Weight, bool Halves, double Sqnr) Quantize(NodeWeight weight, BitChoice? other = null, bool packs = false)
    {
        var grid = other?.Grid ?? Grid(plan);
        var layout = RowLayout.Of(weight)!.Value;
        var group = forms.Group(weight, layout, grid.Bits, other?.Group ?? plan.Group);
        if (packs && Streams(weight, layout, grid, group))
            return Streamed(weight, layout, grid, group);
        var values = model.ReadFloats(weight.Tensor);
        var grams = data?.Of(weight) ?? [];
        var rows = grams.Count > 0 ? WeightRows.Of(weight, grams[0].Geometry) : null;
        var moments = rows is null ? null : Enumerable.Range(0, rows.Groups).Select(g => WeightRounding.Moments(grams, g, centered: false)).ToArray();
        // Columns that are read more strongly count more, where all rows read the same.
        float[] importance = moments is [var one] ? Importance(Diagonal(one, layout.Columns)) : [];
        var (result, halves) = Nearest(values, layout, plan, grid, group, importance, threads);
        // Values that lie on their grid have no error that data could make smaller.
        if (moments is not null && !result.Decode().AsSpan().SequenceEqual(values))
        {
            var forms = new QuadraticForm[moments.Length];
            Parallel.For(0, forms.Length, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, g => forms[g] = new QuadraticForm(moments[g], layout.Columns, RowRounding.Damping, GridRounding.Shrinkage));
            result = GridRounding.Round(values, result, row => forms[rows!.Group(row)], halves, threads);
        }

        return (result, halves, Sqnr(values, result.Decode()));
    }

    /// <summary>Scales for values, with the nearest codes, and whether they are float16.</summary>
    /// <param name="values">In the order of the tensor.</param>
    /// <param name="layout">Their rows.</param>
    /// <param name="plan">How scales are found.</param>
    /// <param name="group">Columns that share a scale.</param>
    /// <param name="squares">E[x²] of each column, where it is known and the same for all rows.</param>
    /// <param name="threads">Threads to use; the result does not depend on it.</param>
    public static (BitWeight Weight, bool Halves) Nearest(float[] values, RowLayout layout, BitsPlan plan, int group, ReadOnlySpan<double> squares, int threads) =>
        Nearest(values, layout, plan, Grid(plan), group, squares.IsEmpty ? [] : Importance(squares), threads);

    private static (BitWeight Weight, bool Halves) Nearest(float[] values, RowLayout layout, BitsPlan plan, BitGrid grid, int group, float[] importance, int threads)
    {
        BitWeight Find(bool halves) => RoundToNearest.Each(values, layout, grid, group, halves, threads, Search(plan, grid, halves, importance));
        var result = Find(true);
        return Array.TrueForAll(result.Scales, s => s is >= LeastHalf and < 65504) ? (result, true) : (Find(false), false);
    }

    /// <summary>Whether the order of the tensor is that of the file, and nothing but the weight itself decides its codes.</summary>
    private bool Streams(NodeWeight weight, RowLayout layout, BitGrid grid, int group) =>
        (data?.Of(weight) ?? []).Count == 0 && StreamedRounding.Can(layout, grid, group) && forms.Of(weight, grid.Bits, group) switch
        {
            BitsForm.Blocked => layout.RowStride == 1,
            BitsForm.Gather => layout.ColumnStride == 1,
            _ => false,
        };

    private (BitWeight Weight, bool Halves, double Sqnr) Streamed(NodeWeight weight, RowLayout layout, BitGrid grid, int group)
    {
        var rounding = new StreamedRounding(model, weight.Tensor, layout, grid, group, threads);
        var (packed, sqnr) = rounding.Run(true, Search(plan, grid, true, []));
        var halves = System.Numerics.Tensors.TensorPrimitives.Min(packed.Scales) >= LeastHalf && System.Numerics.Tensors.TensorPrimitives.Max(packed.Scales) < 65504;
        if (!halves)
            (packed, sqnr) = rounding.Run(false, Search(plan, grid, false, []));
        return (new(layout, grid, group, [], [], []) { Packed = packed }, halves, sqnr);
    }

    /// <summary>How scales are found: those of values that lie on a grid already, or else by the plan's method.</summary>
    private static RoundToNearest.ScaleSearch Search(BitsPlan plan, BitGrid grid, bool halves, float[] importance) => (tile, into, columns, first) =>
    {
        if (plan.Method == BitsMethod.Hqq)
            HalfQuadratic.Search(tile, grid, into);
        else
            RoundToNearest.Best(tile, grid, importance.Length > 0 ? importance.AsSpan(first, columns) : [], into);
        OnGrid.Search(tile, grid, halves, into);
    };

    /// <summary>The form that a weight gets, and its bits.</summary>
    public (BitsForm Form, int Bits) Form(NodeWeight weight, BitChoice? other = null)
    {
        var grid = other?.Grid ?? Grid(plan);
        return (plan.Bits == 1 ? BitsForm.Stored : forms.Of(weight, grid.Bits, forms.Group(weight, RowLayout.Of(weight)!.Value, grid.Bits, other?.Group ?? plan.Group)), grid.Bits);
    }

    /// <summary>Planes of a weight, whether their scales are float16, and how near they come, in dB.</summary>
    public (BitPlanes Weight, bool Halves, double Sqnr) Planes(NodeWeight weight)
    {
        var values = model.ReadFloats(weight.Tensor);
        var (planes, halves) = Planes(values, RowLayout.Of(weight)!.Value, plan, threads);
        return (planes, halves, Sqnr(values, planes.Decode()));
    }

    /// <summary>Planes of values, and whether their scales are float16.</summary>
    public static (BitPlanes Planes, bool Halves) Planes(float[] values, RowLayout layout, BitsPlan plan, int threads)
    {
        BitPlanes Find(bool halves) => BitPlanes.Of(values, layout, BitForms.Divisor(layout.Columns, plan.Group), plan.Planes, halves, threads);
        var planes = Find(true);
        // They are stored doubled. A plane of nothing has a scale of 0.
        var halves = Array.TrueForAll(planes.Scales, s => s is 0 or >= LeastHalf and < 32752);
        return (halves ? planes : Find(false), halves);
    }

    /// <summary>The numbers of a plan; of a budget those of its average.</summary>
    public static BitGrid Grid(BitsPlan plan) =>
        plan.Ternary ? BitGrid.Ternary : BitGrid.Of(plan.Average is { } average ? (int)Math.Round(average) : plan.Bits, plan.Symmetric);

    private static float[] Importance(ReadOnlySpan<double> squares)
    {
        var diagonal = new float[squares.Length];
        for (var c = 0; c < diagonal.Length; c++)
            diagonal[c] = (float)squares[c];
        var mean = diagonal.Average();
        if (!(mean > 0) || !float.IsFinite(mean))
            return [];
        for (var c = 0; c < diagonal.Length; c++)
            diagonal[c] = diagonal[c] / mean + (float)RowRounding.Damping;
        return diagonal;
    }

    private static double[] Diagonal(double[] moments, int columns) => [.. Enumerable.Range(0, columns).Select(c => moments[c * columns + c])];

    private static double Sqnr(float[] values, float[] decoded)
    {
        double power = 0, noise = 0;
        for (var i = 0; i < values.Length; i++)
        {
            power += (double)values[i] * values[i];
            noise += ((double)values[i] - decoded[i]) * ((double)values[i] - decoded[i]);
        }

        return noise <= 0 ? 200 : power <= 0 ? 0 : Math.Min(200, 10 * Math.Log10(power / noise));
    }
}
