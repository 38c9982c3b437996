namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>A random convolutional network: layers that read, add, join, cut and shuffle the channels of earlier ones.</summary>
internal sealed class RandomNet
{
    private readonly Random _random;
    private readonly List<(string Name, int Channels)> _values = [("x", 6)];
    private int _count;

    public RandomNet(int seed)
    {
        _random = new Random(seed);
        Model.Input("x", 1, 6, 4, 4);
        for (var i = 0; i < 9; i++)
            Layer();
        // Everything that nobody reads counts.
        var read = Model.Graph.Node.SelectMany(n => n.Input).ToHashSet();
        var ends = _values.Where(v => !read.Contains(v.Name)).Select(v => Conv(v, 2).Name).ToList();
        Model.Node("Sum", string.Join(',', ends), "y").Output("y");
    }

    public SmallModel Model { get; } = new();

    private void Layer()
    {
        var from = Pick();
        switch (_random.Next(11))
        {
            case 0 or 1:
                _values.Add(Conv(from, 2 * _random.Next(1, 6)));
                break;
            case 2:
                _values.Add(Grouped(from));
                break;
            case 3:
                _values.Add(Unary(from));
                break;
            case 4:
                // A residual: what has as many channels, or is made to.
                var other = _values.Where(v => v.Channels == from.Channels && v != from).ToList();
                var second = other.Count > 0 ? other[_random.Next(other.Count)] : Conv(from, from.Channels);
                _values.Add(New(_random.Next(2) == 0 ? "Add" : "Mul", $"{from.Name},{second.Name}", from.Channels));
                break;
            case 5:
                var beside = Pick();
                _values.Add(New("Concat", $"{from.Name},{beside.Name}", from.Channels + beside.Channels, ("axis", 1)));
                break;
            case 6 when from.Channels > 2:
                var first = _random.Next(1, from.Channels);
                var (a, b) = (Name(), Name());
                Model.Ints(a + "_sizes", first, from.Channels - first).Node("Split", $"{from.Name},{a}_sizes", $"{a},{b}", ("axis", 1));
                _values.AddRange([(a, first), (b, from.Channels - first)]);
                break;
            case 7 when from.Channels % 2 == 0:
                var parts = from.Channels % 3 == 0 && _random.Next(2) == 0 ? 3 : 2;
                var (r, t) = (Name(), Name());
                Model.Ints(r + "_s", 1, parts, from.Channels / parts, 16).Ints(t + "_s", 1, from.Channels, 4, 4).Node("Reshape", $"{from.Name},{r}_s", r).Node("Transpose", r, t, ("perm", new[] { 0, 2, 1, 3 }));
                _values.Add(New("Reshape", $"{t},{t}_s", from.Channels));
                break;
            case 8:
                // A gate of its own channels.
                var pooled = New("GlobalAveragePool", from.Name, from.Channels);
                _values.Add(New("Mul", $"{from.Name},{Conv(pooled, from.Channels).Name}", from.Channels));
                break;
            case 9:
                var norm = Name();
                Model.Random(norm + "_s", _count, from.Channels).Random(norm + "_o", _count + 1, from.Channels).Node("InstanceNormalization", $"{from.Name},{norm}_s,{norm}_o", norm);
                _values.Add((norm, from.Channels));
                break;
            default:
                var picks = Enumerable.Range(0, _random.Next(2, 6)).Select(_ => (long)_random.Next(from.Channels)).ToArray();
                var gathered = Name();
                Model.Ints(gathered + "_i", picks).Node("Gather", $"{from.Name},{gathered}_i", gathered, ("axis", 1));
                _values.Add((gathered, picks.Length));
                break;
        }
    }

    private (string Name, int Channels) Pick() => _values[Math.Max(0, _values.Count - 1 - _random.Next(4))];

    private string Name() => $"v{_count++}";

    private (string, int) New(string op, string inputs, int channels, params (string, object)[] attributes)
    {
        var name = Name();
        Model.Node(op, inputs, name, attributes);
        return (name, channels);
    }

    private (string Name, int Channels) Conv((string Name, int Channels) from, int channels)
    {
        var name = Name();
        Model.Random(name + "_w", _random.Next(), channels, from.Channels, 1, 1).Random(name + "_b", _random.Next(), channels).Node("Conv", $"{from.Name},{name}_w,{name}_b", name);
        return (name, channels);
    }

    private (string, int) Grouped((string Name, int Channels) from)
    {
        int[] divisors = [.. Enumerable.Range(1, from.Channels).Where(d => from.Channels % d == 0)];
        var groups = divisors[_random.Next(divisors.Length)];
        var (name, outputs) = (Name(), groups * _random.Next(1, 4));
        Model.Random(name + "_w", _random.Next(), outputs, from.Channels / groups, 1, 1).Node("Conv", $"{from.Name},{name}_w", name, ("group", groups));
        return (name, outputs);
    }

    private (string, int) Unary((string Name, int Channels) from) => New(new[] { "Relu", "Sigmoid", "Tanh", "HardSwish" }[_random.Next(4)], from.Name, from.Channels);
}
