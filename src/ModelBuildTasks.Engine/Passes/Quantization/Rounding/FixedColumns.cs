namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>A grid some of whose columns have one value only: zero, where a weight was pruned, or what keeps a scale in its place.</summary>
/// <param name="grid">The values that the other columns may have.</param>
/// <param name="values">The value of each column that has one, NaN for the others.</param>
internal readonly struct FixedColumns<TGrid>(TGrid grid, double[] values) : IColumnGrid where TGrid : IColumnGrid
{
    /// <inheritdoc/>
    public double Nearest(int column, double value) => double.IsNaN(values[column]) ? grid.Nearest(column, value) : values[column];

    /// <inheritdoc/>
    public double Distance(int column) => grid.Distance(column);
}
