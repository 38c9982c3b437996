namespace ModelBuildTasks;

/// <summary>The diagnostic codes that the tasks give by themselves; the others come from the worker.</summary>
internal static class Codes
{
    public const string InvalidValue = "MBT1006";
    public const string CannotWrite = "MBT2007";
    public const string NoDecoder = "MBT2032";
    public const string InternalError = "MBT9001";
    public const string WorkerCrashed = "MBT9002";
    public const string UnsupportedPlatform = "MBT9003";
    public const string WorkerNotFound = "MBT9004";
}
