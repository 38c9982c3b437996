using System.Buffers;
using ModelBuildTasks.Engine.Diagnostics;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace ModelBuildTasks.Engine.Manifest.Yaml;

/// <summary>Turns a YAML text into located nodes. Anchors, aliases and the merge key <c>&lt;&lt;</c> work; tags and several documents do not.</summary>
internal sealed class YamlText
{
    /// <summary>The largest text that is read, in bytes.</summary>
    public const int MaxLength = 4_000_000;

    private const int MaxDepth = 32;
    private const int MaxNodes = 250_000;

    private static readonly SearchValues<char> ControlCharacters =
        SearchValues.Create([.. Enumerable.Range(0, 32).Append(127).Select(c => (char)c).Except(['\t', '\n', '\r'])]);

    private readonly string _file;
    private readonly string _text;
    private readonly SourceLocation? _everywhere;
    private readonly DiagnosticBag _diagnostics;
    private readonly Parser _parser;
    private readonly Dictionary<string, YamlNode?> _anchors = [];
    private readonly int _lines;
    private long _nodes;

    private YamlText(string text, string file, SourceLocation? everywhere, DiagnosticBag diagnostics)
    {
        _file = file;
        _text = text;
        _everywhere = everywhere;
        _diagnostics = diagnostics;
        _parser = new Parser(new StringReader(text));
        _lines = 1 + text.AsSpan().Count('\n');
    }

    /// <summary>Reads a text of one document.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="file">The file's name in locations.</param>
    /// <param name="diagnostics">Where errors go: all duplicate keys, and the first break of YAML's syntax.</param>
    /// <param name="everywhere">A location that all nodes get instead of their own: text that the user does not see.</param>
    /// <returns>The root; null when the text is empty or broken (then there is an error).</returns>
    public static YamlNode? Read(string text, string file, DiagnosticBag diagnostics, SourceLocation? everywhere = null)
    {
        if (text.Length > MaxLength)
        {
            diagnostics.Error(DiagnosticCodes.ManifestSyntax, $"the file is larger than the {MaxLength / 1_000_000} MB that a manifest may have", new(file, 1, 1, 1, 2));
            return null;
        }

        var reader = new YamlText(text, file, everywhere, diagnostics);
        if (reader.Unprintable() is { } character)
        {
            diagnostics.Error(DiagnosticCodes.ManifestSyntax, "a control character stands here; this is not a text", character);
            return null;
        }

        try
        {
            return reader.Document();
        }
        catch (BrokenYamlException broken)
        {
            diagnostics.Error(DiagnosticCodes.ManifestSyntax, broken.Message, broken.Location);
        }
        catch (YamlException broken)
        {
            reader.Syntax(broken);
        }
        // The parser's state machine meets an unclosed bracket, and some other malformed texts, with exceptions of other kinds.
        catch (Exception broken) when (broken is InvalidOperationException or ArgumentException or IndexOutOfRangeException or FormatException or OverflowException or NullReferenceException)
        {
            diagnostics.Error(DiagnosticCodes.ManifestSyntax, "this is not valid YAML: perhaps a bracket or brace is not closed", reader.Here());
        }

        return null;
    }

    private YamlNode? Document()
    {
        Next();
        if (Next() is StreamEnd)
            return null;
        Next();
        var root = Node(0);
        Next();
        if (Next() is not StreamEnd)
            throw new BrokenYamlException("a second document begins here; a manifest is one document", Here());
        return root;
    }

    private ParsingEvent? Next() => _parser.MoveNext() ? _parser.Current : null;

    private SourceLocation Here() => Span(_parser.Current?.Start ?? default, _parser.Current?.End ?? default);

    // Reads the node that begins at the current event; afterwards the current event is its last.
    private YamlNode Node(int depth)
    {
        if (depth > MaxDepth)
            throw new BrokenYamlException($"nested deeper than {MaxDepth} levels", Here());
        if (++_nodes > MaxNodes)
            throw new BrokenYamlException($"more than {MaxNodes} values", Here());
        if (_parser.Current is AnchorAlias alias)
            return Aliased(alias);

        // After some malformed texts the parser goes on with an end where a value should be.
        if (_parser.Current is not NodeEvent start)
            throw new BrokenYamlException("this is not valid YAML: a value is missing", Here());
        var anchor = start.Anchor.IsEmpty ? null : start.Anchor.Value;
        // Until the node is complete an alias to it would make a circle.
        if (anchor is not null)
            _anchors[anchor] = null;
        if (!start.Tag.IsEmpty && start.Tag.Value != "!")
            _diagnostics.Error(DiagnosticCodes.WrongType, $"tags such as {start.Tag.Value.Replace("tag:yaml.org,2002:", "!!", StringComparison.Ordinal)} are not used here; quote a text instead", Here());

        YamlNode node = start switch
        {
            Scalar scalar => new YamlScalar(Span(scalar.Start, scalar.End), scalar.Value, scalar.Style == ScalarStyle.Plain),
            SequenceStart => Sequence(depth),
            _ => Mapping(depth),
        };
        if (anchor is not null)
            _anchors[anchor] = node;
        return node;
    }

    private YamlNode Aliased(AnchorAlias alias)
    {
        if (!_anchors.TryGetValue(alias.Value.Value, out var node))
            throw new BrokenYamlException($"no anchor &{alias.Value.Value} stands before this alias", Here());
        if (node is null)
            throw new BrokenYamlException($"the alias *{alias.Value.Value} stands inside the value that it repeats", Here());
        _nodes += node.ExpandedCount;
        if (_nodes > MaxNodes)
            throw new BrokenYamlException($"the aliases stand for more than {MaxNodes} values", Here());
        return node;
    }

    private YamlSequence Sequence(int depth)
    {
        var begin = Beginning(_parser.Current!);
        var items = new List<YamlNode>();
        while (Next() is not SequenceEnd)
            items.Add(Node(depth + 1));
        return new(begin, items);
    }

    private YamlMapping Mapping(int depth)
    {
        var begin = Beginning(_parser.Current!);
        var entries = new List<YamlEntry>();
        var merged = new List<YamlMapping>();
        var known = new Dictionary<string, YamlScalar>();
        while (Next() is not MappingEnd)
        {
            var key = Node(depth + 1);
            Next();
            var value = Node(depth + 1);
            if (key is not YamlScalar name)
                _diagnostics.Error(DiagnosticCodes.WrongType, $"a key is a text, not {key.Description}", key.Location);
            else if (name is { Text: "<<", Plain: true })
                merged.AddRange(Merged(value));
            else if (known.TryGetValue(name.Text, out var first))
                _diagnostics.Error(DiagnosticCodes.DuplicateKey, $"'{name.Text}' is already given in line {first.Location.Line}", name.Location);
            else
                entries.Add(new(known[name.Text] = name, value));
        }

        foreach (var entry in merged.SelectMany(m => m.Entries))
        {
            if (known.TryAdd(entry.Key.Text, entry.Key))
                entries.Add(entry);
        }

        // A mapping's own end lies at the next token, often lines away: it is shown by its first key.
        if (entries.Count > 0 && _everywhere is null && entries[0].Key.Location is var head && head.Line == begin.Line)
            begin = begin with { EndLine = head.EndLine, EndColumn = head.EndColumn };
        return new(begin, entries);
    }

    private IEnumerable<YamlMapping> Merged(YamlNode value)
    {
        foreach (var node in value is YamlSequence list ? list.Items : [value])
        {
            if (node is YamlMapping mapping)
                yield return mapping;
            else
                _diagnostics.Error(DiagnosticCodes.WrongType, $"<< wants a mapping to merge; found {node.Description}", node.Location);
        }
    }

    private SourceLocation Beginning(ParsingEvent start)
    {
        var span = Span(start.Start, start.End);
        return _everywhere ?? span with { EndLine = span.Line, EndColumn = span.Column + 1 };
    }

    private SourceLocation Span(Mark start, Mark end)
    {
        if (_everywhere is { } fixedPlace)
            return fixedPlace;
        // Behind a final line break the parser stands on a line that editors do not show.
        var line = (int)Math.Clamp(start.Line, 1, _lines);
        var endLine = (int)Math.Clamp(end.Line, line, _lines);
        var column = (int)Math.Max(1, start.Column);
        var endColumn = (int)Math.Max(endLine == line ? column + 1 : 1, end.Column);
        return new(_file, line, column, endLine, endColumn);
    }

    // The parser takes a NUL for the end of the text.
    private SourceLocation? Unprintable()
    {
        var at = _text.AsSpan().IndexOfAny(ControlCharacters);
        if (at < 0)
            return null;
        var before = _text.AsSpan(0, at);
        var line = 1 + before.Count('\n');
        var column = at - before.LastIndexOf('\n');
        return _everywhere ?? new(_file, line, column, line, column + 1);
    }

    private void Syntax(YamlException broken)
    {
        var place = Span(broken.Start, broken.End);
        if (broken.Message.Contains(" tab", StringComparison.Ordinal) && Tab(place.Line) is { } tab)
            _diagnostics.Error(DiagnosticCodes.ManifestSyntax, "a tab cannot indent YAML; use blanks", tab);
        else
            _diagnostics.Error(DiagnosticCodes.ManifestSyntax, $"this is not valid YAML: {Sentence(broken.Message)}", place);
    }

    // The first tab in the indentation of a line, from the given line on.
    private SourceLocation? Tab(int from)
    {
        var lines = _text.Split('\n');
        for (var i = from; i <= lines.Length; i++)
        {
            var text = lines[i - 1];
            var indentation = text.Length - text.TrimStart(' ', '\t').Length;
            if (text.IndexOf('\t', 0, indentation) is var column and >= 0)
                return _everywhere ?? new(_file, i, column + 1, i, column + 2);
        }

        return null;
    }

    private static string Sentence(string message) =>
        message.Length == 0 ? "" : char.ToLowerInvariant(message[0]) + message[1..].TrimEnd('.').Replace("  ", " ", StringComparison.Ordinal);

    private sealed class BrokenYamlException(string message, SourceLocation location) : Exception(message)
    {
        public SourceLocation Location { get; } = location;
    }
}
