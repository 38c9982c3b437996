using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Finds the codes of weights as the plan says.</summary>
/// <param name="model">The float model.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="data">Gram matrices of the weights' inputs, or null without data.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class BitQuantizer(OnnxModel model, BitsPlan plan, RoundingData? data, int threads)
{
    // Below this float16 has too few digits for a scale.
    private const float LeastHalf = 1e-4f;

    /// <summary>Codes of a weight, whether their scales are float16, and how near they come, in dB.</summary>
    public (BitWeight Weight, bool Halves, double Sqnr) Quantize(NodeWeight weight, BitChoice? other = null)
    {
        var grid = other?.Grid ?? (plan.Ternary ? BitGrid.Ternary : BitGrid.Of(plan.Bits, plan.Symmetric));
        var layout = RowLayout.Of(weight)!.Value;
        var group = Group(weight, layout, grid, other?.Group ?? plan.Group);
        var values = model.ReadFloats(weight.Tensor);
        var grams = data?.Of(weight) ?? [];
        var rows = grams.Count > 0 ? WeightRows.Of(weight, grams[0].Geometry) : null;
        var moments = rows is null ? null : Enumerable.Range(0, rows.Groups).Select(g => WeightRounding.Moments(grams, g, centered: false)).ToArray();
        // Columns that are read more strongly count more, where all rows read the same.
        var importance = moments is [var one] ? Importance(one, layout.Columns) : [];
        BitWeight Find(bool halves) => plan.Method == BitsMethod.Hqq ? HalfQuadratic.Quantize(values, layout, grid, group, halves, threads)
            : RoundToNearest.Quantize(values, layout, grid, group, importance, halves, threads);
        var result = Find(true);
        var halves = Array.TrueForAll(result.Scales, s => s is >= LeastHalf and < 65504);
        if (!halves)
            result = Find(false);
        if (moments is not null)
        {
            var forms = new QuadraticForm[moments.Length];
            Parallel.For(0, forms.Length, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, g => forms[g] = new QuadraticForm(moments[g], layout.Columns, RowRounding.Damping, RowRounding.Shrinkage));
            result = GridRounding.Round(values, result, row => forms[rows!.Group(row)], halves, threads);
        }

        return (result, halves, Sqnr(values, result.Decode()));
    }

    /// <summary>Planes of a weight, and how near they come, in dB.</summary>
    public (BitPlanes Weight, double Sqnr) Planes(NodeWeight weight)
    {
        var layout = RowLayout.Of(weight)!.Value;
        var values = model.ReadFloats(weight.Tensor);
        var planes = BitPlanes.Of(values, layout, Divisor(layout.Columns, plan.Group), plan.Planes, threads);
        return (planes, Sqnr(values, planes.Decode()));
    }

    /// <summary>Columns that share a scale. What is unpacked by a Reshape needs groups of one length.</summary>
    private static int Group(NodeWeight weight, RowLayout layout, BitGrid grid, int group)
    {
        var fuses = grid.Bits is 2 or 4 && weight.Node.OpType is "MatMul" or "Gemm" || grid.Bits == 4 && weight.Node.OpType == "Gather";
        return fuses && group > 0 && group <= layout.Columns ? group : Divisor(layout.Columns, group);
    }

    /// <summary>The divisor nearest to a group's length, by ratio, at most twice it; all columns where there is none of half its length or more.</summary>
    public static int Divisor(int columns, int group)
    {
        if (group <= 0 || group >= columns)
            return columns;
        var best = columns;
        for (var d = Math.Max(1, group / 2); d <= Math.Min(columns, 2 * group); d++)
        {
            if (columns % d == 0 && (best == columns && columns > 2 * group || Math.Abs(Math.Log((double)d / group)) < Math.Abs(Math.Log((double)best / group))))
                best = d;
        }

        return best;
    }

    private static float[] Importance(double[] moments, int columns)
    {
        var diagonal = new float[columns];
        for (var c = 0; c < columns; c++)
            diagonal[c] = (float)moments[c * columns + c];
        var mean = diagonal.Average();
        if (!(mean > 0) || !float.IsFinite(mean))
            return [];
        for (var c = 0; c < columns; c++)
            diagonal[c] = diagonal[c] / mean + (float)RowRounding.Damping;
        return diagonal;
    }

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
