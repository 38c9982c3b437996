using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// G = Σ x·xᵀ and m = Σ x over the im2col rows x of one value as a weighted node reads it, a matrix for each group. Rows are added in
/// the order of the samples whatever thread brings them, and float sums never span more than a fixed block of rows: the bits do not
/// depend on threads, nor on the split into batches where the first axis is the samples'.
/// </summary>
/// <param name="value">Name of the observed value.</param>
/// <param name="geometry">How the node reads it.</param>
/// <param name="graph">The graph of the node, see <see cref="OrderedObserver.Graph"/>.</param>
internal sealed class GramMatrix(string value, GramGeometry geometry, int graph = 0) : OrderedObserver(value, graph)
{
    /// <summary>Most bytes of one node's matrices; a node that would need more gets none.</summary>
    public const long MaximumBytes = 32 << 20;

    /// <summary>Most positions of a sample that count; of larger outputs an even, deterministic choice.</summary>
    public const int PositionsPerSample = 256;

    private const int BlockRows = 64;

    private readonly int _stride = Stride(geometry.Columns);
    private float[] _block = [];
    private double[] _gram = [];
    private double[] _sums = [];
    private int _blockRows;
    private long _positions;

    /// <summary>How the node reads it.</summary>
    public GramGeometry Geometry { get; } = geometry;

    /// <summary>n, the number of rows seen.</summary>
    public long Rows { get; private set; }

    /// <summary>Whether every run had a shape that fits the geometry.</summary>
    private bool Fits { get; set; } = true;

    /// <summary>Bytes of a geometry's matrices.</summary>
    public static long Bytes(GramGeometry geometry) => sizeof(double) * (long)geometry.Groups * geometry.Columns * Stride(geometry.Columns);

    /// <summary>Whether rows were seen, all of them finite.</summary>
    public bool IsValid => Fits && Rows > 0 && Array.TrueForAll(_sums, double.IsFinite) && Enumerable.Range(0, Geometry.Groups * Geometry.Columns)
        .All(i => double.IsFinite(_gram[(long)i * _stride + i % Geometry.Columns]));

    /// <inheritdoc/>
    public override void Complete()
    {
        Flush();
        _block = [];
    }

    /// <summary>G/n of a group, or with <paramref name="centered"/> the covariance G/n − (m/n)(m/n)ᵀ; [Columns, Columns], row-major.</summary>
    public double[] Moments(int group, bool centered)
    {
        var n = Geometry.Columns;
        var result = new double[n * n];
        var means = Means(group);
        for (var i = 0; i < n; i++)
        {
            for (var j = i; j < n; j++)
            {
                var moment = _gram[((long)group * n + i) * _stride + j] / Rows;
                result[i * n + j] = result[j * n + i] = centered ? moment - means[i] * means[j] : moment;
            }
        }

        return result;
    }

    /// <summary>m/n of a group: the mean of each column.</summary>
    public double[] Means(int group) => [.. _sums.AsSpan(group * Geometry.Columns, Geometry.Columns).ToArray().Select(s => s / Rows)];

    /// <summary>
    /// All that decides <see cref="Moments"/> and <see cref="Means"/>, to be read or written: the rows of each group's upper triangle, then Σ x.
    /// Empty while nothing was seen.
    /// </summary>
    internal IEnumerable<Memory<double>> Content => Enumerable.Range(0, _sums.Length)
        .Select(i => _gram.AsMemory(i * _stride + i % Geometry.Columns, Geometry.Columns - i % Geometry.Columns))
        .Append(_sums);

    /// <summary>Makes it a matrix of so many rows with a <see cref="Content"/> of zeros, or an empty one.</summary>
    /// <param name="rows">n; 0 for an empty one.</param>
    /// <param name="fits">Whether the shapes of the runs fitted; a matrix where they did not stays invalid.</param>
    internal void Restore(long rows, bool fits)
    {
        (Rows, Fits) = (rows, fits);
        (_gram, _sums) = ([], []);
        if (rows > 0)
            Allocate();
    }

    private static int Stride(int columns) => (columns + GramKernel.Width - 1) / GramKernel.Width * GramKernel.Width;

    /// <inheritdoc/>
    protected override void See(long samples, ReadOnlySpan<float> values, ReadOnlySpan<long> shape)
    {
        if (!Fits)
            return;
        if (Geometry.Kernel.Length == 0)
            AddProduct(samples, values, shape);
        else
            AddConvolution(values, shape);
    }

    private void AddProduct(long samples, ReadOnlySpan<float> values, ReadOnlySpan<long> shape)
    {
        var columns = Geometry.Columns;
        Fits &= shape.Length > 0 && shape[^1] == columns;
        if (!Fits)
            return;
        var rows = values.Length / columns;
        // Where the first axis is not the samples', the run counts as one sample.
        var perSample = samples > 0 && shape[0] == samples ? (int)(rows / samples) : rows;
        Span<int> position = stackalloc int[1];
        for (var start = 0; start < rows; start += perSample)
        {
            var count = Math.Min(perSample, PositionsPerSample);
            for (var i = 0; i < count; i++)
            {
                position[0] = i;
                if (perSample > PositionsPerSample)
                    Im2Col.Position(_positions++, [perSample], position);
                values.Slice((start + position[0]) * columns, columns).CopyTo(NextRow(0));
                EndRow();
            }
        }
    }

    private void AddConvolution(ReadOnlySpan<float> values, ReadOnlySpan<long> shape)
    {
        var axes = Geometry.Kernel.Length;
        var (groups, channels) = (Geometry.Groups, Geometry.Channels);
        Fits &= shape.Length == axes + 2 && shape[1] == groups * channels;
        if (!Fits)
            return;
        Span<int> input = stackalloc int[axes];
        var plane = 1;
        for (var a = 0; a < axes; a++)
            plane *= input[a] = (int)shape[a + 2];
        var output = Geometry.Output(input);
        var all = output.Aggregate(1L, (product, length) => product * Math.Max(0, length));
        Span<int> position = stackalloc int[axes];
        Span<int> offsets = Geometry.Taps <= 256 ? stackalloc int[Geometry.Taps] : new int[Geometry.Taps];
        var group = channels * plane;
        for (var start = 0; start < values.Length; start += groups * group)
        {
            for (long i = 0; i < Math.Min(all, PositionsPerSample); i++)
            {
                if (all > PositionsPerSample)
                    Im2Col.Position(_positions++, output, position);
                else
                    Unravel(i, output, position);
                Im2Col.Offsets(Geometry, input, position, offsets);
                for (var g = 0; g < groups; g++)
                    Im2Col.Row(values.Slice(start + g * group, group), plane, offsets, NextRow(g));
                EndRow();
            }
        }
    }

    private static void Unravel(long index, ReadOnlySpan<int> lengths, Span<int> position)
    {
        for (var a = lengths.Length - 1; a >= 0; a--)
            (index, position[a]) = (index / lengths[a], (int)(index % lengths[a]));
    }

    private Span<float> NextRow(int group)
    {
        if (_block.Length == 0)
        {
            _block = new float[Geometry.Groups * BlockRows * _stride];
            Allocate();
        }

        return _block.AsSpan((group * BlockRows + _blockRows) * _stride, Geometry.Columns);
    }

    private void Allocate()
    {
        _gram = new double[Geometry.Groups * Geometry.Columns * _stride];
        _sums = new double[Geometry.Groups * Geometry.Columns];
    }

    private void EndRow()
    {
        if (++_blockRows == BlockRows)
            Flush();
    }

    private void Flush()
    {
        if (_blockRows == 0)
            return;
        var (columns, size) = (Geometry.Columns, Geometry.Columns * _stride);
        Span<float> sum = new float[columns];
        for (var g = 0; g < Geometry.Groups; g++)
        {
            var block = _block.AsSpan(g * BlockRows * _stride, BlockRows * _stride);
            GramKernel.Add(block, _blockRows, columns, _stride, _gram.AsSpan(g * size, size));
            sum.Clear();
            for (var r = 0; r < _blockRows; r++)
                TensorPrimitives.Add(sum, block.Slice(r * _stride, columns), sum);
            for (var i = 0; i < columns; i++)
                _sums[g * columns + i] += sum[i];
        }

        Rows += _blockRows;
        _blockRows = 0;
    }
}
