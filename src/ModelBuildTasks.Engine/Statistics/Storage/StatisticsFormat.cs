using System.Security.Cryptography;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Statistics as bytes: a mark, then for each value its name and its sections (a number, a length, the content), then SHA-256 of all of
/// it. A new kind of statistics is one more section in <see cref="StatisticsSections"/>.
/// </summary>
internal static class StatisticsFormat
{
    private static ReadOnlySpan<byte> Mark => "MBTSTAT1"u8;

    private const byte EndOfSections = 0;

    public static byte[] Write(IReadOnlyDictionary<string, StoredTensor> tensors)
    {
        var writer = new ByteWriter();
        foreach (var value in Mark)
            writer.Byte(value);
        foreach (var (name, tensor) in tensors.OrderBy(t => t.Key, StringComparer.Ordinal))
        {
            writer.Text(name);
            foreach (var section in StatisticsSections.All)
            {
                var content = new ByteWriter();
                section.Write(tensor, content);
                if (content.Written.Length > 0)
                    writer.Byte(section.Number).Part(content.Written);
            }

            writer.Byte(EndOfSections);
        }

        return [.. writer.Written, .. SHA256.HashData(writer.Written)];
    }

    /// <summary>Reads bytes; null when they are not what <see cref="Write"/> wrote.</summary>
    public static Dictionary<string, StoredTensor>? Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < Mark.Length + SHA256.HashSizeInBytes || !bytes.StartsWith(Mark))
            return null;
        var content = bytes[..^SHA256.HashSizeInBytes];
        if (!bytes[^SHA256.HashSizeInBytes..].SequenceEqual(SHA256.HashData(content)))
            return null;
        try
        {
            var tensors = new Dictionary<string, StoredTensor>();
            var reader = new ByteReader(content[Mark.Length..]);
            while (!reader.AtEnd)
            {
                var name = reader.Text();
                var tensor = new StoredTensor(null, null, null);
                for (var number = reader.Byte(); number != EndOfSections; number = reader.Byte())
                {
                    var section = StatisticsSections.All.FirstOrDefault(s => s.Number == number) ?? throw new InvalidDataException("an unknown section");
                    var part = new ByteReader(reader.Part());
                    tensor = section.Read(tensor, ref part);
                    if (!part.AtEnd)
                        throw new InvalidDataException("a section is too long");
                }

                if (!tensors.TryAdd(name, tensor))
                    return null;
            }

            return tensors;
        }
        catch (Exception e) when (e is InvalidDataException or OverflowException)
        {
            return null;
        }
    }
}
