namespace ModelBuildTasks.Engine.Passes.Pruning.Joint;

/// <summary>The values that the weights left may have, row by row and column by column.</summary>
internal interface ISweepGrid
{
    /// <summary>The value nearest to one wished for; 0 is one of them.</summary>
    double Nearest(int row, int column, double value);
}
