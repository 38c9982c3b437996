using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Writes what <see cref="ByteReader"/> reads.</summary>
internal sealed class ByteWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    public ByteWriter Byte(byte value)
    {
        _bytes.Write([value]);
        return this;
    }

    public ByteWriter Single(float value)
    {
        BinaryPrimitives.WriteSingleLittleEndian(_bytes.GetSpan(4), value);
        _bytes.Advance(4);
        return this;
    }

    public ByteWriter Int128(Int128 value)
    {
        BinaryPrimitives.WriteInt128LittleEndian(_bytes.GetSpan(16), value);
        _bytes.Advance(16);
        return this;
    }

    public ByteWriter Unsigned(long value)
    {
        for (; value >= 0x80; value >>= 7)
            Byte((byte)(value | 0x80));
        return Byte((byte)value);
    }

    public ByteWriter Signed(int value) => Unsigned(((long)value << 1 ^ (long)value >> 63) & 0x1_FFFF_FFFF);

    public ByteWriter Text(string value) => Part(Encoding.UTF8.GetBytes(value));

    public ByteWriter Part(ReadOnlySpan<byte> value)
    {
        Unsigned(value.Length);
        _bytes.Write(value);
        return this;
    }
}
