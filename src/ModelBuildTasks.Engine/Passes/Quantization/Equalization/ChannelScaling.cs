using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>
/// One clone of a model in which the channels of values are scaled: a source gives out x·f, its readers take W/f. Layers are shared
/// between scalings, so that a layer that reads one value and makes another is written once.
/// </summary>
internal sealed class ChannelScaling
{
    private readonly RepairState _before;
    private readonly OnnxModel _model;
    private readonly NameAllocator _names;
    private readonly Dictionary<NodeProto, LinearLayer> _layers = new(ReferenceEqualityComparer.Instance);
    private readonly List<(ChannelSource Source, ChannelPath Path, double[] Factors)> _scaled = [];
    private readonly Dictionary<string, double[]> _lowered = [];

    public ChannelScaling(RepairState state)
    {
        _before = state;
        _model = state.Model.Clone();
        _names = new NameAllocator(_model);
        Index = new GraphIndex(_model, _model.Graph);
    }

    /// <summary>The clone's main graph.</summary>
    public GraphIndex Index { get; }

    /// <summary>The source of a value; null where there is none any more.</summary>
    public ChannelSource? Source(string value) => ChannelSource.All(Index).FirstOrDefault(s => s.Value == value);

    /// <summary>A node of the clone as a layer, the same object each time; null where it is none.</summary>
    public LinearLayer? Layer(NodeProto node)
    {
        if (!_layers.TryGetValue(node, out var layer) && LinearLayer.Of(_model, Index, node) is { } made)
            _layers[node] = layer = made;
        return layer;
    }

    /// <summary>Multiplies the channels of a source's output, and takes it back in the readers.</summary>
    public void Scale(ChannelSource source, ChannelPath path, double[] factors)
    {
        if (source.IsLinear)
            Multiply(Layer(source.Node)!.OutputFactors, factors, 1, divide: false);
        foreach (var reader in path.Readers)
            Multiply(Layer(reader.Node)!.InputFactors, factors, reader.Block, divide: true);
        // One that is scaled again and again is written once.
        if (_scaled.Find(s => ReferenceEquals(s.Source.Node, source.Node)) is { Factors: { } known })
            Multiply(known, factors, 1, divide: false);
        else
            _scaled.Add((source, path, [.. factors]));
    }

    /// <summary>Notes that something was taken away from the channels of values.</summary>
    public void Lower(IEnumerable<string> values, double[] offsets)
    {
        foreach (var value in values)
            _lowered[value] = offsets;
    }

    /// <summary>The greatest magnitude of the readers' weights for each channel of a path.</summary>
    public double[] ReaderRanges(ChannelPath path, int channels)
    {
        var ranges = new double[channels];
        foreach (var reader in path.Readers)
        {
            var own = Layer(reader.Node)!.InputRanges();
            for (var i = 0; i < own.Length; i++)
                ranges[i / reader.Block] = Math.Max(ranges[i / reader.Block], own[i]);
        }

        return ranges;
    }

    /// <summary>Writes everything that was scaled.</summary>
    /// <returns>The new state; null when a constant would not be finite.</returns>
    public RepairState? Write()
    {
        var edit = new ConstantEdit(_model, Index, _names);
        foreach (var (source, path, factors) in _scaled)
        {
            if (!source.Factors.All(i => WriteAffine(edit, source.Node, i, factors)) || !path.Summands.All(s => WriteSummand(edit, s, factors)))
                return null;
        }

        if (!_layers.Values.All(l => l.Write(edit)))
            return null;
        UnusedInitializers.Remove(_model.Graph);
        var channels = new Dictionary<string, ChannelSummary>(_before.Channels);
        foreach (var (_, path, factors) in _scaled)
            Change(path.Values.Keys, (c) => c.Scaled(factors));
        foreach (var (value, offsets) in _lowered)
            Change([value], c => c.Lowered(offsets));
        return new(_model, channels);

        void Change(IEnumerable<string> values, Func<ChannelSummary, ChannelSummary> change)
        {
            foreach (var value in values.Where(channels.ContainsKey))
                channels[value] = change(channels[value]);
        }
    }

    private bool WriteAffine(ConstantEdit edit, NodeProto node, int input, double[] factors)
    {
        var tensor = Current(node.Input[input])!;
        double[] values = [.. _model.ReadFloats(tensor).Select((v, c) => v * factors[c])];
        if (!ConstantEdit.Fits(values))
            return false;
        edit.Set(node, input, "", [.. tensor.Dims], [.. values.Select(v => (float)v)]);
        return true;
    }

    private bool WriteSummand(ConstantEdit edit, ChannelSummand summand, double[] factors)
    {
        var tensor = Current(summand.Node.Input[summand.Input])!;
        var read = _model.ReadFloats(tensor);
        double[] values = [.. factors.Select((f, c) => f * read[read.Length == 1 ? 0 : c])];
        // One value for all channels becomes one for each.
        var behind = summand.Place.IsLast ? 0 : summand.Place.Rank!.Value - 1 - summand.Place.Axis;
        long[] dims = read.Length == factors.Length && tensor.Dims.Count > 0 ? [.. tensor.Dims] : [factors.Length, .. Enumerable.Repeat(1L, behind)];
        if (!ConstantEdit.Fits(values))
            return false;
        edit.Set(summand.Node, summand.Input, "", dims, [.. values.Select(v => (float)v)]);
        return true;
    }

    // A constant may have been renewed since the index was made.
    private TensorProto? Current(string name) => _model.Graph.Initializer.FirstOrDefault(t => t.Name == name) ?? Index.Producer(name)?.Attribute("value")?.T ?? Index.Constant(name);

    private static void Multiply(double[] into, double[] factors, int block, bool divide)
    {
        for (var i = 0; i < into.Length; i++)
            into[i] = divide ? into[i] / factors[i / block] : into[i] * factors[i / block];
    }
}
