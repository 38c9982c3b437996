namespace ModelBuildTasks.Engine.Passes;

/// <summary>Something in a model that a runtime policy does not allow.</summary>
/// <param name="Node">The node's name, or its first output's where it has none.</param>
/// <param name="What">What is wrong with it.</param>
internal sealed record Violation(string Node, string What);
