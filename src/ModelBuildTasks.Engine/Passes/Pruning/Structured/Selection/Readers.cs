using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>The readers of all groups, with their moments from one pass over the calibration data.</summary>
internal sealed class Readers
{
    // Most bytes of all matrices; the largest are left out first, and their columns then count alike.
    private const long MaximumBytes = 1L << 30;

    private readonly Dictionary<(NodeAddress, int), Reader> _readers = [];

    /// <summary>Collects what the groups' consumers read.</summary>
    /// <param name="model">The model.</param>
    /// <param name="groups">The groups.</param>
    /// <param name="context">Data, where there is some.</param>
    public Readers(OnnxModel model, IEnumerable<ChannelGroup> groups, PassContext context)
    {
        var map = new NodeMap(model);
        var indexes = GraphEdit.Indexes(model).ToDictionary(i => i.Number);
        var observable = Instrumentation.Observable(model.Graph);
        var matrices = new Dictionary<(int, string, string), (GramMatrix First, GramMatrix Second)>();
        var found = new List<(ConsumerSlice Slice, NodeWeight Weight, GramGeometry Geometry, (GramMatrix First, GramMatrix Second)? Grams)>();
        foreach (var slice in groups.SelectMany(g => g.Consumers).DistinctBy(c => (c.Node, c.Input)))
        {
            var node = map.Node(slice.Node);
            if (NodeWeight.Of(node, indexes[slice.Node.Graph]).FirstOrDefault(w => w.Input == slice.Input) is not { } weight || weight.Type != DataType.Float)
                continue;
            if (Geometry(weight) is not { } geometry)
                continue;
            (GramMatrix First, GramMatrix Second)? seen = null;
            var value = Value(node, slice);
            if (context.Calibration is not null && observable.Contains(slice.Node.Graph) && GramMatrix.Bytes(geometry) <= GramMatrix.MaximumBytes)
            {
                var key = (slice.Node.Graph, value, geometry.Key);
                if (!matrices.TryGetValue(key, out var both))
                    matrices[key] = both = (new(value, geometry, slice.Node.Graph), new(value, geometry, slice.Node.Graph));
                seen = both;
            }

            found.Add((slice, weight, geometry, seen));
        }

        var uses = indexes.Values.SelectMany(i => i.Graph.Node.SelectMany(n => n.Input).Where(n => n.Length > 0).Select(n => (Home: i.Home(n), n))).CountBy(k => k).ToDictionary();
        long bytes = 0;
        var kept = matrices.Values.OrderBy(m => GramMatrix.Bytes(m.First.Geometry)).TakeWhile(m => (bytes += 2 * GramMatrix.Bytes(m.First.Geometry)) <= MaximumBytes)
            .Select(m => m.First).ToHashSet<GramMatrix>(ReferenceEqualityComparer.Instance);
        var wanted = matrices.Values.Where(m => kept.Contains(m.First)).ToList();
        // A stream has no halves: each run needs the state that all runs before it left.
        var halves = context.Calibration is { Feedback.Count: 0, Count: > 1 };
        if (wanted.Count > 0)
            Collect(halves ? new HalfData(context.Calibration!, 0) : context.Calibration!, [.. wanted.Select(m => m.First)]);
        if (wanted.Count > 0 && halves)
            Collect(new HalfData(context.Calibration!, 1), [.. wanted.Select(m => m.Second)]);
        foreach (var (slice, weight, geometry, grams) in found)
        {
            var first = grams is { } both && kept.Contains(both.First) && both.First.IsValid ? both.First : null;
            var second = halves && first is not null && grams!.Value.Second.IsValid ? grams.Value.Second : null;
            // A bias that others read, too, is not this reader's to change.
            var bias = first is null ? null : BiasPlace.Of(weight, indexes[slice.Node.Graph], map);
            _readers[(slice.Node, slice.Input)] = new(slice.Node, weight, geometry, first, second, firstOnly: false, bias, model.ReadFloats(weight.Tensor))
            {
                IsShared = uses[(weight.Home, map.Node(slice.Node).Input[slice.Input])] > 1,
                OriginalBias = bias is not null && indexes[bias.Node.Graph].Constant(map.Node(bias.Node).InputOrEmpty(bias.Input)) is { } tensor ? model.ReadFloats(tensor) : null,
            };
        }

        void Collect(IDataset data, IReadOnlyCollection<GramMatrix> seen) => context.Statistics.Collect(model, [], data, context.Threads, null, null, seen);
    }

    private Readers(Dictionary<(NodeAddress, int), Reader> readers) => _readers = readers;

    /// <summary>The same readers with what the first half of the data showed: the other half can judge them.</summary>
    public Readers Half() => new(_readers.ToDictionary(r => r.Key, r => r.Value.Half()));

    /// <summary>The reader of a consumer; null where its weight is of another type than float32, or is not read in a way that has columns.</summary>
    public Reader? Of(ConsumerSlice slice) => _readers.GetValueOrDefault((slice.Node, slice.Input));

    // What a recurrent node applies to its own state is what it made a step before.
    private static string Value(NodeProto node, ConsumerSlice slice) =>
        node.OpType is "LSTM" or "GRU" or "RNN" && slice.Input == 2 ? node.Output.FirstOrDefault(o => o.Length > 0) ?? slice.Activation : slice.Activation;

    private static GramGeometry? Geometry(NodeWeight weight) =>
        weight.Node.OpType is "LSTM" or "GRU" or "RNN" && weight.Input == 2
            ? GramGeometry.Product((int)weight.Tensor.Dims[2])
            : GramGeometry.Of(weight.Node, weight.Input, weight.Tensor.Dims);
}
