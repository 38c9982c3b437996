using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// Optimal brain surgeon on coupled groups (Hassibi and Stork 1993; group form as in Kurtic et al. 2023): when the columns P of a weight W go
/// and the rest makes up for it by least squares, the outputs lose tr(W_P·([H⁻¹]_PP)⁻¹·W_Pᵀ). A unit's loss is the sum over all its readers.
/// Units go one after the other, the one with the least loss first, and what is left is updated each time.
/// </summary>
/// <remarks>
/// Only H⁻¹ and WᵀW are kept of a reader, both [K, K]: with T = H⁻¹_:P·([H⁻¹]_PP)⁻¹ a removal makes H⁻¹ − T·H⁻¹_P: of the one, and of the other
/// (I − T·Sᵀ)·WᵀW·(I − S·Tᵀ), S picking P. The cost does not depend on the number of rows.
/// </remarks>
internal static class ObsTrace
{
    // Units that go at once are so many that there are about this many steps.
    private const int Steps = 96;

    /// <summary>The trace of a group.</summary>
    /// <param name="group">The group.</param>
    /// <param name="readers">Its readers.</param>
    /// <param name="most">How many units may go.</param>
    public static RemovalTrace Of(ChannelGroup group, Readers readers, int most)
    {
        var blocks = group.Consumers.SelectMany(c => readers.Of(c) is { } r ? Enumerable.Range(0, r.Groups).Select(g => new Block(r, g, c.Columns)) : []).ToList();
        var left = Enumerable.Range(0, group.Units).ToList();
        var order = new List<int>();
        var losses = new List<double> { 0 };
        while (order.Count < most)
        {
            var scores = new double[left.Count];
            foreach (var block in blocks)
            {
                for (var i = 0; i < scores.Length; i++)
                    scores[i] += block.Score(left[i]);
            }

            var step = Math.Min(most - order.Count, Math.Max(1, group.Units / Steps));
            var going = Enumerable.Range(0, left.Count).OrderBy(i => scores[i]).Take(step).ToList();
            var together = blocks.Sum(b => b.Remove([.. going.Select(i => left[i])]));
            // What units that go at once lose together is spread by what each would lose alone.
            var alone = going.Sum(i => scores[i]);
            foreach (var i in going)
            {
                order.Add(left[i]);
                losses.Add(losses[^1] + (alone > 0 ? together * scores[i] / alone : 0));
            }

            left = [.. left.Except(order)];
        }

        return new([.. order], [.. losses]);
    }

    private sealed class Block
    {
        private readonly int _n;
        private readonly int[][] _columns;
        private readonly double[] _inverse;
        private readonly double[] _products;

        public Block(Reader reader, int group, int[][] columns)
        {
            (_n, _columns) = (reader.Columns, columns);
            _inverse = Cholesky.Inverse(Cholesky.FactorDamped((double[])reader.Moments(group).Clone(), _n), _n);
            _products = reader.Products(group);
        }

        public double Score(int unit)
        {
            var columns = _columns[unit];
            switch (columns.Length)
            {
                case 0:
                    return 0;
                case 1:
                    var at = columns[0] * _n + columns[0];
                    return _inverse[at] > 0 ? Math.Max(0, _products[at] / _inverse[at]) : 0;
                default:
                    return Loss(columns, Inverted(columns));
            }
        }

        /// <summary>Removes units, and gives what they lose together.</summary>
        public double Remove(int[] units)
        {
            int[] columns = [.. units.SelectMany(u => _columns[u]).Distinct().Order()];
            if (columns.Length == 0)
                return 0;
            var (n, q) = (_n, columns.Length);
            var inverted = Inverted(columns);
            var loss = Loss(columns, inverted);
            // Rows of Aᵀ = H⁻¹_P:, of Tᵀ = (H⁻¹_PP)⁻¹·Aᵀ, and of N = M_P: − ½·M_PP·Tᵀ.
            var (a, t, rest) = (new double[q * n], new double[q * n], new double[q * n]);
            for (var i = 0; i < q; i++)
                _inverse.AsSpan(columns[i] * n, n).CopyTo(a.AsSpan(i * n, n));
            for (var i = 0; i < q; i++)
            {
                for (var j = 0; j < q; j++)
                    AddTo(t.AsSpan(i * n, n), inverted[i * q + j], a.AsSpan(j * n, n));
            }

            for (var i = 0; i < q; i++)
            {
                _products.AsSpan(columns[i] * n, n).CopyTo(rest.AsSpan(i * n, n));
                for (var j = 0; j < q; j++)
                    AddTo(rest.AsSpan(i * n, n), -0.5 * _products[columns[i] * n + columns[j]], t.AsSpan(j * n, n));
            }

            Parallel.For(0, n, row =>
            {
                var inverse = _inverse.AsSpan(row * n, n);
                var products = _products.AsSpan(row * n, n);
                for (var i = 0; i < q; i++)
                {
                    AddTo(inverse, -t[i * n + row], a.AsSpan(i * n, n));
                    AddTo(products, -t[i * n + row], rest.AsSpan(i * n, n));
                    AddTo(products, -rest[i * n + row], t.AsSpan(i * n, n));
                }
            });
            foreach (var column in columns)
            {
                for (var i = 0; i < n; i++)
                    _inverse[column * n + i] = _inverse[i * n + column] = _products[column * n + i] = _products[i * n + column] = 0;
            }

            return loss;
        }

        private static void AddTo(Span<double> sum, double factor, ReadOnlySpan<double> values)
        {
            if (factor != 0)
                TensorPrimitives.MultiplyAdd(values, factor, sum, sum);
        }

        /// <summary>([H⁻¹]_PP)⁻¹.</summary>
        private double[] Inverted(int[] columns)
        {
            var q = columns.Length;
            var part = new double[q * q];
            for (var i = 0; i < q; i++)
            {
                for (var j = 0; j < q; j++)
                    part[i * q + j] = _inverse[columns[i] * _n + columns[j]];
            }

            return SmallInverse(Cholesky.FactorDamped(part, q), q);
        }

        private static double[] SmallInverse(double[] lower, int n)
        {
            var inverse = new double[n * n];
            for (var i = 0; i < n; i++)
            {
                var row = inverse.AsSpan(i * n, n);
                row[i] = 1;
                Cholesky.Solve(lower, row);
            }

            return inverse;
        }

        private double Loss(int[] columns, double[] inverted)
        {
            var q = columns.Length;
            double sum = 0;
            for (var i = 0; i < q; i++)
            {
                for (var j = 0; j < q; j++)
                    sum += inverted[i * q + j] * _products[columns[i] * _n + columns[j]];
            }

            return Math.Max(0, sum);
        }
    }
}
