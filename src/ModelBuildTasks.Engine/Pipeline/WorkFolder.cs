using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>A folder beside the artifact, on the same volume so that the last step is a rename.</summary>
internal sealed class WorkFolder : IDisposable
{
    private WorkFolder(string path) => Path = path;

    public string Path { get; }

    /// <exception cref="ModelBuildException">MBT2007: it cannot be made.</exception>
    public static WorkFolder Create(string directory, string name)
    {
        var path = System.IO.Path.GetFullPath(System.IO.Path.Combine(directory, $".{name}.{System.IO.Path.GetRandomFileName()}"));
        Failures.Writing(directory, () => Directory.CreateDirectory(path));
        return new(path);
    }

    public void Dispose()
    {
        try
        {
            Directory.Delete(Path, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A virus scanner may hold a file; what is left over does not matter to the result.
        }
    }
}
