using System.Buffers.Binary;
using System.Text;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Reads numbers from bytes that nobody vouches for: whatever they hold, it ends in a value or in <see cref="InvalidDataException"/>.</summary>
internal ref struct ByteReader(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> _rest = bytes;

    public readonly bool AtEnd => _rest.IsEmpty;

    /// <summary>Bytes that are left: nothing of which one needs at least a byte each can be more.</summary>
    public readonly int Left => _rest.Length;

    public byte Byte() => Take(1)[0];

    public float Single() => BinaryPrimitives.ReadSingleLittleEndian(Take(4));

    public Int128 Int128() => BinaryPrimitives.ReadInt128LittleEndian(Take(16));

    /// <summary>A number in seven bits a byte, least first.</summary>
    public long Unsigned()
    {
        long value = 0;
        for (var shift = 0; shift < 63; shift += 7)
        {
            var part = Byte();
            value |= (long)(part & 0x7F) << shift;
            if (part < 0x80)
                return value;
        }

        throw new InvalidDataException("a number is too long");
    }

    /// <summary>A number with its sign in the last bit.</summary>
    public int Signed()
    {
        var value = Unsigned();
        return checked((int)((value >> 1) ^ -(value & 1)));
    }

    public string Text() => Encoding.UTF8.GetString(Part());

    /// <summary>A length and that many bytes.</summary>
    public ReadOnlySpan<byte> Part() => Take(Unsigned());

    private ReadOnlySpan<byte> Take(long count)
    {
        if (count > _rest.Length)
            throw new InvalidDataException("the entry is too short");
        var taken = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return taken;
    }
}
