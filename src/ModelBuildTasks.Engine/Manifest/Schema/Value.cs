using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>A checked value: what a shape makes of a YAML node. Values that do not fit have been reported and left out.</summary>
/// <param name="Location">Where it stands.</param>
internal abstract record Value(SourceLocation Location);

/// <summary>A scalar in its C# type.</summary>
internal sealed record ScalarValue(SourceLocation Location, object Content) : Value(Location);

/// <summary>A list.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Items">Its items.</param>
/// <param name="Complete">Whether no item had to be left out.</param>
internal sealed record ListValue(SourceLocation Location, IReadOnlyList<Value> Items, bool Complete) : Value(Location)
{
    public IReadOnlyList<T> Contents<T>() => [.. Items.OfType<ScalarValue>().Select(i => i.Content).OfType<T>()];
}

/// <summary>A mapping.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Members">Its members in the order of the text.</param>
/// <param name="Broken">Keys that were meant to be given and had to be left out.</param>
internal sealed record ObjectValue(SourceLocation Location, IReadOnlyList<Member> Members, IReadOnlyCollection<string> Broken) : Value(Location)
{
    public bool Complete => Broken.Count == 0;

    /// <summary>For one of several forms: the key that told which.</summary>
    public string? Form { get; init; }

    public Value? this[string key] => Members.FirstOrDefault(m => m.Key == key)?.Value;

    public bool Has(string key) => Members.Any(m => m.Key == key);

    public T? Get<T>(string key) where T : struct => this[key] is ScalarValue { Content: T content } ? content : null;

    public string? Text(string key) => (this[key] as ScalarValue)?.Content as string;

    /// <summary>Whether the key was written, rightly or wrongly.</summary>
    public bool Meant(string key) => Has(key) || Broken.Contains(key);

    public ObjectValue Without(params IReadOnlyCollection<string> keys) => this with { Members = [.. Members.Where(m => !keys.Contains(m.Key))] };

    /// <summary>This laid over <paramref name="below"/>: mappings are merged, anything else of this wins.</summary>
    public ObjectValue Over(ObjectValue? below)
    {
        if (below is null)
            return this;
        List<Member> members = [.. below.Members];
        foreach (var member in Members)
        {
            var at = members.FindIndex(m => m.Key == member.Key);
            if (at < 0)
                members.Add(member);
            else if (member.Value is ObjectValue upper && members[at].Value is ObjectValue lower)
                members[at] = member with { Value = upper.Over(lower) };
            else
                members[at] = member;
        }

        return this with { Members = members, Broken = [.. Broken, .. below.Broken] };
    }
}

/// <summary>A member of a mapping.</summary>
internal sealed record Member(string Key, SourceLocation KeyLocation, Value Value);

/// <summary>A number that may be written with a percent sign; with one, <paramref name="Number"/> is already divided by 100.</summary>
internal readonly record struct Quantity(double Number, bool Percent);
