using System.Buffers;
using System.Buffers.Binary;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>The messages on the way from a model to its tensors; every other message is copied without a look inside.</summary>
internal enum WireMessage
{
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Other,
}

/// <summary>How a payload field stores its values.</summary>
internal enum PayloadEncoding
{
    Raw,
    Floats,
    Varints,
    Doubles,
}

/// <summary>What the scanner and the writer know of the protobuf wire format and of ONNX field numbers.</summary>
internal static class WireFormat
{
    public const int Varint = 0;
    public const int Fixed64 = 1;
    public const int Delimited = 2;
    public const int Fixed32 = 5;

    public const int RawDataField = 9;

    /// <summary>Deeper nesting than this is refused; bodies in bodies take five levels each.</summary>
    public const int MaxDepth = 90;

    /// <summary>The message behind a length-delimited field.</summary>
    public static WireMessage Child(WireMessage parent, int field) => (parent, field) switch
    {
        (WireMessage.Model, 7) => WireMessage.Graph,
        (WireMessage.Model, 25) => WireMessage.Function,
        (WireMessage.Graph, 1) => WireMessage.Node,
        (WireMessage.Graph, 5) => WireMessage.Tensor,
        (WireMessage.Graph, 15) => WireMessage.SparseTensor,
        (WireMessage.Function, 7) => WireMessage.Node,
        (WireMessage.Function, 11) => WireMessage.Attribute,
        (WireMessage.Node, 5) => WireMessage.Attribute,
        (WireMessage.Attribute, 5 or 10) => WireMessage.Tensor,
        (WireMessage.Attribute, 6 or 11) => WireMessage.Graph,
        (WireMessage.Attribute, 22 or 23) => WireMessage.SparseTensor,
        (WireMessage.SparseTensor, 1 or 2) => WireMessage.Tensor,
        _ => WireMessage.Other,
    };

    /// <summary>How a field of TensorProto stores tensor values; null when it is no payload.</summary>
    public static PayloadEncoding? Payload(int field) => field switch
    {
        4 => PayloadEncoding.Floats,
        5 or 7 or 11 => PayloadEncoding.Varints,
        RawDataField => PayloadEncoding.Raw,
        10 => PayloadEncoding.Doubles,
        _ => null,
    };

    public static int VarintSize(ulong value)
    {
        var size = 1;
        while ((value >>= 7) != 0)
            size++;
        return size;
    }

    public static void WriteVarint(IBufferWriter<byte> output, ulong value)
    {
        var span = output.GetSpan(10);
        var n = 0;
        while (value >= 0x80)
        {
            span[n++] = (byte)(value | 0x80);
            value >>= 7;
        }

        span[n++] = (byte)value;
        output.Advance(n);
    }

    public static void WriteTag(IBufferWriter<byte> output, int field, int wireType) =>
        WriteVarint(output, ((ulong)(uint)field << 3) | (uint)wireType);

    public static void WriteFixed32(IBufferWriter<byte> output, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(output.GetSpan(4), value);
        output.Advance(4);
    }
}
