namespace ModelBuildTasks;

/// <summary>Paths as item names: MSBuild gives some characters a meaning, and a path has them as they are.</summary>
internal static class TaskPath
{
    private const string Special = "%*?@$();'";

    public static string Escape(string path) =>
        path.IndexOfAny(Special.ToCharArray()) < 0
            ? path
            : string.Concat(path.Select(c => Special.IndexOf(c) < 0 ? c.ToString() : "%" + ((int)c).ToString("x2", System.Globalization.CultureInfo.InvariantCulture)));
}
