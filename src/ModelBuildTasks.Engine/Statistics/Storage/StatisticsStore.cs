using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Statistics by the hash of what made them, the model as it is run and the data: <c>&lt;key&gt;.statistics</c> in the cache's folder, and
/// <c>&lt;key&gt;.gram</c> for each Gram matrix, see <see cref="GramFiles"/>. What another recipe or another gate asks of the same model and data is not collected again. A file appears whole, by a renaming; what is
/// damaged counts as absent; a folder that cannot be read or written slows a build down and never fails it.
/// </summary>
/// <param name="directory">The folder; null keeps nothing.</param>
internal sealed class StatisticsStore(string? directory)
{
    private const long MaxBytes = 256L << 20;

    private readonly SortedSet<string> _nan = new(StringComparer.Ordinal);

    /// <summary>The values asked for so far that were NaN in some sample.</summary>
    public IReadOnlyCollection<string> NaN => _nan;

    /// <summary>What <see cref="StatisticsCollector.Collect"/> gives, from the store as far as it is there.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">MBT2004: the model does not run on the data.</exception>
    public IReadOnlyDictionary<string, TensorStatistics> Collect(
        OnnxModel model, IReadOnlyCollection<string> names, IDataset data, int threads = 1, Action<double>? progress = null,
        IReadOnlyDictionary<string, int>? channelAxes = null, IReadOnlyCollection<GramMatrix>? grams = null)
    {
        var result = Find(model, names, data, threads, progress, channelAxes, grams ?? []);
        _nan.UnionWith(result.Where(r => r.Value.HasNaN).Select(r => r.Key));
        return result;
    }

    private IReadOnlyDictionary<string, TensorStatistics> Find(
        OnnxModel model, IReadOnlyCollection<string> names, IDataset data, int threads, Action<double>? progress, IReadOnlyDictionary<string, int>? channelAxes,
        IReadOnlyCollection<GramMatrix> grams)
    {
        // Data without a hash has nothing by which it could be found again.
        if (directory is null || data.ContentHash.Length == 0)
            return StatisticsCollector.Collect(model, names, data, threads, progress, channelAxes, grams);
        var key = Key(model, data);
        var path = Path.Combine(directory, key + ".statistics");
        var stored = Read(path) ?? [];
        var missing = names.Distinct().Where(n => !Serves(stored, n, channelAxes)).ToList();
        var matrices = new GramFiles(directory, key);
        var missingGrams = grams.Where(g => !matrices.Read(g)).ToList();
        if (missing.Count + missingGrams.Count > 0)
        {
            var collected = StatisticsCollector.Collect(model, missing, data, threads, progress, channelAxes, missingGrams);
            foreach (var name in missing)
            {
                int? axis = channelAxes is not null && channelAxes.TryGetValue(name, out var given) ? given : null;
                stored[name] = collected.TryGetValue(name, out var seen) ? new(seen, axis, axis) : new(null, null, null);
            }

            if (missing.Count > 0)
                StatisticsFile.Write(path, file => file.Write(StatisticsFormat.Write(stored)));
            missingGrams.ForEach(matrices.Write);
        }

        return names.Distinct().Where(n => stored[n].Seen is not null).ToDictionary(n => n, n => stored[n].Seen!);
    }

    private static bool Serves(Dictionary<string, StoredTensor> stored, string name, IReadOnlyDictionary<string, int>? channelAxes)
    {
        if (!stored.TryGetValue(name, out var tensor))
            return false;
        if (tensor.Seen is not { } seen || channelAxes is null || !channelAxes.TryGetValue(name, out var asked))
            return true;
        return Axis(tensor.ChannelAxis) == Axis(asked) && Axis(tensor.RangeAxis) == Axis(asked);

        // The last of two axes is axis 1, however it is called.
        int? Axis(int? axis) => axis < 0 && seen.Rank > 0 ? axis + seen.Rank : axis;
    }

    private static string Key(OnnxModel model, IDataset data)
    {
        var assembly = typeof(StatisticsStore).Assembly;
        return ContentHash.OfText(string.Join(
            '\n',
            "statistics",
            $"{assembly.GetName().Version} {assembly.ManifestModule.ModuleVersionId}",
            OnnxRuntimeText.NameAndVersion,
            $"{RuntimeInformation.ProcessArchitecture}",
            ModelWriter.Sha256(model),
            data.ContentHash));
    }

    private static Dictionary<string, StoredTensor>? Read(string path)
    {
        Dictionary<string, StoredTensor>? stored = null;
        StatisticsFile.Read(path, MaxBytes, file =>
        {
            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            return (stored = StatisticsFormat.Read(bytes)) is not null;
        });
        return stored;
    }
}
