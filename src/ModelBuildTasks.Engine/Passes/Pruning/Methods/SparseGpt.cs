using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Pruning.Joint;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning.Methods;

/// <summary>
/// SparseGPT (Frantar and Alistarh 2023): columns are gone through one after the other; a weight that becomes zero is made up for by those of its row that
/// are still to come. Which ones become zero is decided for a block of columns at a time, by what their loss would be: w²/[H⁻¹]cc. On the Cholesky
/// factor H = LLᵀ, gone through from its last column, 1/[H⁻¹]cc is L²cc, as in <see cref="QuadraticForm.NearestPlane(ReadOnlySpan{double}, int, Span{double})"/>.
/// </summary>
internal static class SparseGpt
{
    /// <summary>Columns of a block.</summary>
    public const int BlockColumns = 128;

    // Rows that are compared with one another at once: with more, memory grows and nothing else.
    private const int BlockRows = 2048;

    /// <summary>The pruned weight.</summary>
    /// <param name="layer">The weight and its inputs.</param>
    /// <param name="clear">How many weights become zero; of a pattern it says nothing.</param>
    /// <param name="blockColumns">Columns for which zeros are chosen at a time.</param>
    /// <param name="grid">
    /// The values that what is left may have, or null for any: then the errors of zeros and of rounding are made up for together, and zeros are chosen by what
    /// they lose more than rounding does.
    /// </param>
    /// <param name="gone">Gets, in the order of the tensor, which weights were made zero by choice; null where nobody asks.</param>
    public static float[] Run(SparseLayer layer, long clear, int blockColumns = BlockColumns, ISweepGrid? grid = null, bool[]? gone = null)
    {
        var result = new float[layer.Values.Length];
        var perGroup = layer.Rows.Count / layer.Rows.Groups;
        // Rows of one strip of blocks stay together.
        var step = Math.Max(1, BlockRows / layer.Shape.Rows) * layer.Shape.Rows;
        for (var group = 0; group < layer.Rows.Groups; group++)
        {
            // Gone through from its last: reversed, so that the first column comes first.
            int[] order = [.. layer.Order.Reverse()];
            var factors = Factors(layer, group * perGroup, perGroup, order);
            for (var first = 0; first < perGroup; first += step)
            {
                var rows = Math.Min(step, perGroup - first);
                var start = group * perGroup + first;
                var share = (long)((Int128)clear * (start + rows) / layer.Rows.Count - (Int128)clear * start / layer.Rows.Count);
                new Sweep(layer, r => factors[factors.Length == 1 ? 0 : start + r - group * perGroup], order, start, rows, grid).Run(share, blockColumns, result, gone);
            }
        }

        return result;
    }

    /// <summary>The Cholesky factor of each row of a group, or the one that all have.</summary>
    private static double[][] Factors(SparseLayer layer, int first, int rows, int[] order)
    {
        var factors = new double[layer.FormOf(first) == layer.FormOf(first + rows - 1) ? 1 : rows][];
        layer.Each(factors.Length, r =>
        {
            var form = layer.Form(first + r);
            factors[r] = Cholesky.Factor(form.H, form.Size, order);
        });
        return factors;
    }

    private sealed class Sweep(SparseLayer layer, Func<int, double[]> factor, int[] order, int start, int rows, ISweepGrid? grid)
    {
        private readonly int _size = order.Length;
        private readonly MaskShape _shape = layer.Shape;
        private readonly double[][] _sums = [.. Enumerable.Range(0, rows).Select(_ => new double[order.Length])];
        private readonly double[][] _weights = [.. Enumerable.Range(start, rows).Select(r => layer.Row(layer.Values, r))];

        public void Run(long clear, int blockColumns, float[] result, bool[]? gone)
        {
            // Blocks hold whole groups.
            var together = Math.Max(_shape.Columns, Math.Max(1, _shape.Group));
            var width = Math.Max(1, blockColumns / together) * together;
            long cleared = 0;
            for (var end = _size; end > 0; end -= width)
            {
                var begin = Math.Max(0, end - width);
                var until = (long)((Int128)clear * (_size - begin) / _size);
                var mask = Choose(begin, end, until - cleared);
                cleared += mask.LongCount(m => m);
                layer.Each(rows, r => Go(r, begin, end, mask, result, gone));
            }
        }

        private double Wanted(int row, int k) => _weights[row][order[k]] - _sums[row][k] / factor(row)[k * _size + k];

        /// <summary>[rows, end − begin]: what becomes zero.</summary>
        private bool[] Choose(int begin, int end, long clear)
        {
            var width = end - begin;
            var scores = new double[rows * width];
            layer.Each(rows, r =>
            {
                // As if all columns of the block were left, on their grid, and made up for what went before.
                var (sums, lower) = (_sums[r].AsSpan(begin, width).ToArray(), factor(r));
                for (var k = end - 1; k >= begin; k--)
                {
                    var (w, diagonal, sum) = (_weights[r][order[k]], lower[k * _size + k], sums[k - begin]);
                    var loss = diagonal * w - sum;
                    var wanted = w - sum / diagonal;
                    var error = grid is null || w == 0 ? -sum / diagonal : grid.Nearest(start + r, order[k], wanted) - w;
                    var rest = grid is null ? 0 : diagonal * error + sum;
                    // What is zero stays zero.
                    scores[r * width + k - begin] = w == 0 ? 0 : loss * loss - rest * rest;
                    if (error != 0)
                        TensorPrimitives.MultiplyAdd(lower.AsSpan(k * _size + begin, k - begin), error, sums.AsSpan(0, k - begin), sums.AsSpan(0, k - begin));
                }
            });
            var mask = new bool[scores.Length];
            if (_shape.IsPattern)
            {
                layer.Each(rows, r =>
                {
                    for (var g = 0; g < width; g += _shape.Group)
                    {
                        var at = r * width + g;
                        foreach (var i in ScoreMask.Least(scores.AsSpan(at, _shape.Group).ToArray(), _shape.Group - _shape.Keep))
                            mask[at + i] = true;
                    }
                });
            }
            else
                ChooseBlocks(scores, width, clear, mask);

            for (var i = 0; i < mask.Length; i++)
                mask[i] |= _weights[i / width][order[begin + i % width]] == 0;
            return mask;
        }

        private void ChooseBlocks(double[] scores, int width, long clear, bool[] mask)
        {
            var (high, wide) = (_shape.Rows, _shape.Columns);
            var perStrip = width / wide;
            var units = new double[rows / high * perStrip];
            for (var i = 0; i < scores.Length; i++)
                units[i / width / high * perStrip + i % width / wide] += scores[i];
            foreach (var unit in ScoreMask.Least(units, (int)Math.Max(0, clear / (high * wide))))
            {
                for (var r = 0; r < high; r++)
                    mask.AsSpan((unit / perStrip * high + r) * width + unit % perStrip * wide, wide).Fill(true);
            }
        }

        private void Go(int row, int begin, int end, bool[] mask, float[] result, bool[]? gone)
        {
            var (sums, lower) = (_sums[row], factor(row));
            for (var k = end - 1; k >= begin; k--)
            {
                var wanted = Wanted(row, k);
                var goes = mask[row * (end - begin) + k - begin];
                var value = goes ? 0 : (float)(grid?.Nearest(start + row, order[k], wanted) ?? wanted);
                var at = layer.Rows.Index(start + row, order[k]);
                result[at] = value;
                if (gone is not null)
                    gone[at] = goes;
                var error = value - _weights[row][order[k]];
                if (error != 0)
                    TensorPrimitives.MultiplyAdd(lower.AsSpan(k * _size, k), error, sums.AsSpan(0, k), sums.AsSpan(0, k));
            }
        }
    }
}
