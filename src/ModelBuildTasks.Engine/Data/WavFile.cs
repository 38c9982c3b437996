using System.Buffers.Binary;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Data;

/// <summary>One recording: its headers are read, its samples are read when they are asked for.</summary>
internal sealed class WavFile
{
    private readonly SourceLocation _location;

    /// <exception cref="ModelBuildException">MBT1020: it cannot be read, or is no wav file that can.</exception>
    public WavFile(string path, SourceLocation location)
    {
        (Path, _location) = (path, location);
        Format = Guard(() =>
        {
            using var file = File.OpenHandle(path);
            return WavFormat.Read((at, target) => RandomAccess.Read(file, target, at), RandomAccess.GetLength(file));
        });
    }

    public string Path { get; }

    public WavFormat Format { get; }

    /// <summary>A reader for one enumeration.</summary>
    public Reader Open() => new(this);

    private T Guard<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception fault) when (fault is FormatException || DatasetError.IsFileFault(fault))
        {
            throw DatasetError.Unreadable(Path, fault.Message, _location, fault);
        }
    }

    /// <summary>Reads samples in ±1; the mean of several channels.</summary>
    internal sealed class Reader(WavFile wav) : IDisposable
    {
        private const int BlockFrames = 4096;
        private readonly FileStream _file = wav.Guard(() => new FileStream(wav.Path, FileMode.Open, FileAccess.Read, FileShare.Read, 1));
        private readonly byte[] _block = new byte[BlockFrames * wav.Format.FrameBytes];

        /// <summary>Fills a span with the samples from an index on; what lies before the first one is 0.</summary>
        public void Read(long first, Span<float> target)
        {
            var silent = (int)Math.Clamp(-first, 0, target.Length);
            target[..silent].Clear();
            for (var at = silent; at < target.Length;)
            {
                var frames = Math.Min(BlockFrames, target.Length - at);
                var offset = wav.Format.DataOffset + (first + at) * wav.Format.FrameBytes;
                var length = frames * wav.Format.FrameBytes;
                _ = wav.Guard(() =>
                {
                    _file.Position = offset;
                    _file.ReadExactly(_block, 0, length);
                    return 0;
                });
                Decode(target.Slice(at, frames));
                at += frames;
            }
        }

        public void Dispose() => _file.Dispose();

        private void Decode(Span<float> target)
        {
            var (channels, width) = (wav.Format.Channels, wav.Format.Bits / 8);
            for (var i = 0; i < target.Length; i++)
            {
                double sum = 0;
                for (var c = 0; c < channels; c++)
                    sum += Sample(_block.AsSpan((i * channels + c) * width));
                target[i] = (float)(sum / channels);
            }
        }

        private double Sample(ReadOnlySpan<byte> bytes) => wav.Format.Bits switch
        {
            8 => (bytes[0] - 128) / 128.0,
            16 => BinaryPrimitives.ReadInt16LittleEndian(bytes) / 32768.0,
            24 => (bytes[0] | bytes[1] << 8 | (sbyte)bytes[2] << 16) / 8388608.0,
            _ => wav.Format.IsFloat ? BinaryPrimitives.ReadSingleLittleEndian(bytes) : BinaryPrimitives.ReadInt32LittleEndian(bytes) / 2147483648.0,
        };
    }
}
