using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class StreamsTests
{
    private const string Text = """
        version: 1
        datasets:
          speech:
            inputs:
              input: { wav: sound/*.wav, rate: 16000, window: 512, context: 64 }
              sr: { value: 16000 }
              state: { feedback: stateN, initial: 0.5 }
            take: 1200
          frames:
            inputs:
              input_2: { wav: sound/a.wav, stft: { size: 512, hop: 128, window: sqrt-hann, as: complex } }
              input_3: { feedback: 205 }
          plain:
            inputs:
              input_2: { wav: sound/a.wav, stft: { size: 400 } }
              input_3: { wav: sound/a.wav, window: 8, hop: 3 }
        targets:
          - { model: a.onnx, recipe: int8, calibration: { use: speech, take: 600 }, validate: { data: { use: speech, skip: 600 }, sqnr: { min: 20 } } }
        """;

    [TestMethod]
    public void Sources_for_streams_keep_every_option()
    {
        using var folder = new ManifestFolder("a.onnx", "sound/a.wav", "sound/b.WAV");
        var plan = folder.Read(Text);
        var speech = plan.Datasets["speech"].Inputs;
        var input = (WavSource)speech["input"];
        Assert.AreEqual((folder.Path, "sound/*.wav", 16000), (input.BaseDirectory, input.Pattern, input.Rate));
        Assert.AreEqual(new AudioFraming(512, 512) { Context = 64 }, input.Framing);
        var state = (FeedbackSource)speech["state"];
        Assert.AreEqual(("stateN", 0.5), (state.Output, state.Initial));

        var frames = plan.Datasets["frames"].Inputs;
        Assert.AreEqual(new AudioFraming(512, 128) { Spectrum = new(Taper.SqrtHann, SpectrumForm.Complex) }, ((WavSource)frames["input_2"]).Framing);
        Assert.IsNull(((WavSource)frames["input_2"]).Rate);
        var output = (FeedbackSource)frames["input_3"];
        Assert.AreEqual(("205", 0.0), (output.Output, output.Initial));

        var plain = plan.Datasets["plain"].Inputs;
        Assert.AreEqual(new AudioFraming(400, 400) { Spectrum = new(Taper.None, SpectrumForm.Magnitude) }, ((WavSource)plain["input_2"]).Framing);
        Assert.AreEqual(new AudioFraming(8, 3), ((WavSource)plain["input_3"]).Framing);
    }

    [TestMethod]
    public void Recordings_are_among_the_files_that_a_build_watches()
    {
        using var folder = new ManifestFolder("a.onnx", "sound/a.wav", "sound/b.wav");
        CollectionAssert.IsSubsetOf(new[] { folder.File("sound/a.wav"), folder.File("sound/b.wav") }, folder.Read(Text).Files.ToArray());
    }
}
