namespace Microsoft.Build.Framework;

/// <summary>
/// Lets <c>-mt</c> builds run a task inside their own process. MSBuild looks for it by name, so that tasks need not be compiled
/// against the version that brought it. Who bears it touches neither the current directory nor the environment.
/// </summary>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
internal sealed class MSBuildMultiThreadableTaskAttribute : Attribute;
