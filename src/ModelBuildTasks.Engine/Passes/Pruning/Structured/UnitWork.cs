using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Parameters and multiply-accumulates that go with a unit.</summary>
internal sealed class UnitWork
{
    private readonly Labelling _labelling;
    private readonly Dictionary<(int Graph, string Tensor), long[]> _dims = [];
    private readonly Dictionary<(int Graph, string Tensor), long> _macs = [];
    private readonly Dictionary<int, long> _shared = [];

    public UnitWork(Labelling labelling, IReadOnlyDictionary<string, ValueDescription> shapes)
    {
        _labelling = labelling;
        var one = Sample(shapes);
        foreach (var scope in labelling.Scopes)
        {
            foreach (var node in scope.Index.Graph.Node)
            {
                var macs = NodeWork.Macs(node, one);
                foreach (var input in macs == 0 ? [] : Weights(node))
                {
                    var key = (scope.Index.Home(node.InputOrEmpty(input)), node.InputOrEmpty(input));
                    if (scope.Index.Constant(key.Item2) is { } tensor)
                        _macs[key] = _macs.GetValueOrDefault(key) + macs * (node.OpType is "LSTM" or "GRU" or "RNN" ? Share(scope, node, tensor) : 1000) / 1000;
                }
            }
        }

        foreach (var key in labelling.Constants.Keys)
            _dims[key] = [.. labelling.Scopes[key.Graph].Index.Constant(key.Tensor)!.Dims];
        foreach (var (address, cells) in labelling.SharedWork)
        {
            var macs = NodeWork.Macs(labelling.Scopes[address.Graph].Index.Graph.Node[address.Index], one);
            foreach (var cell in cells.Where(c => c >= 0))
                _shared[labelling.Cells.Find(cell)] = _shared.GetValueOrDefault(labelling.Cells.Find(cell)) + macs / cells.Length;
        }
    }

    /// <summary>The shapes with 1 for a first axis that is free: one sample counts.</summary>
    public static IReadOnlyDictionary<string, ValueDescription> Sample(IReadOnlyDictionary<string, ValueDescription> shapes) =>
        shapes.ToDictionary(s => s.Key, s => s.Value.Shape is { Length: > 0 } shape && shape[0] < 0 ? s.Value with { Shape = [1, .. shape[1..]] } : s.Value);

    /// <summary>Elements of the constants that go with a unit; an element on two of its axes counts once.</summary>
    public long Parameters(IReadOnlyList<ParameterSlice> slices, int unit) => Cut(slices, unit, _ => 1);

    /// <summary>Multiply-accumulates of the weights' elements that go with a unit.</summary>
    public long Macs(IReadOnlyList<ParameterSlice> slices, int unit) =>
        Cut(slices, unit, key => _macs.TryGetValue(key, out var macs) ? (double)macs / ElementTypes.Count(_dims[key]) : 0);

    /// <summary>Multiply-accumulates of products of two computed values that go with a class of cells.</summary>
    public long Shared(int root) => _shared.GetValueOrDefault(root);

    private long Cut(IReadOnlyList<ParameterSlice> slices, int unit, Func<(int, string), double> price)
    {
        double sum = 0;
        foreach (var tensor in slices.GroupBy(s => (s.Graph, s.Tensor)))
        {
            var dims = _dims[tensor.Key];
            double left = 1;
            foreach (var slice in tensor)
                left *= 1 - (double)slice.Indices[unit].Length / dims[slice.Axis];
            sum += Math.Round(ElementTypes.Count(dims) * (1 - left)) * price(tensor.Key);
        }

        return (long)Math.Round(sum);
    }

    private static int[] Weights(NodeProto node) => node.OpType switch
    {
        "LSTM" or "GRU" or "RNN" => [1, 2],
        "MatMul" or "Gemm" => [0, 1],
        _ => [1],
    };

    // A recurrent node's work is shared out between W and R, in thousandths.
    private static long Share(Scope scope, NodeProto node, TensorProto tensor) =>
        1000 * ElementTypes.Count(tensor.Dims) / Math.Max(1, new[] { 1, 2 }.Sum(i => scope.Index.Constant(node.InputOrEmpty(i)) is { } t ? ElementTypes.Count(t.Dims) : 0));
}
