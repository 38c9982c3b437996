using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Spreads a byte budget over the weights: all begin with the fewest bits, and again and again the weight gets more bits whose loss falls
/// most for a byte. With calibration data the loss of a weight in so many bits is what it alone does to the model's outputs; without data, the
/// error of the weight, weighed by how often it is read.
/// </summary>
internal sealed class BitBudget(
    OnnxModel model, BitQuantizer quantizer, PassContext context, BitsPlan plan, BitForms forms, IReadOnlyDictionary<NodeWeight, NodeWeight> twins, SourceLocation location)
{
    private static readonly int[] _widths = [2, 3, 4, 5, 6, 8];
    private const int Batches = 8;

    private sealed record Option(BitChoice Choice, long Bytes, double Loss);

    /// <summary>The grid and group of each weight.</summary>
    /// <param name="choices">The nodes with their weights.</param>
    /// <param name="average">Bits of a weight on average, scales, zeros and what else they add to the file counted.</param>
    public IReadOnlyDictionary<(int Home, string Name), BitChoice> Choose(IReadOnlyList<FormChoice> choices, double average)
    {
        var map = new NodeMap(model);
        var probe = context.Calibration is { } data ? OutputProbe.Open(model, data, Batches) : null;
        var weights = choices.SelectMany(c => c.Weights.Select(w => (Choice: c, Weight: w))).GroupBy(p => Key(twins.GetValueOrDefault(p.Weight, p.Weight))).ToList();
        // Twice or four times the group costs few bytes less than a whole bit.
        var candidates = _widths.SelectMany(bits => plan.Group == 0 ? [0] : new[] { plan.Group, 2 * plan.Group, 4 * plan.Group },
            (bits, group) => new BitChoice(BitGrid.Of(bits, plan.Symmetric), group)).ToList();
        var options = new Option[weights.Count * candidates.Count];
        Parallel.For(0, options.Length, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads) }, i =>
            options[i] = Try(map, probe, [.. weights[i / candidates.Count]], candidates[i % candidates.Count]));

        var level = Enumerable.Range(0, weights.Count)
            .Select(w => options.Skip(w * candidates.Count).Take(candidates.Count).OrderBy(o => o.Bytes).ThenBy(o => o.Loss).First()).ToArray();
        // A table and its transposition are stored once.
        var count = weights.Sum(w => w.First().Weight.Count);
        var budget = count * average / 8;
        double spent = level.Sum(o => (double)o.Bytes);
        if (spent > budget)
        {
            throw new ModelBuildException(DiagnosticCodes.BitBudget, string.Create(CultureInfo.InvariantCulture,
                $"{plan.Word} a weight are {budget:N0} bytes; the {count:N0} weights that can be stored in few bits take at least {spent:N0} bytes with their scales, {Math.Ceiling(800 * spent / count) / 100:0.##} bits a weight"), location);
        }

        while (true)
        {
            var (at, best, most) = (-1, level[0], 0.0);
            for (var i = 0; i < options.Length; i++)
            {
                var (now, next) = (level[i / candidates.Count], options[i]);
                var gain = (now.Loss - next.Loss) / Math.Max(1, next.Bytes - now.Bytes);
                if (next.Bytes >= now.Bytes && spent + next.Bytes - now.Bytes <= budget && gain > most)
                    (at, best, most) = (i / candidates.Count, next, gain);
            }

            if (at < 0)
                break;
            spent += best.Bytes - level[at].Bytes;
            level[at] = best;
        }

        return weights.SelectMany((w, i) => Tensors(w).Select(t => (t.Key, level[i].Choice))).ToDictionary(p => p.Key, p => p.Choice);
    }

    /// <summary>Which weight it is.</summary>
    public static (int Home, string Name) Key(NodeWeight weight) => (weight.Home, weight.Node.Input[weight.Input]);

    /// <summary>The uses of each tensor: a table and its transposition are two, which get the same and are stored once where they can be.</summary>
    private static IEnumerable<IGrouping<(int Home, string Name), (FormChoice Choice, NodeWeight Weight)>> Tensors(IEnumerable<(FormChoice Choice, NodeWeight Weight)> uses) =>
        uses.GroupBy(u => Key(u.Weight));

    private Option Try(NodeMap map, OutputProbe? probe, IReadOnlyList<(FormChoice Choice, NodeWeight Weight)> uses, BitChoice choice)
    {
        var clone = model.Clone();
        var (error, largest) = (0.0, 0L);
        foreach (var tensor in Tensors(uses))
        {
            var weight = tensor.First().Weight;
            var (result, halves, sqnr) = quantizer.Quantize(weight, choice);
            var fused = tensor.All(u => forms.Of(u.Weight, result.Grid.Bits, result.Group) != BitsForm.Stored);
            var here = BitWriter.Bytes(result, halves, stored: !fused) + (fused ? BitWriter.BlockedOverhead : BitWriter.StoredOverhead);
            largest = Math.Max(largest, here);
            error += Math.Pow(10, -sqnr / 10) * weight.Count * tensor.Count();
            if (probe is not null)
                Replace(clone, map, tensor, result);
        }

        return new(choice, largest, probe is { Power: > 0 } ? probe.Noise(clone) : error);
    }

    private static void Replace(OnnxModel clone, NodeMap map, IEnumerable<(FormChoice Choice, NodeWeight Weight)> uses, BitWeight weight)
    {
        var to = new NodeMap(clone);
        var name = new NameAllocator(clone).Next("decoded");
        var like = uses.First().Weight;
        var values = weight.Decode();
        clone.Graph.Initializer.Add(like.Type == DataType.Float16 ? clone.CreateTensor<Half>(name, like.Type, like.Tensor.Dims, [.. values.Select(v => (Half)v)])
            : clone.CreateTensor<float>(name, DataType.Float, like.Tensor.Dims, values));
        foreach (var (_, use) in uses)
            to.Node(map[use.Node]).Input[use.Input] = name;
    }
}
