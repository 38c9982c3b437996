using System.Diagnostics;

namespace ModelBuildTasks.Tool.Building;

/// <summary>Ends this process when the one that started it is gone: a killed MSBuild cannot kill its worker any more.</summary>
internal static class ParentWatch
{
    public static void Start(int parent)
    {
        if (parent <= 0)
            return;
        new Thread(() => Watch(parent)) { IsBackground = true, Name = "parent watch" }.Start();
    }

    private static void Watch(int parent)
    {
        try
        {
            using var process = Process.GetProcessById(parent);
            process.WaitForExit();
        }
        catch (ArgumentException)
        {
            // Already gone.
        }
        // Outputs are renamed into place when they are whole, so this may happen at any time.
        Environment.Exit(1);
    }
}
