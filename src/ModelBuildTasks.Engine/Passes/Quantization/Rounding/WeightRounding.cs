using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>
/// Rounds weights so that the outputs of their nodes, not the weights themselves, change least over the calibration data, and takes
/// the mean change back in the bias. Results are kept: a model may be written many times.
/// </summary>
/// <param name="data">Filled Gram matrices.</param>
/// <param name="plan">Whether biases take back mean errors.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class WeightRounding(RoundingData data, QuantizePlan plan, int threads = 1)
{
    private readonly Dictionary<string, QuantizedWeight> _done = [];

    /// <summary>Better codes for a weight at the scales it has.</summary>
    /// <param name="weight">Where the weight is.</param>
    /// <param name="values">Its values, row-major.</param>
    /// <param name="nearest">Codes rounded to nearest; returned where no data is known.</param>
    /// <param name="limit">Largest code.</param>
    public QuantizedWeight Round(NodeWeight weight, float[] values, QuantizedWeight nearest, int limit = AffineQuantizer.WeightMax)
    {
        var grams = data.Of(weight);
        if (grams.Count == 0)
            return nearest;
        var key = Key(weight, values, nearest, limit);
        if (_done.TryGetValue(key, out var done))
            return done;
        var rows = WeightRows.Of(weight, grams[0].Geometry);
        var centered = plan.BiasCorrection && data.HasBias(weight);
        var forms = new QuadraticForm[rows.Groups];
        Each(rows.Groups, g => forms[g] = new QuadraticForm(Moments(grams, g, centered), rows.Columns, RowRounding.Damping, RowRounding.Shrinkage));
        var rounding = new RowRounding(forms, rows, values, limit);
        var codes = (sbyte[])nearest.Values.Clone();
        Each(rows.Count, r => rounding.Codes(r, nearest.Scales[nearest.Scales.Length == 1 ? 0 : rows.Channel(r)], codes));
        return _done[key] = nearest with { Values = codes };
    }

    /// <summary>The bias with what a quantized weight takes from the outputs on average added: (W − Ŵ)·E[x], padding counted.</summary>
    /// <param name="weight">Where the weight is.</param>
    /// <param name="value">Name of the node's data input in the model that was observed.</param>
    /// <param name="bias">One value an output channel.</param>
    /// <param name="values">The weight, row-major.</param>
    /// <param name="quantized">The same in 8 bits.</param>
    /// <returns>The bias itself where no data is known.</returns>
    public float[] CorrectBias(NodeWeight weight, string value, float[] bias, ReadOnlySpan<float> values, QuantizedWeight quantized)
    {
        if (!plan.BiasCorrection || data.Of(weight, value) is not { } gram)
            return bias;
        var rows = WeightRows.Of(weight, gram.Geometry);
        var means = Enumerable.Range(0, rows.Groups).Select(gram.Means).ToArray();
        if (bias.Length != rows.Count)
            return bias;
        var corrected = new float[bias.Length];
        for (var r = 0; r < rows.Count; r++)
        {
            var scale = (double)quantized.Scales[quantized.Scales.Length == 1 ? 0 : rows.Channel(r)];
            double shift = 0;
            for (var c = 0; c < rows.Columns; c++)
            {
                var i = rows.Index(r, c);
                shift += (values[i] - scale * quantized.Values[i]) * means[rows.Group(r)][c];
            }

            corrected[r] = (float)(bias[r] + shift);
        }

        return corrected;
    }

    /// <summary>Whether data for a weight is known.</summary>
    public bool Knows(NodeWeight weight) => data.Of(weight).Count > 0;

    /// <summary>The moments of all matrices together, each with the weight of its rows.</summary>
    public static double[] Moments(IReadOnlyList<GramMatrix> grams, int group, bool centered)
    {
        if (grams.Count == 1)
            return grams[0].Moments(group, centered);
        var total = grams.Sum(g => g.Rows);
        var sum = new double[grams[0].Geometry.Columns * grams[0].Geometry.Columns];
        foreach (var gram in grams)
        {
            var moments = gram.Moments(group, centered);
            for (var i = 0; i < sum.Length; i++)
                sum[i] += moments[i] * ((double)gram.Rows / total);
        }

        return sum;
    }

    private static string Key(NodeWeight weight, float[] values, QuantizedWeight nearest, int limit)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(MemoryMarshal.AsBytes(values.AsSpan()));
        hash.AppendData(MemoryMarshal.AsBytes(nearest.Scales.AsSpan()));
        return $"{weight.Home} {weight.Node.Input[weight.Input]} {weight.Node.OpType} {weight.ChannelAxis} {limit} {Convert.ToHexString(hash.GetHashAndReset())}";
    }

    private void Each(int count, Action<int> act) => Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, act);
}
