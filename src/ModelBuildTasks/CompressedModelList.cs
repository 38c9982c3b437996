using System.Globalization;

namespace ModelBuildTasks;

/// <summary>An artifact of the last run.</summary>
internal sealed class CompressedModel(string folder, string[] fields)
{
    public string Name { get; } = fields[0];

    public string Size { get; } = fields[1];

    public string OriginalSize { get; } = fields[2];

    public string Sha256 { get; } = fields[3];

    /// <summary><c>resource</c>, <c>content</c> or <c>none</c>.</summary>
    public string As { get; } = fields[4];

    /// <summary><c>none</c> or <c>brotli</c>.</summary>
    public string Encoding { get; } = fields[5];

    /// <summary>Bytes of the model file before encoding.</summary>
    public string Length { get; } = fields[6];

    /// <summary>The manifest that asks for it; empty where it is not known.</summary>
    public string Manifest { get; } = fields[8];

    public int Line { get; } = Number(fields[9]);

    public int Column { get; } = Number(fields[10]);

    /// <summary>The file that the app carries.</summary>
    public string Path { get; } = System.IO.Path.Combine(folder, fields[0] + ".onnx" + (fields[5] == "brotli" ? ".br" : ""));

    /// <summary>The file with the tensors of a model that is too large for one; empty where there is none.</summary>
    public string DataPath { get; } = fields[7] == "data" ? System.IO.Path.Combine(folder, fields[0] + ".onnx.data") : "";

    /// <summary>Every file of it in the folder.</summary>
    public IEnumerable<string> Files => new[] { System.IO.Path.Combine(folder, Name + ".onnx"), Path, DataPath }.Where(f => f.Length > 0).Distinct();

    private static int Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
}

/// <summary>Reads the worker's file <c>outputs</c>: a line an artifact, fields between tabs, as the worker's OutputList writes them.</summary>
internal static class CompressedModelList
{
    private const int Fields = 11;

    public static IReadOnlyList<CompressedModel> Read(string folder)
    {
        var path = Path.Combine(folder, "outputs");
        return File.Exists(path)
            ? [.. File.ReadAllLines(path).Select(l => l.Split('\t')).Where(f => f.Length == Fields).Select(f => new CompressedModel(folder, f))]
            : [];
    }
}
