using System.Globalization;
using System.Text;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Names of targets: they become members of the accessor class, files and resources.</summary>
internal static class TargetNames
{
    private const int MaxLength = 100;

    private static readonly HashSet<string> Keywords =
    [
        .. ("abstract as base bool break byte case catch char checked class const continue decimal default delegate do double else enum event explicit extern "
            + "false finally fixed float for foreach goto if implicit in int interface internal is lock long namespace new null object operator out override params "
            + "private protected public readonly ref return sbyte sealed short sizeof stackalloc static string struct switch this throw true try typeof uint ulong "
            + "unchecked unsafe ushort using virtual void volatile while "
            // Words that are keywords only where a type is declared or named, which is what happens to the name.
            + "await dynamic extension field file nint notnull nuint partial record required scoped unmanaged var when where yield").Split(' '),
    ];

    // The accessor class, the members of a target's class, and what both inherit: the compiler refuses or warns.
    private static readonly HashSet<string> Members =
    [
        "CompressedModels", "Name", "Length", "Sha256", "OpenRead", "ReadAllBytes", "CreateSession",
        "Equals", "GetHashCode", "GetType", "ToString", "ReferenceEquals", "MemberwiseClone", "Finalize",
    ];

    // Windows opens a device instead of a file of such a name.
    private static readonly HashSet<string> Devices = new(
        ["CON", "PRN", "AUX", "NUL", .. Enumerable.Range(1, 9).SelectMany(i => new[] { $"COM{i}", $"LPT{i}" })], StringComparer.OrdinalIgnoreCase);

    /// <summary>What is wrong with a name, or null.</summary>
    public static string? Problem(string name) =>
        !IsIdentifier(name) ? "is not a C# identifier (letters, digits and _, not beginning with a digit)"
        : name.Length > MaxLength ? $"is longer than {MaxLength} characters"
        : Keywords.Contains(name) ? "is a keyword of C#"
        : Members.Contains(name) ? "is a member of the accessor class"
        : Devices.Contains(name) ? "is a device on Windows, not a file"
        : null;

    /// <summary>A file's name in PascalCase: <c>ultraface-rfb-320.onnx</c> becomes <c>UltrafaceRfb320</c>. Null when nothing of it can stand in an identifier.</summary>
    public static string? FromFile(string path)
    {
        var text = Path.GetFileNameWithoutExtension(path.Replace('\\', '/'));
        var name = new StringBuilder();
        var upper = true;
        foreach (var c in text)
        {
            var letter = char.IsLetter(c);
            if (letter || IsDigit(c))
                name.Append(upper ? char.ToUpperInvariant(c) : c);
            upper = !letter && !IsDigit(c);
        }

        if (name.Length == 0)
            return null;
        if (name.Length > MaxLength)
            name.Length = MaxLength;
        var result = name.ToString();
        return Problem(result) is null ? result : "Model" + result;
    }

    private static bool IsIdentifier(string name) =>
        name.Length > 0 && (name[0] == '_' || char.IsLetter(name[0])) && name.All(c => c == '_' || char.IsLetter(c) || IsDigit(c));

    private static bool IsDigit(char c) => char.GetUnicodeCategory(c) == UnicodeCategory.DecimalDigitNumber;
}
