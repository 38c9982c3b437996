namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>
/// A grid on which a weight that is exactly zero stays zero: a trained weight hardly ever is, so that it was made zero on purpose, by pruning or by padding.
/// </summary>
/// <param name="grid">The values that a column may have; zero is one of them.</param>
/// <param name="weight">The row.</param>
internal readonly struct ZerosKept<TGrid>(TGrid grid, double[] weight) : IColumnGrid where TGrid : IColumnGrid
{
    /// <inheritdoc/>
    public double Nearest(int column, double value) => weight[column] == 0 ? 0 : grid.Nearest(column, value);

    /// <inheritdoc/>
    public double Distance(int column) => grid.Distance(column);
}
