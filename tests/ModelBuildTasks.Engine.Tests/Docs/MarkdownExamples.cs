using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Tests.Manifest;

namespace ModelBuildTasks.Engine.Tests.Docs;

/// <summary>Fenced blocks of the documentation.</summary>
internal static partial class MarkdownExamples
{
    public static string Read(string path) => File.ReadAllText(Path.Combine(TestData.Root, path)).ReplaceLineEndings("\n");

    /// <summary>The contents of the blocks of a language, in order, without their common indentation.</summary>
    public static IReadOnlyList<string> Blocks(string markdown, string language) =>
        [.. Fence().Matches(markdown).Where(m => m.Groups["language"].Value == language).Select(m => m.Groups["text"].Value)];

    /// <summary>The blocks that are whole manifests.</summary>
    public static IReadOnlyList<string> Manifests(string markdown) =>
        [.. Blocks(markdown, "yaml").Where(t => t.StartsWith("version:", StringComparison.Ordinal))];

    /// <summary>A folder with every file that a manifest of the documentation may name.</summary>
    public static ManifestFolder Folder() => new(
        "models/squeezenet.onnx", "models/mnist.onnx", "models/encoder.onnx", "photos/1.jpg", "photos/test/1.jpg", "photos/calibration/1.jpg", "photos/labels.csv",
        "digits/images.gz", "digits/labels.gz", "tokens.npy");

    [GeneratedRegex("^```(?<language>[a-z]*)\n(?<text>.*?)^```$", RegexOptions.Singleline | RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex Fence();
}
