namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>In which order the units of a group go, and what is lost with each.</summary>
/// <param name="Order">Units, the first to go first; those that are never to go are not among them.</param>
/// <param name="Losses">[k]: the loss when the first k are gone, from 0; a share of the readers' output power, summed over readers.</param>
internal sealed record RemovalTrace(int[] Order, double[] Losses)
{
    /// <summary>A trace of scores that do not depend on what went before.</summary>
    /// <param name="scores">The score of each unit; of equal ones the first goes first.</param>
    /// <param name="most">How many may go.</param>
    public static RemovalTrace OfScores(double[] scores, int most)
    {
        int[] order = [.. Enumerable.Range(0, scores.Length).OrderBy(u => scores[u]).Take(most)];
        var losses = new double[order.Length + 1];
        for (var k = 0; k < order.Length; k++)
            losses[k + 1] = losses[k] + scores[order[k]];
        return new(order, losses);
    }
}
