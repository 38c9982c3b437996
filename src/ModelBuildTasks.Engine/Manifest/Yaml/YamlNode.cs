using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest.Yaml;

/// <summary>A node of a YAML text that remembers where it stands. Aliases share the node of their anchor.</summary>
/// <param name="Location">For a scalar its span, for a collection its beginning.</param>
internal abstract record YamlNode(SourceLocation Location)
{
    /// <summary>What the node is, for messages.</summary>
    public abstract string Description { get; }

    /// <summary>Nodes below and including this one with every alias written out.</summary>
    public virtual long ExpandedCount => 1;
}

/// <summary>Text, with what YAML 1.2's core schema takes it for when it is not quoted.</summary>
internal sealed record YamlScalar(SourceLocation Location, string Text, bool Plain) : YamlNode(Location)
{
    public ScalarKind Kind { get; } = Plain ? CoreSchema.KindOf(Text) : ScalarKind.Text;

    public override string Description => Kind switch
    {
        ScalarKind.Null => "nothing",
        ScalarKind.Boolean or ScalarKind.Integer or ScalarKind.Float => Text,
        _ => Plain ? $"'{Shortened}'" : $"the quoted text \"{Shortened}\"",
    };

    private string Shortened => Text.Length <= 60 ? Text : Text[..57] + "...";
}

/// <summary>A list.</summary>
internal sealed record YamlSequence(SourceLocation Location, IReadOnlyList<YamlNode> Items) : YamlNode(Location)
{
    public override string Description => "a list";

    public override long ExpandedCount { get; } = 1 + Items.Sum(i => i.ExpandedCount);
}

/// <summary>Keys and values in the order of the text; keys are unique.</summary>
internal sealed record YamlMapping(SourceLocation Location, IReadOnlyList<YamlEntry> Entries) : YamlNode(Location)
{
    public override string Description => "a mapping";

    public override long ExpandedCount { get; } = 1 + Entries.Sum(e => 1 + e.Value.ExpandedCount);
}

/// <summary>A key with its value.</summary>
internal sealed record YamlEntry(YamlScalar Key, YamlNode Value);
