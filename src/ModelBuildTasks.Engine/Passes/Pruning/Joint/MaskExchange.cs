using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning.Joint;

/// <summary>
/// Exchanges in a row of a weight that lies on a grid: a weight becomes zero and a zero becomes a weight where eᵀHe falls by it. The number of zeros stays,
/// in the row and, for a pattern, in each group. A sweep decides on each zero before it knows what is left behind it; this mends it.
/// </summary>
/// <param name="form">The output error.</param>
/// <param name="grid">The values that a weight may have.</param>
/// <param name="order">The columns, those of a group one behind the other.</param>
/// <param name="group">Columns of a group; 0 where any two columns may exchange.</param>
internal sealed class MaskExchange(QuadraticForm form, GridRounding.Grid grid, int[] order, int group)
{
    // Few exchanges are found later.
    private const int Passes = 4;

    // What an exchange has to gain of the row's loss.
    private const double Least = 1e-7;

    private readonly int _size = form.Size;

    /// <summary>Exchanges as long as it helps.</summary>
    /// <param name="wanted">w.</param>
    /// <param name="error">ŵ − w, changed in place.</param>
    /// <param name="values">The value of each column that has one only, see <see cref="FixedColumns{TGrid}"/>; zeros move in it.</param>
    /// <param name="movable">Which zeros may become weights.</param>
    /// <returns>Whether there was an exchange.</returns>
    public bool Run(double[] wanted, double[] error, double[] values, bool[] movable)
    {
        var gradient = new double[_size];
        for (var i = 0; i < _size; i++)
            gradient[i] = TensorPrimitives.Dot<double>(form.H.AsSpan(i * _size, _size), error);
        var least = Least * Math.Max(0, TensorPrimitives.Dot<double>(gradient, error));
        var any = false;
        for (var pass = 0; pass < Passes; pass++)
        {
            var changed = false;
            for (var at = 0; at < _size; at++)
            {
                var zero = order[at];
                if (values[zero] != 0 || !movable[zero])
                    continue;
                var (from, until) = group == 0 ? (0, _size) : (at / group * group, at / group * group + group);
                if (Partner(zero, from, until, wanted, error, values, gradient) is not var (other, value) || !Exchange(zero, other, value, -(wanted[other] + error[other]), error, gradient, least))
                    continue;
                (values[zero], values[other]) = (double.NaN, 0);
                movable[other] = true;
                changed = any = true;
            }

            if (!changed)
                break;
        }

        return any;
    }

    /// <summary>The weight whose place a zero takes best, and the zero's value then; null where none may go.</summary>
    private (int Column, double Value)? Partner(int zero, int from, int until, double[] wanted, double[] error, double[] values, double[] gradient)
    {
        var row = form.H.AsSpan(zero * _size, _size);
        var (curvature, slope) = (row[zero], gradient[zero]);
        var (best, least) = (-1, double.PositiveInfinity);
        for (var at = from; at < until; at++)
        {
            var j = order[at];
            if (!double.IsNaN(values[j]))
                continue;
            var step = -(wanted[j] + error[j]);
            var pull = slope + row[j] * step;
            var change = step * (2 * gradient[j] + form.H[j * _size + j] * step) - pull * pull / curvature;
            if (change < least)
                (best, least) = (j, change);
        }

        if (best < 0 || least >= 0)
            return null;
        var ideal = -(slope - row[best] * (wanted[best] + error[best])) / curvature;
        return (best, grid.Nearest(zero, ideal));
    }

    private bool Exchange(int zero, int other, double value, double step, double[] error, double[] gradient, double least)
    {
        // What is zero has the error −w, and its step is its value.
        var row = form.H.AsSpan(zero * _size, _size);
        var change = 2 * (gradient[zero] * value + gradient[other] * step) + row[zero] * value * value + form.H[other * _size + other] * step * step + 2 * row[other] * value * step;
        if (value == 0 || !(change < -least))
            return false;
        error[zero] += value;
        error[other] += step;
        TensorPrimitives.MultiplyAdd(row, value, gradient, gradient);
        TensorPrimitives.MultiplyAdd(form.H.AsSpan(other * _size, _size), step, gradient, gradient);
        return true;
    }
}
