using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>
/// The Gram matrices that the weights of a model need: one for each value and way of reading it, and for each weight the matrices of
/// all nodes that read it. Weights are known by their graph and name, which copies of the model share.
/// </summary>
internal sealed class RoundingData
{
    /// <summary>Most bytes of all matrices of a model; the largest are left out first.</summary>
    public const long MaximumBytes = 256 << 20;

    private readonly Dictionary<(int Home, string Weight, string Key), List<GramMatrix>> _byWeight = [];
    private readonly HashSet<(int Home, string Weight, string Key)> _withoutBias = [];
    private readonly Dictionary<(int Graph, string Value, string Geometry), GramMatrix> _matrices = [];

    /// <summary>Finds out what is needed.</summary>
    /// <param name="graph">The main graph: values in the bodies of Loop and Scan are not observed.</param>
    /// <param name="weights">Weights to be rounded, of any graph.</param>
    public RoundingData(GraphProto graph, IEnumerable<NodeWeight> weights)
    {
        var observable = Instrumentation.Observable(graph);
        var wanted = weights.Where(w => w.Type == DataType.Float && observable.Contains(w.Graph))
            .Select(w => (Weight: w, Geometry: GramGeometry.Of(w.Node, w.Input, w.Tensor.Dims)))
            .Where(p => p.Geometry is not null && GramMatrix.Bytes(p.Geometry) <= GramMatrix.MaximumBytes)
            .OrderBy(p => GramMatrix.Bytes(p.Geometry!));
        long bytes = 0;
        foreach (var (weight, geometry) in wanted)
        {
            var key = (weight.Graph, weight.Node.Input[0], geometry!.Key);
            if (!_matrices.TryGetValue(key, out var matrix))
            {
                bytes += GramMatrix.Bytes(geometry);
                if (bytes > MaximumBytes)
                    break;
                _matrices[key] = matrix = new GramMatrix(weight.Node.Input[0], geometry, weight.Graph);
            }

            var known = _byWeight.TryGetValue(Key(weight), out var list) ? list : _byWeight[Key(weight)] = [];
            known.Add(matrix);
            if (!HasBias(weight, geometry))
                _withoutBias.Add(Key(weight));
        }
    }

    /// <summary>What the chosen nodes' weights need; a weight that shares its storage with an embedding table is not rounded on a matrix.</summary>
    public static RoundingData Of(OnnxModel model, IReadOnlyList<FormChoice> choices) =>
        new(model.Graph, choices.Where(c => c.Form is not null).SelectMany(c => c.Weights).Except(TransposedTwins.Of(model, choices)));

    /// <summary>What is to be observed, see <see cref="StatisticsCollector.Collect"/>.</summary>
    public IReadOnlyCollection<GramMatrix> Matrices => _matrices.Values;

    /// <summary>The matrices of all nodes that read a weight alike, one an occurrence; empty where nothing valid was seen.</summary>
    public IReadOnlyList<GramMatrix> Of(NodeWeight weight) =>
        _byWeight.TryGetValue(Key(weight), out var list) ? [.. list.Where(m => m.IsValid)] : [];

    /// <summary>Whether every node that reads the weight has a constant bias, which can take back a mean error.</summary>
    public bool HasBias(NodeWeight weight) => !_withoutBias.Contains(Key(weight));

    /// <summary>The matrix of one node that reads <paramref name="value"/>, or null.</summary>
    public GramMatrix? Of(NodeWeight weight, string value) =>
        GramGeometry.Of(weight.Node, weight.Input, weight.Tensor.Dims) is { } geometry && _matrices.TryGetValue((weight.Graph, value, geometry.Key), out var matrix) && matrix.IsValid
            ? matrix : null;

    private static bool HasBias(NodeWeight weight, GramGeometry geometry) =>
        weight.Bias is { } bias && ElementTypes.Count(bias.Dims) == WeightRows.Of(weight, geometry).Count;

    // Nodes whose rows of the weight differ, as a product's and a transposed product's, do not share matrices.
    private static (int, string, string) Key(NodeWeight weight) =>
        (weight.Home, weight.Node.Input[weight.Input], $"{weight.Node.OpType} {weight.ChannelAxis} {weight.Node.Int("group", 1)} {string.Join(',', weight.Tensor.Dims)}");
}
