namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>Sources for streaming models: recordings, and outputs fed back.</summary>
internal static class AudioShapes
{
    /// <summary>Samples of a window at most: some minutes.</summary>
    public const int MaxWindow = 1 << 24;

    /// <summary>The largest transform: a size that is a prime takes time with its square.</summary>
    public const int MaxTransform = 1 << 14;

    private static readonly ObjectShape Stft = new("stft", "The short-time Fourier transform: a frame of 'size' samples every 'hop' samples, its bins 0 to size/2.",
    [
        new("size", Scalars.Integer(2, MaxTransform), "Samples of a frame.") { Required = true },
        new("hop", Scalars.Integer(1, MaxWindow), "Samples from one frame's beginning to the next (default: size)."),
        new("window", Scalars.Choice([("none", "nothing (default)"), ("hann", "the periodic Hann window"), ("sqrt-hann", "its square root")]), "What a frame is multiplied with."),
        new("as", Scalars.Choice([("magnitude", "[size/2+1] (default)"), ("complex", "[size/2+1, 2], real and imaginary part")]), "What is given of a bin."),
    ]);

    /// <summary>Recordings.</summary>
    public static ObjectShape Wav { get; } = new("wavSource", "Recordings: wav files, sorted ordinally by relative path; a window is a sample.",
    [
        new("wav", Scalars.Text("a path with wildcards"), "A path, in which *, ? and ** stand for parts of names, names and folders. Values are in +-1; several channels are averaged.") { Required = true },
        new("rate", Scalars.Integer(1), "Samples a second that the model wants; files of another rate are an error."),
        new("window", Scalars.Integer(1, MaxWindow), "Samples of a window."),
        new("hop", Scalars.Integer(1, MaxWindow), "Samples from one window's beginning to the next (default: window)."),
        new("context", Scalars.Integer(0, MaxWindow), "Samples before a window that are put in front of it, zeros before a file's beginning (default 0)."),
        new("stft", Stft, "Spectra in place of windows of samples."),
    ])
    {
        Alternatives = ["window", "stft"],
        AnyOf = ["window", "stft"],
    };

    /// <summary>An output fed back.</summary>
    public static ObjectShape Feedback { get; } = new("feedbackSource", "An output of the model that is fed back as this input, run by run.",
    [
        new("feedback", Scalars.Label("the name of an output"), "The name of the model's output.") { Required = true },
        new("initial", Scalars.Number(), "The value of all elements at the beginning of a sequence (default 0)."),
    ]);
}
