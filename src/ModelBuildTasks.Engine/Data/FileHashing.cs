using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;

namespace ModelBuildTasks.Engine.Data;

internal static class FileHashing
{
    /// <summary>Adds the content of a dataset's file; its name does not count.</summary>
    public static void AddFile(this ContentHasher hash, string path, SourceLocation location)
    {
        try
        {
            hash.AddFile(path);
        }
        catch (Exception fault) when (DatasetError.IsFileFault(fault))
        {
            throw DatasetError.Unreadable(path, fault.Message, location, fault);
        }
    }
}
