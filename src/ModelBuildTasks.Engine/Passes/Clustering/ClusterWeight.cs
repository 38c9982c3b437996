using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>A weight to be clustered, with what is known of its inputs.</summary>
internal sealed class ClusterWeight
{
    private ClusterWeight(NodeWeight weight, float[] values, WeightRows? rows, double[][] moments, bool centered)
    {
        (Weight, Values, Rows, Moments, Centered) = (weight, values, rows, moments, centered);
        // A trained weight is hardly ever exactly zero: it was pruned.
        KeepsZeros = values.Contains(0);
    }

    /// <summary>Where it is.</summary>
    public NodeWeight Weight { get; }

    /// <summary>Its values, row-major.</summary>
    public float[] Values { get; }

    /// <summary>Its rows, where its inputs are known.</summary>
    public WeightRows? Rows { get; }

    /// <summary>E[xxᵀ] of each group's inputs; empty where they are not known.</summary>
    public double[][] Moments { get; }

    /// <summary>Whether the bias takes back the mean error, so that only the rest of an error counts.</summary>
    public bool Centered { get; }

    /// <summary>Whether exact zeros stay zeros.</summary>
    public bool KeepsZeros { get; }

    /// <summary>Reads a weight.</summary>
    public static ClusterWeight Of(OnnxModel model, NodeWeight weight, RoundingData? data)
    {
        var values = model.ReadFloats(weight.Tensor);
        var grams = data?.Of(weight) ?? [];
        if (grams.Count == 0)
            return new(weight, values, null, [], false);
        var rows = WeightRows.Of(weight, grams[0].Geometry);
        var centered = data!.HasBias(weight);
        return new(weight, values, rows, [.. Enumerable.Range(0, rows.Groups).Select(g => WeightRounding.Moments(grams, g, centered))], centered);
    }

    /// <summary>Output channel of an element.</summary>
    public int Channel(int index) => (int)(index / Weight.Inner % Weight.Channels);

    /// <summary>The output error of each group's rows.</summary>
    public QuadraticForm[] Forms(int threads)
    {
        var forms = new QuadraticForm[Moments.Length];
        Parallel.For(0, forms.Length, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) },
            g => forms[g] = new QuadraticForm((double[])Moments[g].Clone(), Rows!.Columns, RowRounding.Damping, RowRounding.Shrinkage));
        return forms;
    }

    /// <summary>What the error of each element counts: the mean square of what it is multiplied with. Empty where that is not known.</summary>
    public double[] Importance()
    {
        if (Rows is null)
            return [];
        var result = new double[Values.Length];
        for (var row = 0; row < Rows.Count; row++)
        {
            var moments = Moments[Rows.Group(row)];
            var mean = Enumerable.Range(0, Rows.Columns).Sum(c => moments[c * Rows.Columns + c]) / Rows.Columns;
            for (var c = 0; c < Rows.Columns; c++)
                result[Rows.Index(row, c)] = moments[c * Rows.Columns + c] + RowRounding.Damping * mean;
        }

        return result;
    }

    /// <summary>10·log10(Σw²/Σ(w − ŵ)²), at most 200.</summary>
    public double Sqnr(float[] decoded)
    {
        double power = 0, noise = 0;
        for (var i = 0; i < Values.Length; i++)
        {
            var rest = (double)Values[i] - decoded[i];
            (power, noise) = (power + (double)Values[i] * Values[i], noise + rest * rest);
        }

        return noise <= 0 ? 200 : power <= 0 ? 0 : Math.Min(200, 10 * Math.Log10(power / noise));
    }

    /// <summary>What a bias has to gain: (W − Ŵ)·E[x], an element an output channel; null where that is not known.</summary>
    /// <param name="data">What was seen.</param>
    /// <param name="decoded">Ŵ.</param>
    /// <param name="use">One node that reads the weight.</param>
    public double[]? MeanError(RoundingData data, float[] decoded, NodeWeight use)
    {
        if (Rows is null || data.Of(use, use.Node.Input[0]) is not { } gram)
            return null;
        var means = Enumerable.Range(0, Rows.Groups).Select(gram.Means).ToArray();
        var result = new double[Rows.Count];
        for (var row = 0; row < Rows.Count; row++)
        {
            for (var c = 0; c < Rows.Columns; c++)
            {
                var i = Rows.Index(row, c);
                result[row] += ((double)Values[i] - decoded[i]) * means[Rows.Group(row)][c];
            }
        }

        return result;
    }
}
