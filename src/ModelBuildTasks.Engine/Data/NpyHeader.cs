using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The header of NumPy's array files, versions 1 to 3 (numpy.lib.format): a Python dictionary in text.</summary>
internal static class NpyHeader
{
    // NumPy itself refuses more than 10,000 characters unless told otherwise; only records, which are not read here, need more.
    private const int LongestHeader = 1 << 16;

    /// <summary>Bytes at a file's start that hold every header that is read.</summary>
    public const int Reach = LongestHeader + 12;

    /// <summary>Reads the header.</summary>
    /// <param name="start">The file's first bytes: all of them, or <see cref="Reach"/>.</param>
    /// <exception cref="FormatException">Not a header, or one of an array that cannot be read; the message says why.</exception>
    public static ArrayFormat Read(ReadOnlySpan<byte> start)
    {
        if (start.IsEmpty || start[0] != 0x93 || !start[1..].StartsWith("NUMPY"u8))
            throw new FormatException(DatasetError.WrongFormat(start, "an npy file"));
        if (start.Length < 12)
            throw new FormatException("it ends within its header");
        var wide = start[6] switch
        {
            1 => false,
            2 or 3 => true,
            var version => throw new FormatException($"npy version {version} is not known"),
        };
        var offset = wide ? 12 : 10;
        var length = wide ? BinaryPrimitives.ReadUInt32LittleEndian(start[8..]) : BinaryPrimitives.ReadUInt16LittleEndian(start[8..]);
        if (length > LongestHeader)
            throw new FormatException($"its header is {length} bytes long; at most {LongestHeader} are read");
        if (length > start.Length - offset)
            throw new FormatException("it ends within its header");
        return Interpret(new Literal(Encoding.UTF8.GetString(start.Slice(offset, (int)length))).Entries(), offset + length);
    }

    private static ArrayFormat Interpret(Dictionary<string, string> entries, long dataOffset)
    {
        if (!entries.Remove("descr", out var descr) || !entries.Remove("fortran_order", out var order) || !entries.Remove("shape", out var shape))
            throw new FormatException("its header lacks 'descr', 'fortran_order' or 'shape'");
        if (entries.Count > 0)
            throw new FormatException($"its header has an unknown entry '{entries.Keys.First()}'");
        var type = ElementType(descr);
        var columnMajor = order switch
        {
            "True" => true,
            "False" => false,
            _ => throw new FormatException("its header's 'fortran_order' is neither True nor False"),
        };
        return new(type, Shape(shape), dataOffset, descr.Contains('>'), columnMajor);
    }

    private static DataType ElementType(string descr)
    {
        if (descr.StartsWith('['))
            throw new FormatException("it holds records; save each field as an array of its own");
        if (descr.Contains('O'))
            throw new FormatException("it holds Python objects, which are never loaded; save it with a number type");
        return descr.Trim('\'', '"').TrimStart('<', '>', '|', '=') switch
        {
            "f2" => DataType.Float16,
            "f4" => DataType.Float,
            "f8" => DataType.Double,
            "i1" => DataType.Int8,
            "i2" => DataType.Int16,
            "i4" => DataType.Int32,
            "i8" => DataType.Int64,
            "u1" => DataType.Uint8,
            "u2" => DataType.Uint16,
            "u4" => DataType.Uint32,
            "u8" => DataType.Uint64,
            "b1" => DataType.Bool,
            _ => throw new FormatException($"its element type {descr} is not one of float16/32/64, int8 to int64, uint8 to uint64, bool"),
        };
    }

    private static long[] Shape(string text)
    {
        if (!text.StartsWith('('))
            throw new FormatException("its header's 'shape' is no tuple");
        var parts = text.Trim('(', ')').Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length > 32)
            throw new FormatException($"it has {parts.Length} dimensions; at most 32 are read");
        // Python 2 wrote long numbers with an L behind.
        return [.. parts.Select(p => long.TryParse(p.TrimEnd('L'), NumberStyles.None, CultureInfo.InvariantCulture, out var dim)
            ? dim
            : throw new FormatException("its header's 'shape' is no tuple of numbers"))];
    }

    /// <summary>A flat dictionary in Python's notation, whose values are kept as text.</summary>
    private sealed class Literal(string text)
    {
        private int _at;

        public Dictionary<string, string> Entries()
        {
            var entries = new Dictionary<string, string>();
            Expect('{');
            while (Peek() != '}')
            {
                var key = Value().Trim('\'', '"');
                Expect(':');
                if (!entries.TryAdd(key, Value()))
                    throw new FormatException("its header says the same twice");
                if (Peek() == ',')
                    _at++;
                else if (Peek() != '}')
                    throw Damaged();
            }

            return entries;
        }

        private string Value()
        {
            var start = Peek();
            var from = _at;
            var end = start switch
            {
                '\'' or '"' => text.IndexOf(start, _at + 1),
                '(' => text.IndexOf(')', _at),
                '[' => text.LastIndexOf(']'),
                _ => WordEnd(),
            };
            if (end < from)
                throw Damaged();
            _at = end + 1;
            return text[from.._at];
        }

        private int WordEnd()
        {
            var end = _at;
            while (end < text.Length && char.IsAsciiLetterOrDigit(text[end]))
                end++;
            return end - 1;
        }

        private void Expect(char expected)
        {
            if (Peek() != expected)
                throw Damaged();
            _at++;
        }

        private char Peek()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at]))
                _at++;
            return _at < text.Length ? text[_at] : throw Damaged();
        }

        private static FormatException Damaged() => new("its header is damaged");
    }
}
