namespace ModelBuildTasks.Engine.Diagnostics;

/// <summary>A span in a text file. Lines and columns count from 1; 0 means unknown.</summary>
/// <param name="File">The file as it is shown to the user.</param>
/// <param name="Line">First line of the span.</param>
/// <param name="Column">First column of the span.</param>
/// <param name="EndLine">Last line of the span, or 0.</param>
/// <param name="EndColumn">Column behind the span's last character, or 0.</param>
public readonly record struct SourceLocation(string File, int Line = 0, int Column = 0, int EndLine = 0, int EndColumn = 0)
{
    /// <summary>The form that MSBuild recognizes: <c>file(line,column)</c>, or the file alone when the line is unknown.</summary>
    public override string ToString() => Line > 0 ? $"{File}({Line},{Column})" : File;
}
