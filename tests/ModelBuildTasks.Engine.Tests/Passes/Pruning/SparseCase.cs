using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

/// <summary>Small layers with seeded weights and correlated inputs, and the plain algebra that methods are compared with.</summary>
internal static class SparseCase
{
    public static readonly MaskShape Single = new(PruneStructure.Unstructured, 1, 1, 0, 0);

    public static MaskShape Pattern(int keep, int group) => new(PruneStructure.Pattern, 1, 1, keep, group);

    public static MaskShape Block(int rows, int columns) => new(PruneStructure.Blocks, rows, columns, 0, 0);

    /// <summary>A product with a weight [columns, rows].</summary>
    public static SparseLayer Product(int rows, int columns, MaskShape shape, int seed = 1, float[]? values = null, double[]? moments = null) =>
        Layer("MatMul", [columns, rows], shape, seed, values, moments);

    /// <summary>A convolution with a weight [out, in, 3].</summary>
    public static SparseLayer Convolution(int outputs, int inputs, MaskShape shape, int seed = 1) => Layer("Conv", [outputs, inputs, 3], shape, seed, null, null);

    private static SparseLayer Layer(string op, long[] dims, MaskShape shape, int seed, float[]? values, double[]? given)
    {
        var small = new SmallModel().Floats("w", dims, values ?? SmallModel.Values(seed, ElementTypes.Count(dims))).Node(op, "x,w", "y").Output("y");
        var weight = NodeWeight.Of(small.Graph.Node[0], new GraphIndex(small.Model, small.Graph)).Single();
        var rows = WeightRows.Of(weight, GramGeometry.Of(weight.Node, 1, dims)!);
        var moments = given ?? Moments(rows.Columns, seed);
        double[] squares = [.. Enumerable.Range(0, rows.Columns).Select(c => moments[c * rows.Columns + c])];
        return new(small.Model.ReadFloats(weight.Tensor), rows, shape, [(double[])moments.Clone()], [squares], threads: 2);
    }

    /// <summary>E[xxᵀ] of inputs that have much in common.</summary>
    public static double[] Moments(int size, int seed)
    {
        var factors = SmallModel.Values(seed + 100, size * size).Select(v => (double)v).ToArray();
        var common = SmallModel.Values(seed + 200, size).Select(v => 1.5 * v).ToArray();
        var moments = new double[size * size];
        for (var i = 0; i < size; i++)
        {
            for (var j = 0; j < size; j++)
            {
                moments[i * size + j] = common[i] * common[j] + (i == j ? 0.2 : 0);
                for (var k = 0; k < size; k++)
                    moments[i * size + j] += 0.5 / size * factors[i * size + k] * factors[j * size + k] * (1 + i % 5) * (1 + j % 5);
            }
        }

        return moments;
    }

    /// <summary>The inverse of H[S, S], by elimination.</summary>
    public static double[,] Inverse(double[] h, int size, int[] part)
    {
        var n = part.Length;
        var work = new double[n, 2 * n];
        for (var i = 0; i < n; i++)
        {
            work[i, n + i] = 1;
            for (var j = 0; j < n; j++)
                work[i, j] = h[part[i] * size + part[j]];
        }

        for (var k = 0; k < n; k++)
        {
            var pivot = work[k, k];
            for (var j = 0; j < 2 * n; j++)
                work[k, j] /= pivot;
            for (var i = 0; i < n; i++)
            {
                var factor = i == k ? 0 : work[i, k];
                for (var j = 0; factor != 0 && j < 2 * n; j++)
                    work[i, j] -= factor * work[k, j];
            }
        }

        var inverse = new double[n, n];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
                inverse[i, j] = work[i, n + j];
        }

        return inverse;
    }

    /// <summary>The weights on the columns that are left for which (ŵ − w)·H·(ŵ − w)ᵀ is least.</summary>
    public static double[] Fit(double[] h, double[] w, int[] kept)
    {
        var inverse = Inverse(h, w.Length, kept);
        var result = new double[w.Length];
        for (var i = 0; i < kept.Length; i++)
        {
            for (var j = 0; j < kept.Length; j++)
                result[kept[i]] += inverse[i, j] * Enumerable.Range(0, w.Length).Sum(c => h[kept[j] * w.Length + c] * w[c]);
        }

        return result;
    }

    public static double Loss(double[] h, double[] w, double[] other)
    {
        double sum = 0;
        for (var i = 0; i < w.Length; i++)
        {
            for (var j = 0; j < w.Length; j++)
                sum += (other[i] - w[i]) * h[i * w.Length + j] * (other[j] - w[j]);
        }

        return sum;
    }

    public static int Zeros(float[] values) => values.Count(v => v == 0);
}
