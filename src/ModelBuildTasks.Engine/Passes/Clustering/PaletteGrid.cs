using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>The values of a palette, the same for every column of a row.</summary>
/// <param name="values">Distinct, ascending.</param>
/// <param name="wanted">The row where its exact zeros stay zeros, else null.</param>
internal readonly struct PaletteGrid(double[] values, double[]? wanted) : IColumnGrid
{
    private readonly double _gap = Gap(values);

    /// <inheritdoc/>
    public double Nearest(int column, double value) => wanted is not null && wanted[column] == 0 ? 0 : values[ScalarKMeans.Nearest(values, value)];

    /// <inheritdoc/>
    public double Distance(int column) => _gap;

    // The least gap: no step between two values is taken for rounding.
    private static double Gap(double[] values)
    {
        var least = double.PositiveInfinity;
        for (var i = 1; i < values.Length; i++)
            least = Math.Min(least, values[i] - values[i - 1]);
        return double.IsFinite(least) ? least : 1;
    }
}
