using System.Text;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The grammar of text tables (RFC 4180): rows of fields, with quotes around separators, line breaks and doubled quotes.</summary>
internal static class TableText
{
    /// <summary>The longest row, in bytes.</summary>
    public const int LongestRow = 1 << 26;

    private const int MostRows = 100_000_000;

    /// <summary>The offsets at which the rows of a UTF-8 text begin, without blank ones, and the end of the text.</summary>
    /// <exception cref="FormatException">A quote that is not closed, a row longer than <see cref="LongestRow"/>, or too many rows.</exception>
    public static long[] FindRows(Stream text, byte separator)
    {
        var rows = new List<long>();
        var buffer = new byte[1 << 16];
        var read = text.ReadAtLeast(buffer, 3, throwOnEndOfStream: false);
        var first = buffer.AsSpan(0, read).StartsWith(Encoding.UTF8.Preamble) ? 3 : 0;
        long start = first, position = first;
        var (quoted, fieldStart, afterQuote, blank) = (false, true, false, true);
        for (; read > 0; read = text.Read(buffer), first = 0)
        {
            foreach (var b in buffer.AsSpan(first, read - first))
            {
                position++;
                if (quoted)
                {
                    (quoted, afterQuote) = (b != '"', b == '"');
                }
                else if (b == '"' && (fieldStart || afterQuote))
                {
                    (quoted, afterQuote, blank, fieldStart) = (true, false, false, false);
                }
                else if (b is (byte)'\n' or (byte)'\r')
                {
                    if (!blank)
                        rows.Add(start);
                    start = position;
                    (blank, fieldStart, afterQuote) = (true, true, false);
                }
                else
                {
                    (fieldStart, afterQuote) = (b == separator, false);
                    blank &= !fieldStart && b is (byte)' ' or (byte)'\t';
                }

                if (position - start > LongestRow)
                    throw new FormatException(quoted ? "a quote is not closed" : "a row is longer than 64 MiB");
                if (rows.Count > MostRows)
                    throw new FormatException($"it has more than {MostRows} rows");
            }
        }

        if (quoted)
            throw new FormatException("a quote is not closed");
        if (!blank)
            rows.Add(start);
        return [.. rows, position];
    }

    /// <summary>The fields of the row at the text's start; what follows the row is left alone.</summary>
    public static List<string> Fields(string text, char separator)
    {
        var fields = new List<string>();
        var field = new StringBuilder();
        var (quoted, fieldStart) = (false, true);
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (quoted)
            {
                if (c != '"')
                    field.Append(c);
                else if (i + 1 < text.Length && text[i + 1] == '"')
                    field.Append(text[++i]);
                else
                    quoted = false;
            }
            else if (c == '"' && fieldStart)
            {
                (quoted, fieldStart) = (true, false);
            }
            else if (c is '\n' or '\r')
            {
                break;
            }
            else if (c == separator)
            {
                fields.Add(field.ToString());
                field.Clear();
                fieldStart = true;
            }
            else
            {
                field.Append(c);
                fieldStart = false;
            }
        }

        fields.Add(field.ToString());
        return fields;
    }
}
