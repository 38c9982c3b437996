using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Second moments of what a product reads whose outputs are the scores of classes, for each class by what an error of its score does to the answer: the
/// divergence of two softmaxes is Σ p·(1 − p)·e²/2 to the second order (the diagonal of the Fisher information), where the error of a class that is out of
/// the question, or beyond doubt, hardly counts. Also what the product made of its inputs, which may be those of another model.
/// </summary>
/// <param name="value">Name of a value with the inputs and behind them the scores of the model that is to be answered like, along the last axis.</param>
/// <param name="columns">Inputs.</param>
/// <param name="classes">Scores.</param>
/// <param name="bias">What the scores have besides the product; null for nothing.</param>
/// <param name="behind">What is added to the scores before the softmax; null for nothing.</param>
internal sealed class ScoreMoments(string value, int columns, int classes, float[]? bias, float[]? behind) : OrderedObserver(value, 0)
{
    /// <summary>
    /// Weight of the plain squared error beside the divergence. A language model with half of its weights zero loses 0.122 nats with 0, 0.5 or 1, and 0.178
    /// without the divergence; its scores keep 4.6, 8.8 and 9.3 dB, and 10.3.
    /// </summary>
    public const double Plain = 1;

    // Weights below it are those of classes that are out of the question.
    private const float Least = 1e-6f;

    private const int BlockRows = 64;

    private readonly int _stride = Stride(columns);
    private readonly float[] _block = new float[BlockRows * (columns + classes)];
    private readonly float[] _weights = new float[BlockRows * classes];
    private double[] _common = [];
    private double[] _byClass = [];
    private double[] _cross = [];
    private double[] _byWeight = [];
    private double[] _squares = [];
    private int _blockRows;
    private long _positions;
    private long _rows;
    private bool _fits = true;

    /// <summary>Bytes of the moments.</summary>
    public static long Bytes(int columns, int classes) => sizeof(double) * (long)classes * (columns + 2) * Stride(columns);

    /// <summary>Whether enough rows were seen, and all was finite.</summary>
    public bool IsValid => _fits && _rows > 0 && Weight > 0 && double.IsFinite(Weight) && RowsInDoubt >= columns && Array.TrueForAll(_cross, double.IsFinite)
        && Enumerable.Range(0, columns).All(i => double.IsFinite(_common[i * _stride + i]));

    /// <summary>
    /// Rows that decide, on average: a class with weights w has (Σw)²/Σw². Where they are fewer than the inputs, as with a few hundred samples of a classifier
    /// that is sure of most, an error that hardly touches them is still one on other data, and the plain squared error is the better measure.
    /// </summary>
    public double RowsInDoubt
    {
        get
        {
            double rows = 0;
            for (var c = 0; c < classes; c++)
                rows += _squares[c] > 0 ? _byWeight[c] * _byWeight[c] * _byWeight[c] / _squares[c] : 0;
            return rows / Weight;
        }
    }

    private double Weight => _byWeight.Sum();

    /// <summary>E[x²] of each input, all classes alike.</summary>
    public double[] Squares => [.. Enumerable.Range(0, columns).Select(c => _common[c * _stride + c] / _rows)];

    /// <inheritdoc/>
    public override void Complete() => Flush();

    /// <summary>What is known for a class.</summary>
    /// <param name="row">The class.</param>
    /// <param name="centered">Whether a bias takes back the mean error.</param>
    public ClassMoments Of(int row, bool centered)
    {
        var n = columns;
        // Weights of 1 on average, and those of the squared error beside them.
        var scale = (double)_rows * classes / Weight;
        double Sum(int i, int j) => (ByClass(row, i, j) * scale + Plain * (j == n + 1 ? _cross[row * (n + 1) + i] : _common[i * _stride + j])) / _rows;
        var total = Sum(n, n);
        double[] means = [.. Enumerable.Range(0, n).Select(i => Sum(i, n) / total)];
        var mean = Sum(n, n + 1) / total;
        var (moments, cross) = (new double[n * n], new double[n]);
        for (var i = 0; i < n; i++)
        {
            cross[i] = Sum(i, n + 1) - (centered ? total * means[i] * mean : 0);
            for (var j = i; j < n; j++)
                moments[i * n + j] = moments[j * n + i] = Sum(i, j) - (centered ? total * means[i] * means[j] : 0);
        }

        return new(moments, cross, means, mean);
    }

    /// <inheritdoc/>
    protected override void See(long samples, ReadOnlySpan<float> values, ReadOnlySpan<long> shape)
    {
        var width = columns + classes;
        _fits &= shape.Length > 0 && shape[^1] == width;
        if (!_fits)
            return;
        var rows = values.Length / width;
        // Where the first axis is not the samples', the run counts as one sample.
        var perSample = samples > 0 && shape[0] == samples ? (int)(rows / samples) : rows;
        Span<int> position = stackalloc int[1];
        for (var start = 0; start < rows; start += perSample)
        {
            for (var i = 0; i < Math.Min(perSample, GramMatrix.PositionsPerSample); i++)
            {
                position[0] = i;
                if (perSample > GramMatrix.PositionsPerSample)
                    Im2Col.Position(_positions++, [perSample], position);
                Add(values.Slice((start + position[0]) * width, width));
            }
        }
    }

    // The inputs, a one, and the score stand side by side.
    private static int Stride(int columns) => (columns + 2 + GramKernel.Width - 1) / GramKernel.Width * GramKernel.Width;

    private double ByClass(int row, int i, int j) => _byClass[((long)row * (columns + 2) + i) * _stride + j];

    private void Add(ReadOnlySpan<float> row)
    {
        if (_byWeight.Length == 0)
            (_byWeight, _squares) = (new double[classes], new double[classes]);
        row.CopyTo(_block.AsSpan(_blockRows * row.Length));
        var scores = _block.AsSpan(_blockRows * row.Length + columns, classes);
        var weights = _weights.AsSpan(_blockRows * classes, classes);
        if (behind is null)
            scores.CopyTo(weights);
        else
            TensorPrimitives.Add(scores, behind, weights);
        // The library's softmax does not do it, and exponentials of scores far from zero are none.
        TensorPrimitives.Subtract(weights, TensorPrimitives.Max<float>(weights), weights);
        TensorPrimitives.SoftMax(weights, weights);

        for (var c = 0; c < classes; c++)
        {
            weights[c] *= 1 - weights[c];
            weights[c] = weights[c] < Least ? 0 : weights[c];
            _byWeight[c] += weights[c];
            _squares[c] += (double)weights[c] * weights[c];
        }

        if (bias is not null)
            TensorPrimitives.Subtract(scores, bias, scores);
        if (++_blockRows == BlockRows)
            Flush();
    }

    private void Flush()
    {
        if (_blockRows == 0)
            return;
        if (_common.Length == 0)
        {
            _common = new double[(columns + 2) * _stride];
            _byClass = new double[(long)classes * (columns + 2) * _stride];
            _cross = new double[classes * (columns + 1)];
        }

        var (width, size) = (columns + classes, (columns + 2) * _stride);
        var rows = new float[BlockRows * _stride];
        var one = new double[columns + 1];
        for (var r = 0; r < _blockRows; r++)
        {
            var row = _block.AsSpan(r * width, width);
            row[..columns].CopyTo(rows.AsSpan(r * _stride));
            rows[r * _stride + columns] = 1;
            TensorPrimitives.ConvertChecked<float, double>(rows.AsSpan(r * _stride, columns + 1), one);
            for (var c = 0; c < classes; c++)
                TensorPrimitives.MultiplyAdd(one, row[columns + c], _cross.AsSpan(c * (columns + 1), columns + 1), _cross.AsSpan(c * (columns + 1), columns + 1));
        }

        GramKernel.Add(rows, _blockRows, columns + 1, _stride, _common);
        for (var c = 0; c < classes; c++)
        {
            var count = 0;
            for (var r = 0; r < _blockRows; r++)
            {
                if (_weights[r * classes + c] == 0)
                    continue;
                var root = MathF.Sqrt(_weights[r * classes + c]);
                var row = rows.AsSpan(count++ * _stride, _stride);
                TensorPrimitives.Multiply(_block.AsSpan(r * width, columns), root, row);
                row[columns] = root;
                row[columns + 1] = _block[r * width + columns + c] * root;
            }

            if (count > 0)
                GramKernel.Add(rows, count, columns + 2, _stride, _byClass.AsSpan(c * size, size));
        }

        _rows += _blockRows;
        _blockRows = 0;
    }
}

/// <summary>What <see cref="ScoreMoments"/> knows for a class.</summary>
/// <param name="Moments">E[x̂x̂ᵀ] or the covariance, [inputs, inputs].</param>
/// <param name="Cross">E[y·x̂], or the covariance, where y is the product that is to be answered like.</param>
/// <param name="Means">E[x̂].</param>
/// <param name="Mean">E[y].</param>
internal sealed record ClassMoments(double[] Moments, double[] Cross, double[] Means, double Mean);
