using System.IO.Compression;
using System.Text;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>Writes arrays as NumPy reads them (numpy.lib.format, version 1.0; npz is a zip of such files).</summary>
internal static class NumpyFiles
{
    /// <summary>Writes one run's inputs by name.</summary>
    public static void WriteNpz(string path, IReadOnlyDictionary<string, Tensor> arrays)
    {
        using var archive = ZipFile.Open(path, ZipArchiveMode.Create);
        foreach (var (name, tensor) in arrays)
        {
            using var entry = archive.CreateEntry(name + ".npy", CompressionLevel.NoCompression).Open();
            entry.Write(Head(tensor.Type, tensor.Shape));
            entry.Write(tensor.Bytes);
        }
    }

    /// <summary>The head of an array in row-major order: magic, version, length, description padded to 64 bytes.</summary>
    public static byte[] Head(DataType type, IReadOnlyList<long> shape)
    {
        var text = $"{{'descr': '{Description(type)}', 'fortran_order': False, 'shape': ({string.Concat(shape.Select(d => $"{d}, "))}), }}";
        text = text.PadRight((text.Length + 11 + 63) / 64 * 64 - 11) + '\n';
        return [0x93, .. "NUMPY"u8, 1, 0, (byte)text.Length, (byte)(text.Length >> 8), .. Encoding.ASCII.GetBytes(text)];
    }

    private static string Description(DataType type)
    {
        var kind = type switch
        {
            DataType.Float16 or DataType.Float or DataType.Double => 'f',
            DataType.Int8 or DataType.Int16 or DataType.Int32 or DataType.Int64 => 'i',
            DataType.Uint8 or DataType.Uint16 or DataType.Uint32 or DataType.Uint64 => 'u',
            DataType.Bool => 'b',
            _ => throw new NotSupportedException($"NumPy has no {ElementTypes.Name(type)}"),
        };
        return $"<{kind}{ElementTypes.Bits(type) / 8}";
    }
}
