using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>A float32 weight as rows that meet inputs, with what is known of the inputs.</summary>
internal sealed class SparseLayer
{
    /// <summary>Damping of the Gram matrices, as usual for SparseGPT.</summary>
    public const double Damping = 0.01;

    /// <summary>
    /// Share of the correlations that is not believed, see <see cref="QuadraticForm"/>. On sequences that a language model was not calibrated on, 0 to 0.15 are alike
    /// (0.02 nats at 50 %); a network calibrated on 30 photos has 7.5 dB on others with 0.05, 8.5 with 0.15 and 8.1 with 0.3.
    /// </summary>
    public const double Shrinkage = 0.15;

    private readonly Lazy<QuadraticForm[]> _forms;

    /// <param name="values">The weight in the order of its tensor.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="shape">Which weights belong together.</param>
    /// <param name="moments">E[xxᵀ] of each group's inputs as an error counts, or of each row's; empty where it is not known.</param>
    /// <param name="squares">E[x²] of each column of each group; empty where it is not known.</param>
    /// <param name="threads">Threads to use; no result depends on it.</param>
    public SparseLayer(float[] values, WeightRows rows, MaskShape shape, double[][] moments, double[][] squares, int threads)
    {
        (Values, Rows, Shape, Squares, Threads) = (values, rows, shape, squares, threads);
        Order = shape.Order(rows);
        HasData = moments.Length > 0;
        _forms = new(() =>
        {
            var forms = new QuadraticForm[moments.Length];
            Each(forms.Length, g => forms[g] = new QuadraticForm(moments[g], rows.Columns, Damping, Shrinkage));
            return forms;
        });
    }

    /// <summary>Reads a weight.</summary>
    /// <param name="model">The model.</param>
    /// <param name="weight">Where the weight is.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="shape">Which weights belong together.</param>
    /// <param name="data">Filled Gram matrices, or null.</param>
    /// <param name="takesBack">Whether biases take back mean errors.</param>
    /// <param name="threads">Threads to use.</param>
    public static SparseLayer Of(OnnxModel model, NodeWeight weight, WeightRows rows, MaskShape shape, RoundingData? data, bool takesBack, int threads)
    {
        var grams = data?.Of(weight) ?? [];
        if (grams.Count == 0)
            return new(model.ReadFloats(weight.Tensor), rows, shape, [], [], threads);
        var moments = new double[rows.Groups][];
        var squares = new double[rows.Groups][];
        for (var g = 0; g < rows.Groups; g++)
        {
            moments[g] = WeightRounding.Moments(grams, g, centered: false);
            squares[g] = [.. Enumerable.Range(0, rows.Columns).Select(c => moments[g][c * rows.Columns + c])];
            if (takesBack && data!.HasBias(weight))
                moments[g] = WeightRounding.Moments(grams, g, centered: true);
        }

        return new(model.ReadFloats(weight.Tensor), rows, shape, moments, squares, threads);
    }

    /// <summary>The weight in the order of its tensor.</summary>
    public float[] Values { get; }

    /// <summary>Its rows.</summary>
    public WeightRows Rows { get; }

    /// <summary>Which weights belong together.</summary>
    public MaskShape Shape { get; }

    /// <summary>The columns of a row, those that belong together one behind the other.</summary>
    public int[] Order { get; }

    /// <summary>E[x²] of each column of each group.</summary>
    public double[][] Squares { get; }

    /// <summary>Threads to use.</summary>
    public int Threads { get; }

    /// <summary>Whether the inputs are known.</summary>
    public bool HasData { get; }

    /// <summary>How many different <see cref="Form"/>s there are: rows that have the same follow one another.</summary>
    public int Forms => _forms.Value.Length;

    /// <summary>The number of a row's <see cref="Form"/>.</summary>
    public int FormOf(int row) => row / (Rows.Count / Forms);

    /// <summary>The output error of a row.</summary>
    public QuadraticForm Form(int row) => _forms.Value[FormOf(row)];

    /// <summary>A row in double.</summary>
    public double[] Row(ReadOnlySpan<float> values, int row)
    {
        var result = new double[Rows.Columns];
        for (var c = 0; c < result.Length; c++)
            result[c] = values[Rows.Index(row, c)];
        return result;
    }

    /// <summary>tr((Ŵ − W)·H·(Ŵ − W)ᵀ): the squared error of the outputs for a row of the input, summed over output channels.</summary>
    public double Loss(float[] other)
    {
        var losses = new double[Rows.Count];
        Each(losses.Length, row =>
        {
            var error = new double[Rows.Columns];
            for (var c = 0; c < error.Length; c++)
                error[c] = (double)other[Rows.Index(row, c)] - Values[Rows.Index(row, c)];
            losses[row] = Form(row).Value(error);
        });
        return losses.Sum();
    }

    /// <summary>tr(W·H·Wᵀ): the power of the outputs in the same measure.</summary>
    public double Power => Loss(new float[Values.Length]);

    /// <summary>Does something for each of a number of independent items.</summary>
    public void Each(int count, Action<int> act) => Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, Threads) }, act);
}
