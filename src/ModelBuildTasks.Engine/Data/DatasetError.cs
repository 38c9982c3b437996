using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The errors of datasets, and how they name files, shapes and inputs.</summary>
internal static class DatasetError
{
    public static ModelBuildException Unreadable(string path, string why, SourceLocation location, Exception? inner = null) =>
        new(DiagnosticCodes.DatasetUnreadable, $"The dataset file '{Path.GetFileName(path)}' cannot be read: {why}", At(location), inner);

    public static ModelBuildException DoesNotFit(string why, SourceLocation location, Exception? inner = null) =>
        new(DiagnosticCodes.DatasetDoesNotFit, why, At(location), inner);

    public static ModelBuildException Empty(string why, SourceLocation location) => new(DiagnosticCodes.DatasetEmpty, why, At(location));

    // Random data stands in no manifest.
    private static SourceLocation? At(SourceLocation location) => location == default ? null : location;

    /// <summary>Whether opening or reading a file ends this way through no fault of the program.</summary>
    public static bool IsFileFault(Exception fault) =>
        fault is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException;

    public static string Describe(ValueDescription input) => $"the model's input '{input.Name}' is {Describe(input.Type, input.Shape)}";

    public static string Describe(DataType type, long[]? shape) => $"{ElementTypes.Name(type)} {Describe(shape)}";

    public static string Describe(long[]? shape) =>
        shape is null ? "of any shape" : $"[{string.Join(',', shape.Select(d => d < 0 ? "?" : d.ToString()))}]";

    /// <summary>Why a file that is not what it should be often is not: a pointer that Git LFS left in its place.</summary>
    public static string WrongFormat(ReadOnlySpan<byte> start, string expected) => start.StartsWith("version https://git-lfs"u8)
        ? "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'"
        : start.IsEmpty ? "it is empty" : $"it is not {expected}";
}
