using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Codes of a row of weights for the least output error where the row may have any values: a palette, or the grid of any number of bits.</summary>
internal static class PaletteRounding
{
    /// <summary>The index of each weight's value.</summary>
    /// <param name="wanted">The row.</param>
    /// <param name="palette">The values, ascending and distinct.</param>
    /// <param name="form">The output error of the row, from the Gram matrix of what it meets.</param>
    public static int[] Codes(double[] wanted, ReadOnlyMemory<float> palette, QuadraticForm form)
    {
        var grid = new Palette(palette);
        var (error, _) = GridRounding.Least(wanted, grid, form);
        return [.. wanted.Select((w, c) => grid.Code(w + error[c]))];
    }

    private readonly struct Palette : IColumnGrid
    {
        private readonly ReadOnlyMemory<float> _values;
        private readonly double _gap;

        public Palette(ReadOnlyMemory<float> values)
        {
            (_values, _gap) = (values, double.PositiveInfinity);
            for (var i = 1; i < values.Length; i++)
                _gap = Math.Min(_gap, (double)values.Span[i] - values.Span[i - 1]);
        }

        public int Code(double value)
        {
            var values = _values.Span;
            var (low, high) = (0, values.Length - 1);
            while (high - low > 1)
            {
                var middle = (low + high) / 2;
                (low, high) = values[middle] <= value ? (middle, high) : (low, middle);
            }

            return value - values[low] <= values[high] - value ? low : high;
        }

        public double Nearest(int column, double value) => _values.Span[Code(value)];

        // The least: a step to a neighbour is never missed.
        public double Distance(int column) => _gap;
    }
}
