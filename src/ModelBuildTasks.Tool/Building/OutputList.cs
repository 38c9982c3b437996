using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool.Building;

/// <summary>One artifact.</summary>
/// <param name="Name">The target's name.</param>
/// <param name="Size">Bytes that the app carries: after encoding, with the data file where there is one.</param>
/// <param name="OriginalSize">Bytes of the original.</param>
/// <param name="Sha256">Hash in hex: of the model file before encoding, with its data file behind it where there is one.</param>
/// <param name="Package">How it gets into the app.</param>
internal sealed record Output(string Name, long Size, long OriginalSize, string Sha256, PackageAs Package)
{
    /// <summary>How its bytes are stored.</summary>
    public PackageEncoding Encoding { get; init; }

    /// <summary>Bytes of the model file before encoding.</summary>
    public long Length { get; init; } = Size;

    /// <summary>Whether it keeps tensors in a file beside it.</summary>
    public bool HasData { get; init; }

    /// <summary>Where the manifest says how it is packed.</summary>
    public SourceLocation? Location { get; init; }

    /// <summary>The model file.</summary>
    public string FileName => Name + ".onnx";

    /// <summary>The file that the app carries.</summary>
    public string PackedName => Encoding == PackageEncoding.Brotli ? BrotliFile.PathOf(FileName) : FileName;

    /// <summary>All files in the output folder.</summary>
    public IEnumerable<string> Files => [FileName, .. Encoding == PackageEncoding.Brotli ? [PackedName] : Array.Empty<string>(), .. HasData ? [Candidate.DataPath(FileName)] : Array.Empty<string>()];

    /// <summary>What is known of an artifact whose files lie in <paramref name="folder"/>.</summary>
    public static Output Of(TargetPlan target, string folder, long originalSize, string sha256)
    {
        var path = Path.Combine(folder, target.Name + ".onnx");
        var output = new Output(target.Name, 0, originalSize, sha256, target.Package)
        {
            Encoding = target.Encoding,
            Length = new FileInfo(path).Length,
            HasData = File.Exists(Candidate.DataPath(path)),
            Location = target.PackageLocation,
        };
        var carried = output.HasData ? output.Files : [output.PackedName];
        return output with { Size = carried.Sum(f => new FileInfo(Path.Combine(folder, f)).Length) };
    }
}

/// <summary>
/// The file <c>outputs</c>, from which the targets make items: a line an artifact, fields between tabs. Name, carried bytes,
/// bytes of the original, hash, how it gets into the app, encoding, bytes before encoding, "data" or "single", and where the
/// manifest says so: file, line, column.
/// </summary>
internal static class OutputList
{
    public const string FileName = "outputs";

    private const int Fields = 11;

    public static void Write(string folder, IEnumerable<Output> outputs) =>
        AtomicFile.Write(Path.Combine(folder, FileName), string.Concat(outputs.Select(o => string.Create(CultureInfo.InvariantCulture,
            $"{o.Name}\t{o.Size}\t{o.OriginalSize}\t{o.Sha256}\t{Word(o.Package)}\t{Word(o.Encoding)}\t{o.Length}\t{(o.HasData ? "data" : "single")}\t{o.Location?.File}\t{o.Location?.Line ?? 0}\t{o.Location?.Column ?? 0}\n"))));

    public static IReadOnlyList<Output> Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return [];
        return [.. File.ReadAllLines(path, System.Text.Encoding.UTF8).Select(line => line.Split('\t')).Where(f => f.Length == Fields).Select(f => new Output(f[0], Number(f[1]), Number(f[2]), f[3], Value<PackageAs>(f[4]))
        {
            Encoding = Value<PackageEncoding>(f[5]),
            Length = Number(f[6]),
            HasData = f[7] == "data",
            Location = f[8].Length > 0 ? new(f[8], (int)Number(f[9]), (int)Number(f[10])) : null,
        })];
    }

    private static string Word<T>(T value) where T : struct, Enum => value.ToString().ToLowerInvariant();

    private static T Value<T>(string word) where T : struct, Enum => Enum.TryParse<T>(word, ignoreCase: true, out var value) ? value : default;

    private static long Number(string text) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : 0;
}
