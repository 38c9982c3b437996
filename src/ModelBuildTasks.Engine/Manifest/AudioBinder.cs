using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes plans of the sources for streaming models.</summary>
internal static class AudioBinder
{
    /// <summary>Why a shuffle is refused.</summary>
    public const string Shuffled = "a dataset with 'feedback' cannot be shuffled: each run goes on from the one before";

    /// <summary>Why a batch is refused.</summary>
    public const string Batched = "a dataset with 'feedback' has one sample a run ('batch: 1'): each run goes on from the one before";

    /// <summary>Recordings; null where the options contradict each other.</summary>
    public static WavSource? Wav(ObjectValue value, string baseDirectory, DiagnosticBag errors)
    {
        if (value["stft"] is not ObjectValue stft)
        {
            var window = (int)value.Get<long>("window")!.Value;
            return Source(new(window, (int)(value.Get<long>("hop") ?? window)) { Context = (int)(value.Get<long>("context") ?? 0) });
        }

        if (!stft.Complete)
            return null;
        if ((value["hop"] ?? value["context"]) is { } foreign)
        {
            errors.Error(
                DiagnosticCodes.InvalidValue,
                value["hop"] is null ? "'context' goes in front of a 'window' of samples; a frame of 'stft' has none" : "with 'stft', 'hop' stands in it",
                foreign.Location);
            return null;
        }

        var size = (int)stft.Get<long>("size")!.Value;
        var taper = stft.Text("window") switch { "hann" => Taper.Hann, "sqrt-hann" => Taper.SqrtHann, _ => Taper.None };
        var form = stft.Text("as") == "complex" ? SpectrumForm.Complex : SpectrumForm.Magnitude;
        return Source(new(size, (int)(stft.Get<long>("hop") ?? size)) { Spectrum = new(taper, form) });

        WavSource Source(AudioFraming framing) =>
            new(value.Location, baseDirectory, value.Text("wav")!, framing) { Rate = (int?)value.Get<long>("rate") };
    }

    /// <summary>An output fed back.</summary>
    public static FeedbackSource Feedback(ObjectValue value) =>
        new(value.Location, value.Text("feedback")!, value.Get<double>("initial") ?? 0);

    /// <summary>Where outputs are fed back, samples follow one another: neither a shuffle nor several samples a run make sense.</summary>
    /// <param name="sources">The sources of the dataset.</param>
    /// <param name="selection">The mapping with <c>shuffle</c> and <c>batch</c>.</param>
    /// <param name="errors">Where errors go.</param>
    public static void CheckOrder(IEnumerable<SourcePlan> sources, ObjectValue selection, DiagnosticBag errors)
    {
        if (!sources.OfType<FeedbackSource>().Any())
            return;
        if (selection["shuffle"] is { } shuffle)
            errors.Error(DiagnosticCodes.InvalidValue, Shuffled, shuffle.Location);
        if (selection.Get<long>("batch") > 1)
            errors.Error(DiagnosticCodes.InvalidValue, Batched, selection["batch"]!.Location);
    }
}
