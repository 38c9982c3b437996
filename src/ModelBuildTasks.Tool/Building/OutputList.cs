using System.Text;

namespace ModelBuildTasks.Tool.Building;

/// <summary>One artifact.</summary>
/// <param name="Name">The target's name.</param>
/// <param name="Size">Bytes.</param>
/// <param name="OriginalSize">Bytes of the original.</param>
/// <param name="Sha256">Hash in hex.</param>
/// <param name="Embedded">Whether it becomes a resource of the assembly.</param>
internal sealed record Output(string Name, long Size, long OriginalSize, string Sha256, bool Embedded)
{
    public string FileName => Name + ".onnx";
}

/// <summary>The file <c>outputs</c>, from which the targets make items: a line an artifact, fields between tabs.</summary>
internal static class OutputList
{
    public const string FileName = "outputs";

    public static void Write(string folder, IEnumerable<Output> outputs) =>
        AtomicFile.Write(Path.Combine(folder, FileName), string.Concat(outputs.Select(o =>
            $"{o.Name}\t{o.Size}\t{o.OriginalSize}\t{o.Sha256}\t{(o.Embedded ? "resource" : "none")}\n")));

    public static IReadOnlyList<Output> Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return [];
        return [.. File.ReadAllLines(path, Encoding.UTF8).Select(line => line.Split('\t')).Where(f => f.Length == 5)
            .Select(f => new Output(f[0], long.Parse(f[1]), long.Parse(f[2]), f[3], f[4] == "resource"))];
    }
}
