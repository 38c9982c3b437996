using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Computes nodes with constant inputs in ONNX Runtime, without storing anything in the model. Nodes that depend on each other are
/// computed in rounds: in each, all values that go in are known, and so is the size of all that comes out.
/// </summary>
internal sealed class FoldingRun(OnnxModel model, IReadOnlyList<ConstantScope> scopes, HashSet<NodeProto> failed) : IDisposable
{
    /// <summary>A result above this is computed only when it is no larger than what goes in.</summary>
    public const long LargeResult = 1 << 20;

    /// <summary>A <c>Cast</c> that widens more than this is storage compressed by whoever made the model.</summary>
    private const long StoredNarrow = 4096;

    /// <summary>Inputs of one run; a node that needs more runs alone.</summary>
    private const long RunBytes = 64 << 20;

    /// <summary>Results that are held until it is decided which of them are stored.</summary>
    private const long MostHeld = 1L << 30;

    /// <summary>Longest chain of nodes that is computed in one go.</summary>
    private const int MostRounds = 500;

    private readonly OnnxModel _results = new(new ModelProto(), new PayloadStore());
    private long _held;

    /// <summary>The nodes that were computed, each with the scope it stands in.</summary>
    public Dictionary<NodeProto, ConstantScope> Computed { get; } = new(ReferenceEqualityComparer.Instance);

    /// <summary>Nodes with constant inputs that were left, with the reason.</summary>
    public Dictionary<NodeProto, string> Refused { get; } = new(ReferenceEqualityComparer.Instance);

    /// <summary>Lets go of the results.</summary>
    public void Dispose() => _results.Dispose();

    /// <summary>Computes all that can be.</summary>
    public void Run()
    {
        var open = scopes.SelectMany(s => s.Index.Graph.Node.Where(FoldableOperators.Knows).Select(n => (Scope: s, Node: n))).ToList();
        for (var round = 0; round < MostRounds; round++)
        {
            var ready = new List<(ConstantScope Scope, NodeProto Node, Known?[] Inputs)>();
            var waiting = new List<(ConstantScope Scope, NodeProto Node)>();
            foreach (var (scope, node) in open)
            {
                if (scope.Inputs(node) is not { } inputs)
                    waiting.Add((scope, node));
                else if (Refusal(node, inputs) is not { } reason)
                    ready.Add((scope, node, inputs));
                else if (reason.Length > 0)
                    Refused[node] = reason;
            }

            if (ready.Count == 0)
                return;
            Run(ready);
            open = waiting;
        }
    }

    /// <summary>Why a node with constant inputs is left; "" where that is nothing to tell; null when it can be computed.</summary>
    private string? Refusal(NodeProto node, Known?[] inputs)
    {
        if (failed.Contains(node))
            return "ONNX Runtime cannot compute it ahead";
        var type = FoldableOperators.ResultType(node, inputs);
        if (!IsPlain(type) || inputs.Any(i => i is not null && !IsPlain(i.Type)))
            return "";
        try
        {
            var known = inputs.OfType<Known>().Distinct().Sum(i => i.Bytes);
            if (FoldableOperators.Elements(node, inputs) is not { } elements)
                return "";
            var result = ElementTypes.ByteLength(type, elements);
            if (node.OpType == "Cast" && result > StoredNarrow && result > known)
                return "its input is the smaller form to store";
            if (result > LargeResult && result > known)
                return $"its result would take {result:N0} bytes in the file";
            if (known + result > MostHeld - _held)
                return "it is too large to compute in a build";
            _held += result;
            return null;
        }
        catch (OverflowException)
        {
            return "its result is larger than any memory";
        }
    }

    private void Run(List<(ConstantScope Scope, NodeProto Node, Known?[] Inputs)> ready)
    {
        // Names are unique within the sight of one graph only.
        foreach (var scope in ready.GroupBy(r => r.Scope))
        {
            var group = new List<NodeProto>();
            long bytes = 0;
            foreach (var (_, node, inputs) in scope)
            {
                var needs = inputs.OfType<Known>().Sum(i => i.Bytes);
                if (group.Count > 0 && bytes + needs > RunBytes)
                {
                    Run(scope.Key, group);
                    group.Clear();
                    bytes = 0;
                }

                group.Add(node);
                bytes += needs;
            }

            Run(scope.Key, group);
        }
    }

    private void Run(ConstantScope scope, List<NodeProto> nodes)
    {
        try
        {
            Compute(scope, nodes);
        }
        catch (OnnxRuntimeException) when (nodes.Count > 1)
        {
            // One of them fails: each by itself tells which.
            foreach (var node in nodes)
                Run(scope, [node]);
        }
        catch (OnnxRuntimeException)
        {
            failed.Add(nodes[0]);
            Refused[nodes[0]] = "ONNX Runtime cannot compute it ahead";
        }
    }

    private void Compute(ConstantScope scope, List<NodeProto> nodes)
    {
        var graph = new GraphProto { Name = "constants" };
        var feeds = new Dictionary<string, Tensor>();
        foreach (var node in nodes)
        {
            graph.Node.Add(node.Clone());
            foreach (var name in node.Input.Where(i => i.Length > 0 && !feeds.ContainsKey(i)))
            {
                var value = scope.Find(name)!;
                var input = new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new() { ElemType = (int)value.Type, Shape = new() } } };
                input.Type.TensorType.Shape.Dim.AddRange(value.Dims.Select(d => new TensorShapeProto.Types.Dimension { DimValue = d }));
                graph.Input.Add(input);
                feeds[name] = new Tensor(value.Type, [.. value.Dims], value.Owner.ReadBytes(value.Tensor));
            }

            graph.Output.AddRange(node.Output.Where(o => o.Length > 0).Select(o => new ValueInfoProto { Name = o }));
        }

        var proto = new ModelProto { IrVersion = model.Proto.IrVersion, Graph = graph };
        proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = model.Opset });
        using var session = new Session(new OnnxModel(proto, model.Payloads).ToBytes(), new SessionSettings(Threads: 1, Optimize: false));
        var results = session.Run(feeds);
        foreach (var node in nodes)
        {
            var outputs = node.Output.Where(o => o.Length > 0).ToList();
            if (!outputs.TrueForAll(results.ContainsKey))
                continue;
            foreach (var output in outputs)
            {
                var value = results[output];
                scope.Add(output, new Known(_results, _results.CreateTensor(output, value.Type, value.Shape, new ReadOnlyMemory<byte>(value.Bytes))));
            }

            Computed[node] = scope;
        }
    }

    private static bool IsPlain(DataType type) => type is DataType.Float or DataType.Float16 or DataType.Double or DataType.Bool
        or DataType.Int8 or DataType.Uint8 or DataType.Int16 or DataType.Uint16 or DataType.Int32 or DataType.Uint32 or DataType.Int64 or DataType.Uint64;
}
