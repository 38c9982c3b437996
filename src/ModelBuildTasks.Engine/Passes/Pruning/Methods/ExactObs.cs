using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning.Methods;

/// <summary>
/// Exact optimal brain surgeon (ExactOBS, Frantar et al. 2022): from each row the weight goes whose loss w²/[H⁻¹]pp is least after all others have made up
/// for it, one after the other, and each time the rest makes up for it. Of all rows together those steps are taken that cost least.
/// A block of C columns in R rows goes as one: its loss is Σ over its rows of w·([H⁻¹]BB)⁻¹·wᵀ.
/// </summary>
/// <remarks>
/// H⁻¹ of a row without the columns that went is H⁻¹ − VVᵀ, where V grows by a column a step: a Cholesky decomposition of H⁻¹ whose pivots
/// are chosen by the loss. It needs only the column of the weight that goes, so that a row costs n³/6 in place of n³.
/// </remarks>
internal static class ExactObs
{
    /// <summary>What goes from a strip of rows that have the same zeros, in this order, and what each step costs.</summary>
    /// <param name="Units">Positions of single weights or blocks in <see cref="SparseLayer.Order"/>, counted in blocks.</param>
    /// <param name="Losses">What the loss grows by.</param>
    public readonly record struct Trace(int[] Units, double[] Losses);

    /// <summary>Multiplications that the traces of a weight need.</summary>
    /// <param name="rows">Rows, or strips of rows that have the same zeros.</param>
    /// <param name="columns">Columns of a row.</param>
    /// <param name="share">The share of each row that goes.</param>
    public static double Cost(int rows, int columns, double share) => (double)rows * columns * columns * columns * share * share * (0.5 - share / 3);

    /// <summary>The traces of all strips of rows, each until so many blocks are gone.</summary>
    /// <param name="layer">The weight and its inputs.</param>
    /// <param name="most">Blocks of a strip that go at most.</param>
    public static Trace[] Traces(SparseLayer layer, int most)
    {
        var traces = new Trace[layer.Rows.Count / layer.Shape.Rows];
        var inverses = Inverses(layer);
        layer.Each(traces.Length, strip => traces[strip] = new Strip(layer, inverses, strip).Run(most).Trace);
        return traces;
    }

    /// <summary>The pruned weight: so many steps of each strip.</summary>
    public static float[] Weights(SparseLayer layer, Trace[] traces, int[] counts)
    {
        var result = new float[layer.Values.Length];
        var inverses = Inverses(layer);
        layer.Each(traces.Length, s =>
        {
            var strip = new Strip(layer, inverses, s);
            strip.Run(counts[s], traces[s].Units);
            strip.Write(result);
        });
        return result;
    }

    /// <summary>The pruned weight with so many zeros, or with the pattern's.</summary>
    public static float[] Run(SparseLayer layer, long clear)
    {
        if (layer.Shape.IsPattern)
            return Weights(layer, [.. Enumerable.Repeat(default(Trace), layer.Rows.Count)], [.. Enumerable.Repeat(int.MaxValue, layer.Rows.Count)]);
        var size = layer.Shape.Rows * layer.Shape.Columns;
        var perStrip = layer.Rows.Columns / layer.Shape.Columns;
        var strips = layer.Rows.Count / layer.Shape.Rows;
        // Rows differ, but not by more than that.
        var most = (int)Math.Min(perStrip, (perStrip + clear / size / strips) / 2 + 1);
        var traces = Traces(layer, most);
        return Weights(layer, traces, Counts(traces, clear / size));
    }

    /// <summary>How many steps of each strip are among the cheapest so many of all.</summary>
    public static int[] Counts(Trace[] traces, long steps)
    {
        var counts = new int[traces.Length];
        // A strip's next step may be cheaper than the one before it: each counts as much as the dearest so far.
        var queue = new PriorityQueue<int, (double, int)>();
        var dearest = new double[traces.Length];
        for (var s = 0; s < traces.Length; s++)
            Next(s);
        for (; steps > 0 && queue.TryDequeue(out var s, out _); steps--)
        {
            counts[s]++;
            Next(s);
        }

        return counts;

        void Next(int s)
        {
            if (counts[s] >= traces[s].Losses.Length)
                return;
            dearest[s] = Math.Max(dearest[s], traces[s].Losses[counts[s]]);
            queue.Enqueue(s, (dearest[s], s));
        }
    }

    // One for each form, in the order of the layer's columns.
    private static double[][] Inverses(SparseLayer layer)
    {
        var inverses = new double[layer.Forms][];
        layer.Each(inverses.Length, g =>
        {
            var form = layer.Form(g * (layer.Rows.Count / layer.Forms));
            inverses[g] = Cholesky.Inverse(Cholesky.Factor(form.H, form.Size, layer.Order), form.Size);
        });
        return inverses;
    }

    private sealed class Strip
    {
        private readonly SparseLayer _layer;
        private readonly MaskShape _shape;
        private readonly double[] _inverse;
        private readonly int _first;
        private readonly int _size;
        private readonly double[][] _weights;
        private readonly double[] _diagonal;
        private readonly bool[] _gone;
        private readonly int[] _inGroup;
        private double[] _v = [];
        private int _width;
        private int _steps;

        public Strip(SparseLayer layer, double[][] inverses, int strip)
        {
            (_layer, _shape, _size) = (layer, layer.Shape, layer.Rows.Columns);
            _first = strip * _shape.Rows;
            _inverse = inverses[layer.FormOf(_first)];
            _weights = [.. Enumerable.Range(_first, _shape.Rows).Select(r => layer.Row(layer.Values, r)).Select(row => layer.Order.Select(c => row[c]).ToArray())];
            _diagonal = [.. Enumerable.Range(0, _size).Select(i => _inverse[i * _size + i])];
            _gone = new bool[_size];
            _inGroup = _shape.IsPattern ? new int[_size / _shape.Group] : [];
        }

        private int Units => _size / _shape.Columns;

        /// <summary>Lets blocks go, the cheapest first, or the given ones.</summary>
        public (Trace Trace, int Steps) Run(int most, int[]? given = null)
        {
            var limit = _shape.IsPattern ? Units : Math.Min(most, given?.Length ?? Units);
            _width = Math.Max(1, limit * _shape.Columns);
            _v = new double[_size * _width];
            var (units, losses) = (new List<int>(limit), new List<double>(limit));
            // What was zero stays zero, also where a pattern has more of them than it wants.
            if (_shape.IsPattern)
            {
                for (var i = 0; i < _size; i++)
                {
                    if (_weights[0][i] == 0)
                        Drop(i);
                }
            }

            while (units.Count < limit)
            {
                var (unit, loss) = given is null ? Cheapest() : (given[units.Count], 0);
                if (unit < 0)
                    break;
                for (var c = 0; c < _shape.Columns; c++)
                    Drop(unit * _shape.Columns + c);
                units.Add(unit);
                losses.Add(loss);
            }

            return (new([.. units], [.. losses]), units.Count);
        }

        public void Write(float[] result)
        {
            for (var r = 0; r < _shape.Rows; r++)
            {
                for (var i = 0; i < _size; i++)
                {
                    var at = _layer.Rows.Index(_first + r, _layer.Order[i]);
                    // What was zero stays zero, also within a block that is left.
                    result[at] = _gone[i] || _layer.Values[at] == 0 ? 0 : (float)_weights[r][i];
                }
            }
        }

        private (int Unit, double Loss) Cheapest()
        {
            var (best, least) = (-1, double.PositiveInfinity);
            for (var unit = 0; unit < Units; unit++)
            {
                var at = unit * _shape.Columns;
                if (_gone[at] || _shape.IsPattern && _inGroup[at / _shape.Group] >= _shape.Group - _shape.Keep)
                    continue;
                var loss = _shape.Columns == 1 ? Single(at) : Block(at);
                if (loss < least)
                    (best, least) = (unit, loss);
            }

            return (best, least);
        }

        private double Single(int at)
        {
            double sum = 0;
            foreach (var row in _weights)
                sum += row[at] * row[at];
            return sum / _diagonal[at];
        }

        private double Block(int at)
        {
            var n = _shape.Columns;
            var inner = new double[n * n];
            for (var i = 0; i < n; i++)
            {
                for (var j = 0; j <= i; j++)
                    inner[i * n + j] = inner[j * n + i] = Inverse(at + i, at + j);
            }

            var lower = Cholesky.Factor(inner, n, [.. Enumerable.Range(0, n)]);
            // What rounding has made of a block that others replace altogether.
            if (lower.Length == 0)
                return 0;
            double sum = 0;
            foreach (var row in _weights)
            {
                var w = row.AsSpan(at, n).ToArray();
                var solved = (double[])w.Clone();
                Cholesky.Solve(lower, solved);
                sum += TensorPrimitives.Dot<double>(w, solved);
            }

            return sum;
        }

        /// <summary>An element of H⁻¹ as it is after what went.</summary>
        private double Inverse(int i, int j) =>
            _inverse[i * _size + j] - TensorPrimitives.Dot<double>(_v.AsSpan(i * _width, _steps), _v.AsSpan(j * _width, _steps));

        /// <summary>Makes a column of all rows of the strip zero, and the rest make up for it.</summary>
        private void Drop(int p)
        {
            if (_gone[p])
                return;
            _gone[p] = true;
            if (_inGroup.Length > 0)
                _inGroup[p / _shape.Group]++;
            var pivot = Math.Max(_diagonal[p], 1e-300);
            var root = Math.Sqrt(pivot);
            for (var i = 0; i < _size; i++)
            {
                if (_gone[i])
                    continue;
                var v = Inverse(i, p) / root;
                _v[i * _width + _steps] = v;
                // Rounding may not make it negative.
                _diagonal[i] = Math.Max(_diagonal[i] - v * v, 1e-12 * _inverse[i * _size + i]);
                foreach (var row in _weights)
                    row[i] -= row[p] / root * v;
            }

            foreach (var row in _weights)
                row[p] = 0;
            _steps++;
        }
    }
}
