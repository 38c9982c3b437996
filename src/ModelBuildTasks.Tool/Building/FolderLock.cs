namespace ModelBuildTasks.Tool.Building;

/// <summary>Holds a folder against other workers, such as a second build of the same project. The system frees it when its holder dies.</summary>
internal sealed class FolderLock : IDisposable
{
    private readonly FileStream _file;

    private FolderLock(FileStream file) => _file = file;

    /// <summary>Waits until the folder is free.</summary>
    public static FolderLock Wait(string folder, Action waiting)
    {
        for (var told = false; ; told = true)
        {
            if (TryTake(folder) is { } taken)
                return taken;
            if (!told)
                waiting();
            Thread.Sleep(100);
        }
    }

    private static FolderLock? TryTake(string folder)
    {
        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, "lock");
        try
        {
            return new FolderLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (IOException e) when (IsHeld(e))
        {
            return null;
        }
    }

    // Sharing and lock violation of Windows, EWOULDBLOCK of Linux and macOS. Anything else, such as a volume that cannot be
    // written, does not pass by waiting.
    private static bool IsHeld(IOException e) => e.HResult is unchecked((int)0x80070020) or unchecked((int)0x80070021) or 11 or 35;

    public void Dispose() => _file.Dispose();
}
