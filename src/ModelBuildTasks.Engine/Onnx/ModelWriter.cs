using System.Buffers;
using System.Security.Cryptography;
using Google.Protobuf;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Writes a model: the serialized skeleton with every payload reference replaced by <c>raw_data</c>. Payloads go from file
/// to file through one buffer. A model that would pass protobuf's 2 GiB is written with its tensors in a data file beside it.
/// </summary>
internal static class ModelWriter
{
    /// <summary>Files from here on are written with external data; protobuf ends at 2^31 bytes.</summary>
    internal const long InlineLimit = 2_000_000_000;

    /// <summary>Tensors in a data file start at multiples of this, so that a runtime can map them.</summary>
    private const int Alignment = 4096;

    /// <summary>Smaller tensors stay in the model file; runtimes read shape constants from there.</summary>
    private const int ExternalThreshold = 1024;

    public static void Save(OnnxModel model, string path, long inlineLimit = InlineLimit)
    {
        var target = Path.GetFullPath(path);
        var temporary = target + ".tmp";
        var data = target + ".data";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            var size = PayloadBytes(model);
            var written = model;
            if (size > inlineLimit)
                written = MoveOut(model, data);
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16))
                Write(written, stream);
            // Not before both are whole: an earlier model keeps the data file that is its own.
            if (!ReferenceEquals(written, model))
                File.Move(data + ".tmp", data, overwrite: true);
            File.Move(temporary, target, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelBuildException(DiagnosticCodes.CannotWrite, $"'{target}' cannot be written: {e.Message}", inner: e);
        }
        finally
        {
            Remove(temporary);
            Remove(data + ".tmp");
        }
    }

    /// <summary>Bytes of all tensors as the writer would put them into one file.</summary>
    internal static long PayloadBytes(OnnxModel model) =>
        TensorWalk.All(model.Proto).Sum(model.ByteLength);

    public static byte[] ToBytes(OnnxModel model)
    {
        using var stream = new MemoryStream();
        Write(model, stream);
        return stream.ToArray();
    }

    /// <summary>SHA-256 of the model as one file, in hex; nothing is kept in memory but the graph.</summary>
    internal static string Sha256(OnnxModel model)
    {
        using var hash = SHA256.Create();
        using (var stream = new CryptoStream(Stream.Null, hash, CryptoStreamMode.Write))
            Write(model, stream);
        return Convert.ToHexStringLower(hash.Hash!);
    }

    private static void Write(OnnxModel model, Stream stream)
    {
        var skeleton = model.Proto.ToByteArray();
        var lengths = new Queue<long>();
        var measure = new Splicer(skeleton, model.Payloads);
        measure.Measure(WireMessage.Model, 0, skeleton.Length, lengths);
        measure.Write(stream, lengths);
    }

    // Of a path whose folder does not exist, or is a file, there is nothing to remove.
    private static void Remove(string path)
    {
        if (File.Exists(path))
            File.Delete(path);
    }

    /// <summary>A copy of the model whose large tensors lie in <paramref name="dataPath"/>, which is written with <c>.tmp</c> behind its name.</summary>
    private static OnnxModel MoveOut(OnnxModel model, string dataPath)
    {
        var clone = model.Clone();
        var temporary = dataPath + ".tmp";
        try
        {
            using (var data = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            {
                // One payload that several tensors share is written once.
                var places = new Dictionary<long, long>();
                foreach (var tensor in TensorWalk.All(clone.Proto).Where(t => t.HasPayloadRef && model.Payloads[t.PayloadRef].Length >= ExternalThreshold))
                {
                    var payload = model.Payloads[tensor.PayloadRef];
                    if (!places.TryGetValue(tensor.PayloadRef, out var offset))
                    {
                        data.Write(new byte[(Alignment - (int)(data.Position % Alignment)) % Alignment]);
                        places[tensor.PayloadRef] = offset = data.Position;
                        payload.CopyTo(data);
                    }

                    tensor.ClearPayloadRef();
                    tensor.DataLocation = TensorProto.Types.DataLocation.External;
                    tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = Path.GetFileName(dataPath) });
                    tensor.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = $"{offset}" });
                    tensor.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = $"{payload.Length}" });
                }
            }
        }
        catch
        {
            Remove(temporary);
            throw;
        }

        return clone;
    }

    /// <summary>Two walks over the skeleton: one that learns the length of each message with its payloads in it, one that writes.</summary>
    private sealed class Splicer(byte[] skeleton, PayloadStore payloads)
    {
        public long Measure(WireMessage message, int start, int end, Queue<long> lengths)
        {
            // Lengths are queued in the order in which the writer needs them: a message before what is inside it.
            long total = 0;
            var slots = new List<long>();
            foreach (var field in Fields(start, end))
            {
                if (message == WireMessage.Tensor && field.Number == TensorProto.PayloadRefFieldNumber)
                {
                    var length = payloads[(long)field.Value].Length;
                    total += 1 + WireFormat.VarintSize((ulong)length) + length;
                }
                else if (Child(message, field) is var child and not WireMessage.Other)
                {
                    var inner = new Queue<long>();
                    var length = Measure(child, field.BodyStart, field.End, inner);
                    slots.Add(length);
                    slots.AddRange(inner);
                    total += field.TagLength + WireFormat.VarintSize((ulong)length) + length;
                }
                else
                {
                    total += field.End - field.Start;
                }
            }

            slots.ForEach(lengths.Enqueue);
            return total;
        }

        public void Write(Stream output, Queue<long> lengths) => Write(WireMessage.Model, 0, skeleton.Length, output, lengths);

        private void Write(WireMessage message, int start, int end, Stream output, Queue<long> lengths)
        {
            foreach (var field in Fields(start, end))
            {
                if (message == WireMessage.Tensor && field.Number == TensorProto.PayloadRefFieldNumber)
                {
                    var payload = payloads[(long)field.Value];
                    WriteHead(output, WireFormat.RawDataField, payload.Length);
                    payload.CopyTo(output);
                }
                else if (Child(message, field) is var child and not WireMessage.Other)
                {
                    WriteHead(output, field.Number, lengths.Dequeue());
                    Write(child, field.BodyStart, field.End, output, lengths);
                }
                else
                {
                    output.Write(skeleton.AsSpan(field.Start, field.End - field.Start));
                }
            }
        }

        private static WireMessage Child(WireMessage message, Field field) =>
            field.WireType == WireFormat.Delimited ? WireFormat.Child(message, field.Number) : WireMessage.Other;

        private static void WriteHead(Stream output, int field, long length)
        {
            var head = new ArrayBufferWriter<byte>(16);
            WireFormat.WriteTag(head, field, WireFormat.Delimited);
            WireFormat.WriteVarint(head, (ulong)length);
            output.Write(head.WrittenSpan);
        }

        private IEnumerable<Field> Fields(int start, int end)
        {
            for (var at = start; at < end;)
            {
                var begin = at;
                var tag = Varint(ref at);
                var tagLength = at - begin;
                var wireType = (int)(tag & 7);
                ulong value = 0;
                var body = at;
                switch (wireType)
                {
                    case WireFormat.Varint: value = Varint(ref at); break;
                    case WireFormat.Fixed32: at += 4; break;
                    case WireFormat.Fixed64: at += 8; break;
                    default:
                        var length = (int)Varint(ref at);
                        body = at;
                        at += length;
                        break;
                }

                yield return new Field((int)(tag >> 3), wireType, begin, tagLength, body, at, value);
            }
        }

        private ulong Varint(ref int at)
        {
            ulong value = 0;
            for (var shift = 0; ; shift += 7)
            {
                var b = skeleton[at++];
                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80)
                    return value;
            }
        }
    }

    private readonly record struct Field(int Number, int WireType, int Start, int TagLength, int BodyStart, int End, ulong Value);
}
