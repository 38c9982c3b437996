namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>What one clean-up step did to the model it was given.</summary>
/// <param name="Changes">Changes made; 0 says that the step has come to rest.</param>
/// <param name="Decisions">What was done to nodes, and what was left (<see cref="Left"/>).</param>
internal sealed record StepResult(int Changes, IReadOnlyList<Decision> Decisions)
{
    /// <summary>The word for a node that was looked at and not changed.</summary>
    public const string Left = "left";

    public static StepResult Of(IReadOnlyList<Decision> decisions) => new(decisions.Count(d => d.What != Left), decisions);
}
