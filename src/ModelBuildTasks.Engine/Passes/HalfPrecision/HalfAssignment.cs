using System.Globalization;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>Decides for each node whether it computes in float16, first by what it must not lose, then so that few Casts are needed.</summary>
internal sealed class HalfAssignment(OnnxModel model, HalfGraph graph, PassContext context)
{
    private readonly HashSet<string> _large = [];
    private readonly HashSet<string> _integers = [];

    /// <summary>Sets the reasons of the nodes that stay float32.</summary>
    /// <param name="observed">Values seen on calibration data; null without.</param>
    public void Decide(IReadOnlyDictionary<string, TensorStatistics>? observed)
    {
        Parallel.ForEach(graph.Constants.Values, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads) }, constant =>
            constant.Loss = HalfLoss.Of(model.Payloads[constant.Tensor.PayloadRef], constant.Tensor.Dims));
        var rules = new RuleSet(model, context.Rules);
        foreach (var node in graph.Nodes)
        {
            node.Reason ??= Refusal(node, rules) ?? (observed is null ? null : Observed(node, observed));
            Carry(node);
        }

        GrowIslands();
    }

    private string? Refusal(HalfNode it, RuleSet rules)
    {
        var node = it.Node;
        if (!rules.MayQuantize(node))
            return "a rule leaves it in float32";
        if (HalfOperators.Refusal(node) is { } refusal)
            return refusal;
        if (context.Runtime.Float16.Float32.Contains(node.OpType))
            return $"{context.Runtime.Name} has no {node.OpType} in float16, or loses too much in it";
        if (it.Reads.Exists(v => v.Maker is { } m && QuantizedParts.IsQuantization(m.Node)) || it.Makes.Exists(v => v.Readers.Exists(r => QuantizedParts.IsQuantization(r.Node))))
            return "it belongs to the quantized part";
        if (node.Is("Cast") && graph.Type(node.Input[0]) is not (DataType.Bool or DataType.Uint8 or DataType.Int8 or DataType.Float or DataType.Float16))
            return "float16 has no single units above 2048, and its input may be larger";
        if (it.Constants.Find(c => c.Loss.Refusal is not null) is { } lost)
            return $"its constant '{lost.Name}' cannot be float16: {lost.Loss.Refusal}";
        if (node.Is("ConstantOfShape") && node.Attribute("value")?.T is { } fill && HalfLoss.Of(model.Payloads[fill.PayloadRef], fill.Dims).Refusal is { } why)
            return $"its value cannot be float16: {why}";
        if (MovesBatchIntoProduct(it))
            return "ONNX Runtime's CPU provider faults on a float16 transposition that moves the first axis beside the last in front of a product";
        if (it.Reads.Exists(v => _large.Contains(v.Name)))
            return "it reads what a constant beyond float16's range went into";
        return AreIntegers(it) ? "it computes with numbers made of integers, of which float16 has no single units above 2048" : null;
    }

    /// <summary>
    /// Whether a Transpose is what ONNX Runtime 1.23 to 1.31 fuses with the MatMul behind it as a transposition of the batch, [1, …, n−2, 0, n−1] or
    /// [1, …, n−1, 0]. Where it has cast the float16 value for the product on a CPU, the process ends while the model is loaded.
    /// </summary>
    private static bool MovesBatchIntoProduct(HalfNode it) =>
        it.Node.Is("Transpose") && it.Node.Ints("perm") is { Length: > 2 } perm
        && perm.Take(perm.Length - 2).Select((p, i) => p == i + 1).All(p => p) && perm.Skip(perm.Length - 2).Contains(0)
        && it.Makes.Exists(v => v.Readers.Exists(r => r.Node.Is("MatMul")));

    /// <summary>Whether everything that a node reads was integers a few operators ago. Large products have the integers cast instead.</summary>
    private bool AreIntegers(HalfNode it) =>
        it.Reads.Count > 0 && it.Reads.TrueForAll(v => _integers.Contains(v.Name)) && !IsLargeProduct(it)
        && (HalfOperators.Carries(it.Node) || it.IsHeavy || it.Node.OpType is "Sin" or "Cos");

    private static bool IsLargeProduct(HalfNode it) => it.IsHeavy && it.Constants.Exists(c => ElementTypes.Count(c.Tensor.Dims) > HalfGraph.LargeConstant);

    private void Carry(HalfNode it)
    {
        var node = it.Node;
        var large = it.Constants.Exists(c => c.Loss.IsBeyond) || it.Reads.Exists(v => _large.Contains(v.Name));
        var integers = node.Is("Cast") && !it.IsHalf || node.Is("Range") || AreIntegers(it) && !HalfOperators.IsBounded(node);
        foreach (var value in it.Makes)
        {
            if (large && HalfOperators.Carries(node) && !HalfOperators.IsBounded(node))
                _large.Add(value.Name);
            if (integers)
                _integers.Add(value.Name);
        }
    }

    private static string? Observed(HalfNode it, IReadOnlyDictionary<string, TensorStatistics> observed)
    {
        foreach (var value in it.Reads.Concat(it.Makes))
        {
            if (observed.TryGetValue(value.Name, out var seen) && Math.Max(-seen.Min, seen.Max) is var most && most > (float)Half.MaxValue)
                return string.Create(CultureInfo.InvariantCulture, $"'{value.Name}' was seen to reach {most:G4}, beyond float16's range");
        }

        return null;
    }

    /// <summary>Operators that are not worth their Casts become float32: single ones, and what lies together between float32 neighbours.</summary>
    private void GrowIslands()
    {
        const string reason = "fewer Casts are needed so";
        bool changed;
        do
        {
            changed = false;
            foreach (var node in graph.Nodes.Where(n => n.IsHalf && !n.IsHeavy && Saves([n])))
            {
                node.Reason = reason;
                changed = true;
            }

            foreach (var part in Parts().Where(Saves))
            {
                part.ForEach(n => n.Reason = reason);
                changed = true;
            }
        }
        while (changed);
    }

    private static bool Saves(List<HalfNode> part)
    {
        var values = part.SelectMany(n => n.Reads.Concat(n.Makes)).ToHashSet();
        var before = values.Count(v => v.NeedsCast);
        if (before == 0)
            return false;
        part.ForEach(n => n.Reason = "");
        var after = values.Count(v => v.NeedsCast);
        part.ForEach(n => n.Reason = null);
        return after < before;
    }

    /// <summary>What is connected of light float16 nodes.</summary>
    private List<List<HalfNode>> Parts()
    {
        var seen = new HashSet<HalfNode>();
        var parts = new List<List<HalfNode>>();
        foreach (var start in graph.Nodes.Where(n => n.IsHalf && !n.IsHeavy && seen.Add(n)))
        {
            var part = new List<HalfNode> { start };
            for (var i = 0; i < part.Count; i++)
            {
                var neighbours = part[i].Reads.Select(v => v.Maker).OfType<HalfNode>().Concat(part[i].Reads.Concat(part[i].Makes).SelectMany(v => v.Readers));
                part.AddRange(neighbours.Where(n => n.IsHalf && !n.IsHeavy && seen.Add(n)));
            }

            parts.Add(part);
        }

        return parts;
    }
}
