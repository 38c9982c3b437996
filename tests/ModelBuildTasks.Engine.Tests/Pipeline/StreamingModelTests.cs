using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Tests.Data;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class StreamingModelTests
{
    [TestMethod]
    public void A_streaming_model_is_calibrated_and_validated_on_a_recording_with_the_same_bytes_on_any_threads()
    {
        using var folder = Folder();
        var one = Compress(folder, "stateN", threads: 1);
        var four = Compress(folder, "stateN", threads: 4);
        var report = one.Report.Targets.Single();
        Assert.IsTrue(one.Succeeded, string.Join('\n', report.Diagnostics));
        Assert.AreEqual("speech (skip 8)", report.Validation!.Data);
        Assert.AreEqual(12, report.Validation.Samples);
        Assert.IsTrue(report.Layers.Any(l => l.Decision.Contains("static", StringComparison.Ordinal)));
        Assert.AreEqual(report.Artifact!.Sha256, four.Report.Targets.Single().Artifact!.Sha256);
        CollectionAssert.AreEqual(
            report.Validation.Metrics.Select(m => m.Compressed).ToArray(), four.Report.Targets.Single().Validation!.Metrics.Select(m => m.Compressed).ToArray());
    }

    [TestMethod]
    public void A_misspelt_output_is_told_at_its_source()
    {
        using var folder = Folder();
        var error = Compress(folder, "stateM", threads: 1).Targets.Single().Diagnostics.Single();
        Assert.AreEqual((DiagnosticCodes.DatasetDoesNotFit, 7), (error.Code, error.Location!.Value.Line));
        StringAssert.Contains(error.Message, "Did you mean 'stateN'?");
    }

    private static TemporaryFolder Folder()
    {
        var folder = new TemporaryFolder();
        var random = new Random(1);
        WavBytes.Write(folder, "a.wav", 16000, [.. Enumerable.Range(0, 512 * 20).Select(i => (short)(9000 * Math.Sin(i * 0.05) * Math.Sin(i * 0.0007) + random.Next(-900, 900)))]);
        return folder;
    }

    private static CompressionResult Compress(TemporaryFolder folder, string output, int threads)
    {
        var text = $$"""
            version: 1
            datasets:
              speech:
                inputs:
                  input: { wav: "*.wav", rate: 16000, window: 512, context: 64 }
                  sr: { value: 16000 }
                  state: { feedback: {{output}}, initial: 0 }
            targets:
              - { model: '{{TestData.Path("silero-vad/silero_vad_16k_op15.onnx")}}', name: Vad, recipe: int8, calibration: { use: speech, take: 8 }, validate: { data: { use: speech, skip: 8 } } }
            """;
        var plan = ManifestReader.ReadText(text, folder.File("compression.yaml"), "compression.yaml");
        return Compressor.Run(new CompressionRequest(plan, folder.File($"out{threads}")) { Threads = threads });
    }
}
