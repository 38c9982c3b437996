using System.Text;

namespace ModelBuildTasks.Engine.Tests.Data;

/// <summary>Wav files byte by byte.</summary>
internal static class WavBytes
{
    /// <summary>A file of 16 bit samples of one channel.</summary>
    public static string Write(TemporaryFolder folder, string name, int rate, params short[] samples) =>
        Save(folder, name, File([.. Chunk("fmt ", Format(1, 1, rate, 16)), .. Chunk("data", [.. samples.SelectMany(BitConverter.GetBytes)])]));

    public static string Save(TemporaryFolder folder, string name, byte[] bytes)
    {
        var path = folder.File(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        System.IO.File.WriteAllBytes(path, bytes);
        return path;
    }

    public static byte[] File(params byte[] chunks) => [.. "RIFF"u8, .. BitConverter.GetBytes(4 + chunks.Length), .. "WAVE"u8, .. chunks];

    public static byte[] Chunk(string name, params byte[] content) =>
        [.. Encoding.Latin1.GetBytes(name), .. BitConverter.GetBytes(content.Length), .. content, .. new byte[content.Length % 2]];

    public static byte[] Format(ushort tag, ushort channels, int rate, ushort bits)
    {
        var frame = (ushort)(channels * bits / 8);
        return [.. BitConverter.GetBytes(tag), .. BitConverter.GetBytes(channels), .. BitConverter.GetBytes(rate), .. BitConverter.GetBytes(rate * frame), .. BitConverter.GetBytes(frame), .. BitConverter.GetBytes(bits)];
    }

    /// <summary>WAVE_FORMAT_EXTENSIBLE.</summary>
    public static byte[] Extensible(ushort tag, ushort channels, int rate, ushort bits) =>
    [
        .. Format(0xFFFE, channels, rate, bits), .. BitConverter.GetBytes((ushort)22), .. BitConverter.GetBytes(bits), .. new byte[4],
        .. BitConverter.GetBytes(tag), 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71,
    ];
}
