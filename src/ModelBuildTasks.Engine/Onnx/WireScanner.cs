using System.Buffers;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Walks the wire format of a model file and gives back its skeleton: the same messages with every tensor payload replaced
/// by a reference into a <see cref="PayloadStore"/>. Reads each byte of the skeleton once and skips over payloads, so the
/// cost of a model is that of its graph.
/// </summary>
internal sealed class WireScanner(SourceFile file, PayloadStore payloads)
{
    /// <summary>Graph, names and strings of a model beyond this are refused rather than held in memory.</summary>
    private const long MaxSkeleton = 1L << 30;

    private readonly byte[] _window = new byte[1 << 16];
    private long _windowStart;
    private int _windowLength;
    private long _position;
    private long _skeletonLength;

    /// <summary>The skeleton of the whole file.</summary>
    public ReadOnlyMemory<byte> Scan()
    {
        var skeleton = new ArrayBufferWriter<byte>(1 << 16);
        Scan(WireMessage.Model, file.Length, skeleton, 0);
        return skeleton.WrittenMemory;
    }

    private void Scan(WireMessage message, long end, ArrayBufferWriter<byte> output, int depth)
    {
        if (depth > WireFormat.MaxDepth)
            throw Damaged("messages are nested too deeply");
        List<PayloadSegment>? segments = null;
        while (_position < end)
        {
            var tag = ReadVarint(end);
            var field = (int)Math.Min(tag >> 3, int.MaxValue);
            var wireType = (int)(tag & 7);
            if (field is 0 or > 536_870_911)
                throw Damaged("a field number is out of range");
            var payload = message == WireMessage.Tensor ? WireFormat.Payload(field) : null;
            // A file that uses the number of our own field must not get to name a payload.
            var dropped = message == WireMessage.Tensor && field == TensorProto.PayloadRefFieldNumber;
            switch (wireType)
            {
                case WireFormat.Varint when payload is not null:
                    var start = _position;
                    ReadVarint(end);
                    (segments ??= []).Add(new(payload.Value, start, _position - start));
                    break;
                case WireFormat.Varint:
                    var value = ReadVarint(end);
                    if (!dropped)
                    {
                        WireFormat.WriteTag(output, field, wireType);
                        WireFormat.WriteVarint(output, value);
                    }

                    break;
                case WireFormat.Fixed32 or WireFormat.Fixed64:
                    var width = wireType == WireFormat.Fixed32 ? 4 : 8;
                    Require(width, end);
                    if (payload is not null)
                    {
                        (segments ??= []).Add(new(payload.Value, _position, width));
                        _position += width;
                    }
                    else if (dropped)
                    {
                        _position += width;
                    }
                    else
                    {
                        WireFormat.WriteTag(output, field, wireType);
                        Copy(width, output);
                    }

                    break;
                case WireFormat.Delimited:
                    var length = ReadVarint(end);
                    if (length > (ulong)(end - _position))
                        throw Damaged("a field is longer than the message it is in; the file is truncated or not an ONNX model");
                    if (dropped)
                        _position += (long)length;
                    else
                        ScanDelimited(message, field, (long)length, payload, ref segments, output, depth);
                    break;
                default:
                    throw Damaged("it holds a wire type that ONNX does not use");
            }
        }

        if (segments is not null)
        {
            WireFormat.WriteTag(output, TensorProto.PayloadRefFieldNumber, WireFormat.Varint);
            WireFormat.WriteVarint(output, (ulong)payloads.Add(new StoredPayload(file, segments)));
        }
    }

    private void ScanDelimited(
        WireMessage message, int field, long length, PayloadEncoding? payload, ref List<PayloadSegment>? segments, ArrayBufferWriter<byte> output, int depth)
    {
        if (payload is not null)
        {
            (segments ??= []).Add(new(payload.Value, _position, length));
            _position += length;
            return;
        }

        WireFormat.WriteTag(output, field, WireFormat.Delimited);
        var child = WireFormat.Child(message, field);
        if (child == WireMessage.Other)
        {
            WireFormat.WriteVarint(output, (ulong)length);
            Copy(length, output);
            return;
        }

        var inner = new ArrayBufferWriter<byte>(256);
        Scan(child, _position + length, inner, depth + 1);
        WireFormat.WriteVarint(output, (ulong)inner.WrittenCount);
        output.Write(inner.WrittenSpan);
    }

    private void Copy(long length, ArrayBufferWriter<byte> output)
    {
        _skeletonLength += length;
        if (_skeletonLength > MaxSkeleton)
            throw Damaged("its graph and strings take more than 1 GiB");
        var span = output.GetSpan((int)length)[..(int)length];
        if (length <= _window.Length)
        {
            Fill((int)length);
            _window.AsSpan((int)(_position - _windowStart), (int)length).CopyTo(span);
        }
        else
        {
            file.Read(_position, span);
        }

        output.Advance((int)length);
        _position += length;
    }

    private ulong ReadVarint(long end)
    {
        ulong value = 0;
        for (var shift = 0; shift < 70; shift += 7)
        {
            Require(1, end);
            Fill(1);
            var b = _window[_position - _windowStart];
            _position++;
            value |= shift < 64 ? (ulong)(b & 0x7F) << shift : 0;
            if (b < 0x80)
                return value;
        }

        throw Damaged("a number has more than ten bytes");
    }

    private void Fill(int count)
    {
        if (_position >= _windowStart && _position + count <= _windowStart + _windowLength)
            return;
        _windowStart = _position;
        _windowLength = (int)Math.Min(_window.Length, file.Length - _position);
        file.Read(_windowStart, _window.AsSpan(0, _windowLength));
    }

    private void Require(int count, long end)
    {
        if (_position + count > end)
            throw Damaged("it ends in the middle of a field; the file is truncated or not an ONNX model");
    }

    private ModelBuildException Damaged(string why) =>
        new(DiagnosticCodes.NotAModel, $"'{file.Path}' is not a readable ONNX model: {why} (at byte {_position:N0})");
}
