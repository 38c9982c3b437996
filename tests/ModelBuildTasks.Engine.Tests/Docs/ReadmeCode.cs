using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Tests.Manifest;

namespace ModelBuildTasks.Engine.Tests.Docs;

/// <summary>The C# of the README, compiled and run: what stands here between braces is what stands there.</summary>
[TestClass]
public sealed class ReadmeCode
{
    [TestMethod]
    public void The_blocks_of_the_readme_are_the_code_below()
    {
        var code = Unindented(File.ReadAllText(Path.Combine(TestData.Root, "tests/ModelBuildTasks.Engine.Tests/Docs/ReadmeCode.cs")));
        var blocks = MarkdownExamples.Blocks(MarkdownExamples.Read("README.md"), "csharp");
        Assert.HasCount(2, blocks);
        foreach (var block in blocks)
            StringAssert.Contains(code, Unindented(block));
    }

    [TestMethod]
    public void The_accessor_is_used_as_the_readme_shows()
    {
        using var session = CompressedModels.SqueezeNet.CreateSession();
        Console.WriteLine($"{CompressedModels.SqueezeNet.Length} of {CompressedModels.SqueezeNet.OriginalLength} bytes; inputs: {string.Join(", ", session.InputNames)}");
    }

    [TestMethod]
    public void The_engine_is_used_as_the_readme_shows()
    {
        using var folder = new ManifestFolder();
        File.Copy(TestData.Path("mnist/mnist.onnx"), folder.File("mnist.onnx"));
        folder.Add("compression.yaml", "version: 1\ntargets: [ { model: mnist.onnx, recipe: int8-weights } ]\n");
        Run(folder.ManifestPath, folder.File("out"));
        Assert.IsLessThan(20_000L, new FileInfo(folder.File("out/Mnist.onnx")).Length);
    }

    private static void Run(string manifest, string output)
    {
        var plan = ManifestReader.Read(manifest);
        var result = Compressor.Run(new CompressionRequest(plan, output));
        foreach (var target in result.Targets)
            Console.WriteLine($"{target.Plan.Name}: {target.Report.Model.Size} -> {target.Report.Artifact?.Size} bytes");
    }

    // The README has literal paths where the test has its temporary folder.
    private static string Unindented(string text) => string.Join('\n', text.ReplaceLineEndings("\n").Split('\n').Select(l => l.Trim()))
        .Replace("ManifestReader.Read(manifest)", "ManifestReader.Read(\"compression.yaml\")", StringComparison.Ordinal)
        .Replace("CompressionRequest(plan, output)", "CompressionRequest(plan, \"out\")", StringComparison.Ordinal);

    /// <summary>Has the members that the worker's accessor has and the README uses.</summary>
    private static class CompressedModels
    {
        internal static class SqueezeNet
        {
            internal static long Length => 1;

            internal static long OriginalLength => 2;

            internal static InferenceSession CreateSession(SessionOptions? options = null) =>
                new(File.ReadAllBytes(TestData.Path("mnist/mnist.onnx")), options ?? new SessionOptions());
        }
    }
}
