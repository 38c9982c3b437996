using System.Text;

namespace ModelBuildTasks;

/// <summary>What the worker is asked for: lines of <c>key=value</c> in UTF-8, so that no command line's length or code page is in the way.</summary>
internal sealed class RequestFile
{
    private readonly StringBuilder _lines = new();

    public RequestFile Add(string key, string value)
    {
        _lines.Append(key).Append('=').Append(value).Append('\n');
        return this;
    }

    public void Save(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, _lines.ToString(), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
    }
}
