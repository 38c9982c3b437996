using System.Buffers.Binary;
using ModelBuildTasks.Engine.Diagnostics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>One run of payload bytes in a model file.</summary>
internal readonly record struct PayloadSegment(PayloadEncoding Encoding, long Offset, long Length);

/// <summary>
/// The payload of a tensor as the file stores it. Raw bytes, packed floats and packed doubles are raw data as they lie there;
/// varints (<c>int32_data</c> and its like) are decoded when they are read.
/// </summary>
internal sealed class StoredPayload(SourceFile file, List<PayloadSegment> segments) : Payload
{
    private readonly WeakReference<byte[]?> _decoded = new(null);
    private DataType _type;
    private long _count;

    public override long Length => ElementTypes.ByteLength(_type, _count);

    private bool IsPlain => segments.Count == 1 && segments[0].Encoding != PayloadEncoding.Varints;

    /// <summary>Tells the payload its tensor's type and number of elements; a contradiction is an error that names the tensor.</summary>
    public void Bind(DataType type, long count, string tensor)
    {
        _type = type;
        _count = count;
        if (segments.Any(s => s.Encoding != segments[0].Encoding))
            throw Damaged(tensor, "has values in more than one data field");
        if (!Fits(segments[0].Encoding))
            throw Damaged(tensor, $"has its {ElementTypes.Name(type)} values in the data field of another type");
        var stored = segments.Sum(s => s.Length);
        if (segments[0].Encoding != PayloadEncoding.Varints)
        {
            if (stored != Length)
                throw Damaged(tensor, $"should have {Length:N0} bytes for its shape and has {stored:N0}");
        }
        else if (VarintCount() is var least && (stored < least || stored > 10 * least))
        {
            throw Damaged(tensor, $"should have {least:N0} values and has {stored:N0} bytes of them");
        }
    }

    public override void Read(long offset, Span<byte> destination)
    {
        if (IsPlain)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + destination.Length, Length);
            file.Read(segments[0].Offset + offset, destination);
            return;
        }

        // Streaming reads piece by piece; what is decoded stays until memory is short.
        if (!_decoded.TryGetTarget(out var decoded))
            _decoded.SetTarget(decoded = Decode());
        decoded.AsSpan(checked((int)offset), destination.Length).CopyTo(destination);
    }

    private bool Fits(PayloadEncoding encoding) => encoding switch
    {
        PayloadEncoding.Floats => _type is DataType.Float or DataType.Complex64,
        PayloadEncoding.Doubles => _type is DataType.Double or DataType.Complex128,
        PayloadEncoding.Varints => _type is not (DataType.Float or DataType.Complex64 or DataType.Double or DataType.Complex128),
        _ => true,
    };

    // Types narrower than 32 bits lie one value a varint; 4-bit and 2-bit types one byte of raw data a varint.
    private long VarintCount() => ElementTypes.Bits(_type) < 8 ? Length : _count;

    private byte[] Decode()
    {
        // Unpacked values lie one by one between their tags; one read for all of them.
        var start = segments[0].Offset;
        var source = new byte[segments[^1].Offset + segments[^1].Length - start];
        file.Read(start, source);
        var stored = new byte[segments.Sum(s => s.Length)];
        var at = 0;
        foreach (var segment in segments)
        {
            source.AsSpan((int)(segment.Offset - start), (int)segment.Length).CopyTo(stored.AsSpan(at));
            at += (int)segment.Length;
        }

        return segments[0].Encoding == PayloadEncoding.Varints ? DecodeVarints(stored) : stored;
    }

    private byte[] DecodeVarints(ReadOnlySpan<byte> stored)
    {
        var raw = new byte[Length];
        var width = Math.Max(1, ElementTypes.Bits(_type) / 8);
        var values = VarintCount();
        Span<byte> wide = stackalloc byte[8];
        for (long i = 0; i < values; i++)
        {
            ulong value = 0;
            for (var shift = 0; ; shift += 7)
            {
                if (stored.IsEmpty || shift > 63)
                    throw Damaged("", "has fewer values than its shape asks for");
                var b = stored[0];
                stored = stored[1..];
                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80)
                    break;
            }

            BinaryPrimitives.WriteUInt64LittleEndian(wide, value);
            wide[..width].CopyTo(raw.AsSpan((int)(i * width)));
        }

        return stored.IsEmpty ? raw : throw Damaged("", "has more values than its shape asks for");
    }

    private ModelBuildException Damaged(string tensor, string why) =>
        new(DiagnosticCodes.DamagedModel, $"'{file.Path}' is damaged: tensor {(tensor.Length > 0 ? $"'{tensor}' " : "")}{why}");
}
