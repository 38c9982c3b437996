using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Samples of an npy or IDX file, read by offset; files that cannot be (gzip, column-major) are held in memory, once.</summary>
internal sealed class ArraySamples : SampleSource
{
    /// <summary>The most that is held in memory of a file that cannot be read by offset.</summary>
    public const long HeldAtMost = 1L << 30;

    private readonly string _path;
    private readonly ArrayFormat _format;
    private readonly Lazy<byte[]>? _held;
    private readonly long[] _sampleShape;

    private ArraySamples(string path, SourceLocation location, ArrayFormat format, Lazy<byte[]>? held, bool whole)
    {
        (_path, Location, _format, _held) = (path, location, format, held);
        (Count, _sampleShape) = whole ? (1, format.Shape) : (format.Shape[0], format.Shape[1..]);
        if (_sampleShape.Aggregate(ElementTypes.Bits(format.Type) / 8.0, (bytes, dim) => bytes * dim) > Array.MaxLength)
            throw DatasetError.Unreadable(path, "one sample of it is larger than 2 GB", location);
    }

    public override SourceLocation Location { get; }

    public override long Count { get; }

    public override DataType Type => _format.Type;

    public override long[] SampleShape => _sampleShape;

    public override string Description => $"'{Path.GetFileName(_path)}' is {DatasetError.Describe(_format.Type, _format.Shape)}";

    /// <summary>Opens an npy file.</summary>
    public static ArraySamples OpenNpy(string path, SourceLocation location) => Guard(path, location, () =>
    {
        using var file = File.OpenHandle(path);
        var format = NpyHeader.Read(Start(file, NpyHeader.Reach));
        var bytes = Check(path, location, format, RandomAccess.GetLength(file) - format.DataOffset);
        Lazy<byte[]>? held = null;
        if (format.ColumnMajor && format.Shape.Length > 1)
        {
            if (bytes > HeldAtMost)
                throw new FormatException("it is column-major (Fortran order) and larger than 1 GiB; save it with numpy.ascontiguousarray");
            held = new(() => Guard(path, location, () =>
            {
                using var source = File.OpenHandle(path);
                var data = new byte[bytes];
                ReadFully(source, data, format.DataOffset);
                return ToRowMajor(data, format.Shape, ElementConversion.Size(format.Type));
            }));
        }

        return new ArraySamples(path, location, format, held, whole: false);
    });

    /// <summary>Opens an IDX file, plain or compressed with gzip.</summary>
    public static ArraySamples OpenIdx(string path, SourceLocation location) => Guard(path, location, () =>
    {
        using var file = File.OpenHandle(path);
        var length = RandomAccess.GetLength(file);
        var start = Start(file, IdxHeader.Reach);
        if (!start.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]))
        {
            var plain = IdxHeader.Read(start);
            Check(path, location, plain, length - plain.DataOffset);
            return new ArraySamples(path, location, plain, null, whole: false);
        }

        using var header = Inflate(path);
        var unpacked = new byte[IdxHeader.Reach];
        var format = IdxHeader.Read(unpacked.AsSpan(0, header.ReadAtLeast(unpacked, unpacked.Length, throwOnEndOfStream: false)));
        // Deflate packs at most 1032 bytes into one, which bounds what a header can make us allocate.
        var bytes = Check(path, location, format, length * 1032);
        if (bytes > HeldAtMost)
            throw new FormatException("it is larger than 1 GiB when unpacked; unpack it with gunzip");
        var held = new Lazy<byte[]>(() => Guard(path, location, () =>
        {
            using var stream = Inflate(path);
            stream.ReadExactly(new byte[format.DataOffset]);
            var data = new byte[bytes];
            return stream.ReadAtLeast(data, data.Length, throwOnEndOfStream: false) == bytes
                ? data
                : throw new FormatException("it is shorter than its header says");
        }));
        return new ArraySamples(path, location, format, held, whole: false);
    });

    /// <summary>The whole array as one sample.</summary>
    public ArraySamples AsOneSample() => new(_path, Location, _format, _held, whole: true);

    public override ISampleReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        hash.Add(Count);
        hash.AddFile(_path, Location);
    }

    // The bytes of the values, which must all be there.
    private static long Check(string path, SourceLocation location, ArrayFormat format, long available)
    {
        if (format.Shape.Length == 0)
            throw new FormatException("it is a single number; the first axis counts samples");
        if (format.Shape.Contains(0))
            throw DatasetError.Empty($"The dataset file '{Path.GetFileName(path)}' has no samples: its shape is {DatasetError.Describe(format.Shape)}", location);
        var bytes = format.Shape.Aggregate((UInt128)ElementConversion.Size(format.Type), (size, dim) =>
            size > long.MaxValue ? size : size * (ulong)dim);
        return bytes <= (UInt128)Math.Max(0, available) ? (long)bytes : throw new FormatException("it is shorter than its header says");
    }

    private static GZipStream Inflate(string path) => new(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read), CompressionMode.Decompress);

    private static ReadOnlySpan<byte> Start(SafeFileHandle file, int count)
    {
        var buffer = new byte[Math.Min(count, RandomAccess.GetLength(file))];
        ReadFully(file, buffer, 0);
        return buffer;
    }

    private static void ReadFully(SafeFileHandle file, Span<byte> destination, long offset)
    {
        while (destination.Length > 0)
        {
            var read = RandomAccess.Read(file, destination, offset);
            if (read == 0)
                throw new FormatException("it became shorter while it was read");
            destination = destination[read..];
            offset += read;
        }
    }

    private static T Guard<T>(string path, SourceLocation location, Func<T> open)
    {
        try
        {
            return open();
        }
        catch (Exception fault) when (fault is FormatException or InvalidDataException || DatasetError.IsFileFault(fault))
        {
            throw DatasetError.Unreadable(path, fault.Message, location, fault);
        }
    }

    private static byte[] ToRowMajor(byte[] data, long[] shape, int size)
    {
        var result = new byte[data.Length];
        var strides = new long[shape.Length];
        for (long axis = 0, stride = size; axis < shape.Length; axis++)
            (strides[axis], stride) = (stride, stride * shape[axis]);
        var index = new long[shape.Length];
        long source = 0;
        for (var target = 0; target < result.Length; target += size)
        {
            data.AsSpan((int)source, size).CopyTo(result.AsSpan(target));
            for (var axis = shape.Length - 1; axis >= 0; axis--)
            {
                source += strides[axis];
                if (++index[axis] < shape[axis])
                    break;
                source -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }

        return result;
    }

    private static void ToLittleEndian(Span<byte> bytes, int size)
    {
        switch (size)
        {
            case 2: Reverse<ushort>(bytes, BinaryPrimitives.ReverseEndianness); break;
            case 4: Reverse<uint>(bytes, BinaryPrimitives.ReverseEndianness); break;
            case 8: Reverse<ulong>(bytes, BinaryPrimitives.ReverseEndianness); break;
        }
    }

    private delegate void Reversal<T>(ReadOnlySpan<T> source, Span<T> destination);

    private static void Reverse<T>(Span<byte> bytes, Reversal<T> reverse) where T : unmanaged
    {
        var values = MemoryMarshal.Cast<byte, T>(bytes);
        reverse(values, values);
    }

    private sealed class Reader : ISampleReader
    {
        private readonly ArraySamples _samples;
        private readonly SafeFileHandle? _file;

        public Reader(ArraySamples samples)
        {
            _samples = samples;
            if (samples._held is null)
                _file = Guard(samples._path, samples.Location, () => File.OpenHandle(samples._path));
        }

        public void Read(long index, Span<byte> destination)
        {
            var offset = index * destination.Length;
            if (_file is null)
            {
                _samples._held!.Value.AsSpan((int)offset, destination.Length).CopyTo(destination);
            }
            else
            {
                try
                {
                    ReadFully(_file, destination, _samples._format.DataOffset + offset);
                }
                catch (Exception fault) when (fault is FormatException || DatasetError.IsFileFault(fault))
                {
                    throw DatasetError.Unreadable(_samples._path, fault.Message, _samples.Location, fault);
                }
            }

            if (_samples._format.BigEndian)
                ToLittleEndian(destination, ElementConversion.Size(_samples.Type));
        }

        public void Dispose() => _file?.Dispose();
    }
}
