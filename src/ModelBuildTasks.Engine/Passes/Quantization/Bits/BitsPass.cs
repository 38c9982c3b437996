using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Weights below 8 bits with float arithmetic, see <see cref="BitsPlan"/>. What has no such form gets 8 bits.</summary>
internal sealed class BitsPass
{
    private readonly QuantizePlan _plan;
    private readonly BitsPlan _bits;
    private readonly PassContext _context;

    private BitsPass(QuantizePlan plan, PassContext context) => (_plan, _bits, _context) = (plan, plan.Bits!, context);

    /// <summary>Stores the weights of a cleaned-up model in few bits.</summary>
    /// <exception cref="ModelBuildException">MBT2026: the runtime has no such weights.</exception>
    public static PassResult Run(OnnxModel model, QuantizePlan plan, PassContext context)
    {
        if (context.Runtime.Bits.Count == 0)
            throw new ModelBuildException(DiagnosticCodes.NoSuchWeights, $"the runtime policy '{context.Runtime.Name}' has no weights below 8 bits", plan.Location);
        return new BitsPass(plan, context).Run(model);
    }

    private PassResult Run(OnnxModel model)
    {
        var eight = _plan with { Bits = null, Activations = ActivationMode.None };
        var choices = new FormSelection(model, eight, _context).Choose();
        var wanted = choices.Where(c => c.Form == QuantizedForm.Weights && c.Weights.All(w => RowLayout.Of(w) is not null)).ToList();
        // A table and its transposition are stored once: both are rounded alike.
        var twins = _context.Runtime.Bits.Contains(BitsForm.Gather) ? TransposedTwins.Pairs(model, wanted) : new Dictionary<NodeWeight, NodeWeight>();
        var data = Observe(model, wanted, twins);
        var quantizer = new BitQuantizer(model, _bits, data, _context.Threads);
        var grids = _bits.Average is { } average ? new BitBudget(model, quantizer, _context, _bits, twins).Choose(wanted, average) : null;
        var (upgraded, fused) = Upgrade(model, grids?.Values.Select(g => g.Grid.Bits) ?? [_bits.Bits]);
        var clone = ReferenceEquals(upgraded, model) ? model.Clone() : upgraded;

        var (from, to) = (new Search.NodeMap(model), new Search.NodeMap(clone));
        var rewrite = new RewriteContext(clone, eight, _context.Runtime.Formats);
        var writer = new BitWriter(rewrite);
        var byNode = new Dictionary<NodeProto, FormChoice>(ReferenceEqualityComparer.Instance);
        foreach (var choice in wanted)
            byNode[to.Node(from[choice.Node])] = choice;
        var main = GraphEdit.Definitions(clone.Graph);
        var front = new List<NodeProto>();
        foreach (var graph in clone.Graph.WithBodies().ToList())
        {
            var inMain = ReferenceEquals(graph, clone.Graph);
            var nodes = new List<NodeProto>();
            foreach (var node in graph.Node)
            {
                if (byNode.TryGetValue(node, out var choice))
                    Write(writer, rewrite, graph, node, choice, quantizer, grids, twins, fused && inMain, nodes, w => inMain || main.Contains(w) && !GraphEdit.Definitions(graph).Contains(w) ? (clone.Graph, inMain ? nodes : front) : (graph, nodes));
                else
                    nodes.Add(node);
            }

            graph.Node.Clear();
            graph.Node.AddRange(nodes);
        }

        var behind = clone.Graph.Node.ToList();
        clone.Graph.Node.Clear();
        clone.Graph.Node.AddRange(front.Concat(behind));
        UnusedInitializers.Remove(clone.Graph);
        ExactPalettes.Apply(rewrite);
        var few = new PassResult(clone, rewrite.Decisions, Summary(wanted.Count));
        // Transposed convolutions and the like.
        return choices.Count(c => c.Form == QuantizedForm.Weights) > wanted.Count ? WithEight(few, eight) : few with { Decisions = [.. few.Decisions, .. Left(choices)] };
    }

    private PassResult WithEight(PassResult few, QuantizePlan eight)
    {
        var rest = Quantize.Run(few.Model, eight, _context with { Calibration = null });
        return rest with
        {
            Decisions = [.. few.Decisions, .. rest.Decisions.Where(d => few.Decisions.All(f => f.Name != d.Name))],
            Summary = $"{few.Summary}, {rest.Decisions.Count(d => d.What == "int8 weights")} in 8 bits",
        };
    }

    private static IEnumerable<Decision> Left(IReadOnlyList<FormChoice> choices) => choices.Where(c => c.Form is null).Select(c =>
        new Decision(c.Node.DisplayName(), c.Node.OpType, "left", c.Reason) { BytesBefore = c.Weights.Sum(w => w.Bytes), BytesAfter = c.Weights.Sum(w => w.Bytes) });

    private string Summary(int count) => $"{count} weighted operators in {_bits.Word}";

    private void Write(
        BitWriter writer, RewriteContext rewrite, GraphProto graph, NodeProto node, FormChoice choice, BitQuantizer quantizer, IReadOnlyDictionary<(int, string), BitChoice>? grids, IReadOnlyDictionary<NodeWeight, NodeWeight> twins, bool fused,
        List<NodeProto> nodes, Func<string, (GraphProto Graph, List<NodeProto> Nodes)> home)
    {
        long bytes = 0;
        double? worst = null;
        var words = new SortedSet<string>(StringComparer.Ordinal);
        var written = false;
        foreach (var weight in choice.Weights)
        {
            var mine = weight with { Node = node };
            var name = weight.Node.Input[weight.Input];
            if (_bits.Bits == 1 && grids is null)
            {
                var (planes, noise) = quantizer.Planes(weight);
                var (to, decoding) = home(name);
                node.Input[weight.Input] = writer.Stored(to, mine, planes, decoding);
                bytes += planes.Planes * BitPacking.Length(planes.Codes.Length, 1) + 2L * planes.Scales.Length;
                worst = Math.Min(worst ?? 200, noise);
                words.Add(planes.Planes == 1 ? "binary" : $"{planes.Planes} binary planes");
                continue;
            }

            var grid = grids is null ? null : (BitChoice?)grids[(weight.Home, name)];
            var result = quantizer.Quantize(weight, grid);
            worst = Math.Min(worst ?? 200, result.Sqnr);
            words.Add(_bits.Ternary ? "ternary" : $"{(result.Weight.Grid.Symmetric ? "int" : "uint")}{result.Weight.Grid.Bits}");
            var blocked = fused && _context.Runtime.Bits.Contains(BitsForm.Blocked) && BitWriter.CanBlock(node, result.Weight);
            var gather = fused && _context.Runtime.Bits.Contains(BitsForm.Gather) && BitWriter.CanGather(node, result.Weight);
            bytes += BitWriter.Bytes(result.Weight, result.Halves, stored: !blocked && !gather);
            if (blocked)
            {
                var twin = twins.TryGetValue(weight, out var table) && result.Weight.Grid.Bits == 4 && writer.HasTable(table.Node.Input[0]) ? table.Node.Input[0] : null;
                writer.Blocked(graph, node, mine, result.Weight, result.Halves, nodes, twin);
            }
            else if (gather)
                writer.Gather(graph, node, mine, result.Weight, result.Halves, nodes);
            else
            {
                var (to, decoding) = home(name);
                node.Input[weight.Input] = writer.Stored(to, mine, result.Weight, result.Halves, decoding);
            }

            written |= blocked || gather;
        }

        if (!written)
            nodes.Add(node);
        rewrite.Decide(choice with { Node = node }, string.Join(", ", words) + " weights", worst, bytes);
    }

    /// <summary>4-bit types came with opset 21, 2-bit types with 25. Where a model cannot be raised its weights are unpacked when it is loaded.</summary>
    private (OnnxModel Model, bool Fused) Upgrade(OnnxModel model, IEnumerable<int> bits)
    {
        var widths = bits.ToHashSet();
        if (!_context.Runtime.Bits.Contains(BitsForm.Blocked) || !widths.Overlaps([2, 4]))
            return (model, false);
        var target = widths.Contains(2) ? 25 : 21;
        var result = OpsetUpgrade.Upgrade(model, target);
        return (result.Model, result.Reason is null);
    }

    private RoundingData? Observe(OnnxModel model, IReadOnlyList<FormChoice> choices, IReadOnlyDictionary<NodeWeight, NodeWeight> twins)
    {
        if (_bits.Method is BitsMethod.Rtn or BitsMethod.Hqq || _bits.Bits == 1 && _bits.Average is null || _context.Calibration is not { } data)
            return null;
        var rounding = new RoundingData(model.Graph, choices.SelectMany(c => c.Weights).Where(w => !twins.ContainsKey(w)));
        _context.Statistics.Collect(model, [], data, _context.Threads, _context.Progress, null, rounding.Matrices);
        return rounding;
    }
}
