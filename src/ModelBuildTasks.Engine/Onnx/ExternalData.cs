using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Finds the external data of a model. What a model names is not trusted: a data file must lie in the model's own folder or
/// below it, links resolved.
/// </summary>
internal sealed class ExternalData(string modelPath, PayloadStore payloads)
{
    private readonly string _folder = Real(Path.GetDirectoryName(Path.GetFullPath(modelPath))!);
    private readonly Dictionary<string, SourceFile> _files = [];
    private readonly Dictionary<(SourceFile File, long Offset, long Length), Place> _places = [];

    /// <summary>Finds a tensor's values and returns the key of their payload; tensors at the same place share one.</summary>
    /// <param name="tensor">A tensor whose data is external.</param>
    /// <param name="expected">Bytes that its type and shape ask for.</param>
    public long Resolve(TensorProto tensor, long expected)
    {
        var entries = tensor.ExternalData.ToLookup(e => e.Key, e => e.Value);
        var location = entries["location"].FirstOrDefault() ?? throw Bad(tensor, "names no file");
        SourceFile file;
        try
        {
            file = Open(tensor, location);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Bad(tensor, $"cannot be read from '{Printable(location)}': {e.Message}", e);
        }

        var offset = Number(tensor, entries["offset"].FirstOrDefault()) ?? 0;
        var length = Number(tensor, entries["length"].FirstOrDefault()) ?? expected;
        if (length != expected)
            throw Bad(tensor, $"has {length:N0} bytes in '{location}' and should have {expected:N0} for its shape");
        if (offset > file.Length || length > file.Length - offset)
            throw Bad(tensor, $"lies at byte {offset:N0} with {length:N0} bytes, and '{location}' has only {file.Length:N0}");
        if (!_places.TryGetValue((file, offset, length), out var place))
            _places[(file, offset, length)] = place = new(tensor, payloads.Add(new FilePayload(file, offset, length)));
        return place.Key;
    }

    /// <summary>
    /// Tensors may share a place, as tied weights do. Ranges that overlap otherwise are those of a damaged file: one tensor would
    /// be read from the values of another.
    /// </summary>
    public void RefuseOverlaps()
    {
        foreach (var places in _places.Where(p => p.Key.Length > 0).GroupBy(p => p.Key.File))
        {
            var ordered = places.OrderBy(p => p.Key.Offset).ThenBy(p => p.Key.Length).ToList();
            for (var i = 1; i < ordered.Count; i++)
            {
                var (before, at) = (ordered[i - 1], ordered[i]);
                if (at.Key.Offset < before.Key.Offset + before.Key.Length)
                {
                    throw Bad(at.Value.Tensor,
                        $"lies at byte {at.Key.Offset:N0} with {at.Key.Length:N0} bytes in '{Path.GetFileName(places.Key.Path)}', where '{Printable(before.Value.Tensor.Name)}' has bytes {before.Key.Offset:N0} to {before.Key.Offset + before.Key.Length - 1:N0}; export the model again");
                }
            }
        }
    }

    private SourceFile Open(TensorProto tensor, string location)
    {
        if (_files.TryGetValue(location, out var known))
            return known;
        if (location.Length == 0 || location.Contains('\0', StringComparison.Ordinal) || Path.IsPathRooted(location) || location.Contains(':', StringComparison.Ordinal))
            throw Bad(tensor, $"points at '{Printable(location)}', which is not a relative path");
        var path = Path.GetFullPath(Path.Combine(_folder, location.Replace('\\', '/')));
        if (!Inside(path))
            throw Bad(tensor, $"points at '{Printable(location)}', outside the model's folder");
        if (!File.Exists(path))
            throw Bad(tensor, $"needs the file '{Printable(location)}' beside the model, which does not exist");
        var real = Real(path);
        if (!Inside(real))
            throw Bad(tensor, $"points at '{Printable(location)}', a link that leads outside the model's folder");
        return _files[location] = payloads.Open(real);
    }

    private sealed record Place(TensorProto Tensor, long Key);

    private bool Inside(string path) =>
        path.StartsWith(_folder.EndsWith(Path.DirectorySeparatorChar) ? _folder : _folder + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>The path with every link on the way resolved.</summary>
    private static string Real(string path)
    {
        var root = Path.GetPathRoot(path)!;
        var real = root;
        foreach (var part in path[root.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            real = Path.Combine(real, part);
            FileSystemInfo info = Directory.Exists(real) ? new DirectoryInfo(real) : new FileInfo(real);
            real = info.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? real;
        }

        return real;
    }

    private long? Number(TensorProto tensor, string? text) => text is null
        ? null
        : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : throw Bad(tensor, $"has the offset or length '{Printable(text)}', which is no number");

    private static string Printable(string text) => new([.. text.Take(200).Select(c => char.IsControl(c) ? '?' : c)]);

    private ModelBuildException Bad(TensorProto tensor, string why, Exception? inner = null) =>
        new(DiagnosticCodes.ExternalData, $"'{modelPath}': external data of tensor '{Printable(tensor.Name)}' {why}", inner: inner);
}
