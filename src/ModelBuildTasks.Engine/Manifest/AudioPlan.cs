using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Recordings: wav files, cut into windows or short-time spectra; a window is a sample. Values are in ±1, several channels are averaged.</summary>
/// <param name="Location">Where the source stands.</param>
/// <param name="BaseDirectory">Full path of the folder that <paramref name="Pattern"/> is relative to.</param>
/// <param name="Pattern">A glob (<c>*</c>, <c>?</c>, <c>**</c>) with <c>/</c> between folders; <c>..</c> is allowed at its start.</param>
/// <param name="Framing">Which samples of a recording make a window, and what becomes of them.</param>
public sealed record WavSource(SourceLocation Location, string BaseDirectory, string Pattern, AudioFraming Framing) : SourcePlan(Location)
{
    /// <summary>Samples a second that every file must have; null when the manifest does not say, and all files must agree.</summary>
    public int? Rate { get; init; }
}

/// <summary>How a recording is cut: window i begins at sample i·Hop, and one that would reach beyond the end is left out.</summary>
/// <param name="Window">Samples of a window.</param>
/// <param name="Hop">Samples from one window's beginning to the next.</param>
public sealed record AudioFraming(int Window, int Hop)
{
    /// <summary>Samples before the window that are put in front of it; zeros before a file's beginning.</summary>
    public int Context { get; init; }

    /// <summary>The spectrum that is taken of a window; null for the samples themselves.</summary>
    public SpectrumOptions? Spectrum { get; init; }
}

/// <summary>The discrete Fourier transform of a window of real samples, not scaled: bins 0 to size/2.</summary>
/// <param name="Taper">What the window is multiplied with.</param>
/// <param name="Form">What is given of a bin.</param>
public sealed record SpectrumOptions(Taper Taper, SpectrumForm Form);

/// <summary>What a window is multiplied with before its spectrum is taken.</summary>
public enum Taper
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>The periodic Hann window, ½ − ½·cos(2πn/size).</summary>
    Hann,

    /// <summary>The square root of the periodic Hann window.</summary>
    SqrtHann,
}

/// <summary>What is given of a spectrum.</summary>
public enum SpectrumForm
{
    /// <summary>Magnitudes [size/2+1].</summary>
    Magnitude,

    /// <summary>Real and imaginary parts [size/2+1, 2].</summary>
    Complex,
}

/// <summary>An output of the model, fed back as this input: each run gets what the run before gave, the first of a sequence the initial value.</summary>
/// <param name="Location">Where the source stands.</param>
/// <param name="Output">The model's output.</param>
/// <param name="Initial">The value of all elements at the beginning of a sequence; the shape is what the model declares, free dimensions being 1.</param>
public sealed record FeedbackSource(SourceLocation Location, string Output, double Initial) : SourcePlan(Location);
