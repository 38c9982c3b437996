using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Windows of recordings, one file's behind the other's.</summary>
internal sealed class WavSamples : SampleSource
{
    private readonly WavSource _plan;
    private readonly IReadOnlyList<WavFile> _files;

    // Windows of all files before each, and of all in all.
    private readonly long[] _starts;

    private WavSamples(WavSource plan, IReadOnlyList<WavFile> files)
    {
        (_plan, _files) = (plan, files);
        _starts = new long[files.Count + 1];
        for (var i = 0; i < files.Count; i++)
            _starts[i + 1] = _starts[i] + Windows(files[i]);
    }

    public override SourceLocation Location => _plan.Location;

    public override long Count => _starts[^1];

    public override DataType Type => DataType.Float;

    public override long[] SampleShape => Framing.Spectrum switch
    {
        null => [Framing.Context + Framing.Window],
        { Form: SpectrumForm.Magnitude } => [Framing.Window / 2 + 1],
        _ => [Framing.Window / 2 + 1, 2],
    };

    public override string Description => Framing.Spectrum is null
        ? $"a window of '{_plan.Pattern}'{(Framing.Context > 0 ? " with its context" : "")} is {DatasetError.Describe(Type, SampleShape)}"
        : $"a spectrum of '{_plan.Pattern}' is {DatasetError.Describe(Type, SampleShape)}";

    private AudioFraming Framing => _plan.Framing;

    /// <summary>Finds the files and reads their headers.</summary>
    /// <exception cref="ModelBuildException">MBT1020: a file cannot be read. MBT1021: a file of another rate. MBT1022: no file, or none that is as long as a window.</exception>
    public static WavSamples Open(WavSource plan)
    {
        var files = Find(plan).Select(f => new WavFile(f, plan.Location)).ToList();
        if (files.Count == 0)
            throw DatasetError.Empty($"No wav file matches '{plan.Pattern}'", plan.Location);
        if (files.FirstOrDefault(f => f.Format.Rate != (plan.Rate ?? files[0].Format.Rate)) is { } other)
        {
            var wanted = plan.Rate is { } rate ? $"'rate' asks for {rate}" : $"'{Path.GetFileName(files[0].Path)}' has {files[0].Format.Rate}";
            throw DatasetError.DoesNotFit($"The recording '{Path.GetFileName(other.Path)}' has {other.Format.Rate} samples a second, and {wanted}. Recordings are not resampled.", plan.Location);
        }

        var samples = new WavSamples(plan, files);
        return samples.Count > 0
            ? samples
            : throw DatasetError.Empty($"No recording that matches '{plan.Pattern}' is as long as a window of {plan.Framing.Window} samples; the longest has {files.Max(f => f.Format.Count)}", plan.Location);
    }

    /// <summary>Each file is a sequence.</summary>
    public override int SequenceOf(long index)
    {
        var found = Array.BinarySearch(_starts, index);
        if (found < 0)
            return ~found - 1;
        // Files without a window share their start with the file behind them.
        while (_starts[found + 1] == index)
            found++;
        return found;
    }

    public override ISampleReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        hash.Add($"wav {Framing.Window} {Framing.Hop} {Framing.Context} {Framing.Spectrum?.Taper} {Framing.Spectrum?.Form}");
        hash.Add(_files.Count);
        foreach (var file in _files)
            hash.AddFile(file.Path, Location);
    }

    private static IReadOnlyList<string> Find(WavSource plan)
    {
        try
        {
            return Recordings.Find(plan.BaseDirectory, plan.Pattern);
        }
        catch (ModelBuildException tooMany)
        {
            throw tooMany.At(plan.Location);
        }
    }

    private long Windows(WavFile file) => file.Format.Count < Framing.Window ? 0 : (file.Format.Count - Framing.Window) / Framing.Hop + 1;

    private sealed class Reader(WavSamples samples) : ISampleReader
    {
        private readonly Spectrum? _spectrum = samples.Framing.Spectrum is { } options ? new(samples.Framing.Window, options) : null;
        private readonly float[] _window = new float[samples.Framing.Window];
        private WavFile.Reader? _reader;
        private int _file = -1;

        public void Read(long index, Span<byte> destination)
        {
            var file = samples.SequenceOf(index);
            if (file != _file)
            {
                _reader?.Dispose();
                (_file, _reader) = (file, samples._files[file].Open());
            }

            var first = (index - samples._starts[file]) * samples.Framing.Hop;
            var target = MemoryMarshal.Cast<byte, float>(destination);
            if (_spectrum is null)
            {
                _reader!.Read(first - samples.Framing.Context, target);
                return;
            }

            _reader!.Read(first, _window);
            _spectrum.Of(_window, target);
        }

        public void Dispose() => _reader?.Dispose();
    }
}
