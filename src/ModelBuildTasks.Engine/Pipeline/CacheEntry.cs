using System.Text.Json;
using System.Text.Json.Serialization;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>What the cache knows of an artifact besides its bytes. Verdicts and located messages are not in it: they are made anew for the manifest at hand.</summary>
/// <param name="Version">Version of this format.</param>
/// <param name="Sha256">Hash of the artifact, its data file behind it where there is one.</param>
/// <param name="Size">Bytes of the artifact with its data file, before encoding.</param>
/// <param name="Files">What the artifact consists of, the model file first.</param>
/// <param name="Report">The target's report without names, paths and verdict.</param>
/// <param name="Measured">What was measured, or null when nothing was.</param>
/// <param name="Notes">Warnings of passes, and those about the calibration data.</param>
internal sealed record CacheEntry(int Version, string Sha256, long Size, IReadOnlyList<CachedFile> Files, TargetReport Report, Measurements? Measured, IReadOnlyList<PassNote> Notes)
{
    public const int CurrentVersion = 3;

    /// <summary>Hash of the entry's own text without this; what somebody or a failing disk changed does not match it.</summary>
    public string Seal { get; init; } = "";

    /// <summary>Bytes that the app is to carry.</summary>
    public long PackedSize => Files.FirstOrDefault(f => f.Suffix == BrotliFile.Extension)?.Size ?? Size;

    /// <summary>The entry as text, sealed.</summary>
    public string ToJson() => JsonSerializer.Serialize(this with { Seal = Hash() }, CacheJson.Default.CacheEntry);

    /// <summary>Reads a text; null when it is not what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="JsonException">It is no such JSON.</exception>
    public static CacheEntry? FromJson(string text) =>
        JsonSerializer.Deserialize(text, CacheJson.Default.CacheEntry) is { Version: CurrentVersion, Sha256: not null, Files: { Count: > 0 }, Report: not null, Notes: not null } entry
        && entry.Seal == entry.Hash() && entry.ToJson() == text ? entry : null;

    private string Hash() => ContentHash.OfText(JsonSerializer.Serialize(this with { Seal = "" }, CacheJson.Default.CacheEntry));
}

/// <summary>A file of an artifact.</summary>
/// <param name="Suffix">What its name has behind <c>&lt;Name&gt;.onnx</c>: nothing, <c>.data</c> or <c>.br</c>.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Hash.</param>
internal sealed record CachedFile(string Suffix, long Size, string Sha256);

/// <summary>A warning that lasts as long as the artifact.</summary>
/// <param name="Pass">The index in the plan of the pass that it is about, or <see cref="Calibration"/>.</param>
/// <param name="Message">What to tell.</param>
/// <param name="Code">Code of the diagnostic.</param>
internal sealed record PassNote(int Pass, string Message, string Code)
{
    /// <summary>In place of a pass: the note is about the calibration data.</summary>
    public const int Calibration = -1;
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(CacheEntry))]
internal sealed partial class CacheJson : JsonSerializerContext;
