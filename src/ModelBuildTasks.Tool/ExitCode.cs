namespace ModelBuildTasks.Tool;

/// <summary>What the program ends with.</summary>
internal static class ExitCode
{
    public const int Done = 0;

    /// <summary>A gate, the manifest, a model or its data failed.</summary>
    public const int Failed = 1;

    /// <summary>The command line is wrong: options, or a file that does not exist.</summary>
    public const int WrongCall = 2;

    /// <summary>A fault of this tool or of the environment.</summary>
    public const int OurFault = 3;

    /// <summary>Ended by Ctrl-C: 128 + SIGINT, as shells have it.</summary>
    public const int Cancelled = 130;
}
