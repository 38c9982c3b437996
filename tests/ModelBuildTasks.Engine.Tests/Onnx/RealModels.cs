namespace ModelBuildTasks.Engine.Tests.Onnx;

/// <summary>Every model file of the repository: those beside the tests and those of the samples.</summary>
internal static class RealModels
{
    public static IEnumerable<object[]> Rows => Files().Select(f => new object[] { f });

    public static string Path(string relative) => System.IO.Path.Combine(TestData.Root, relative);

    private static IEnumerable<string> Files() =>
        Directory.EnumerateFiles(Path("tests/data"), "*.onnx", SearchOption.AllDirectories)
            .Concat(Directory.EnumerateDirectories(Path("samples"))
                .Select(s => System.IO.Path.Combine(s, "models"))
                .Where(Directory.Exists)
                .SelectMany(m => Directory.EnumerateFiles(m, "*.onnx")))
            .Select(f => System.IO.Path.GetRelativePath(TestData.Root, f).Replace('\\', '/'))
            .Order(StringComparer.Ordinal);
}
