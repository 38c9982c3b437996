using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>
/// Weights stored as float16, each behind one Cast to float32 that has the weight's old name: whatever read it, also inside bodies, reads on.
/// A runtime that computes constants when it loads a model does the Cast then, and nothing else is different from the float32 model.
/// </summary>
internal sealed class HalfStorage(OnnxModel model, PassContext context)
{
    // A node and a name.
    private const int Overhead = 60;

    private readonly OnnxModel _clone = model.Clone();

    /// <summary>A float32 constant and where it lies.</summary>
    /// <param name="Scope">The graph.</param>
    /// <param name="Name">Its name.</param>
    /// <param name="Tensor">The values: an initializer's, or a Constant's.</param>
    /// <param name="Maker">The Constant; null for an initializer.</param>
    private sealed record Weight(Scope Scope, string Name, TensorProto Tensor, NodeProto? Maker)
    {
        public string? Refusal { get; set; }

        public double Sqnr { get; set; }
    }

    /// <summary>The model with its weights stored so, and what was done.</summary>
    public PassResult Run()
    {
        var scopes = Scope.All(_clone);
        var rules = new RuleSet(_clone, context.Rules);
        var weights = scopes.SelectMany(Constants).ToList();
        foreach (var weight in weights)
            weight.Refusal = Refusal(weight, rules);
        Measure(weights);
        // Readers are asked for before names move.
        var decisions = Decide(scopes, weights);
        var names = new NameAllocator(_clone);
        var next = 0;
        foreach (var graph in weights.Where(w => w.Refusal is null).GroupBy(w => w.Scope))
            Write(graph.Key.Graph, [.. graph], () => names.Next($"h{next++}"));
        // Masks, whose few values may be beyond the range.
        var coded = context.Runtime.Formats.FoldsConstants ? ExactPalettes.Apply(new RewriteContext(_clone, new QuantizePlan(new("float16")), context.Runtime.Formats)) : 0;
        var halved = weights.Where(w => w.Refusal is null).ToList();
        var bytes = halved.Sum(w => _clone.ByteLength(w.Tensor));
        return new(_clone, decisions, (halved.Count == 0 ? "no weights for float16" : string.Create(CultureInfo.InvariantCulture, $"{halved.Count} weights in float16, {bytes / 2:N0} bytes less{Folding}"))
            + (coded == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"; constants of few values as codes, {coded:N0} bytes less")));
    }

    private string Folding => context.Runtime.Formats.FoldsConstants ? ""
        : $"; {context.Runtime.Name} is not known to compute constants when it loads a model, so that each may be cast to float32 at every inference";

    private IEnumerable<Weight> Constants(Scope scope)
    {
        foreach (var tensor in scope.Graph.Initializer.Where(IsLarge))
            yield return new(scope, tensor.Name, tensor, null);
        foreach (var node in scope.Graph.Node.Where(n => n.Is("Constant")))
        {
            if (node.Attribute("value")?.T is { } tensor && IsLarge(tensor))
                yield return new(scope, node.Output[0], tensor, node);
        }
    }

    private bool IsLarge(TensorProto tensor) => (DataType)tensor.DataType == DataType.Float && _clone.ByteLength(tensor) / 2 > Overhead;

    private static string? Refusal(Weight weight, RuleSet rules)
    {
        if (weight.Scope.Graph.Input.Any(i => i.Name == weight.Name))
            return "it is an input that callers may replace";
        var readers = weight.Scope.Readers(weight.Name);
        if (readers.Any(r => !rules.MayQuantize(r.Node)))
            return "a rule leaves it in float32";
        // Runtimes look at the parameters of codes before they compute constants.
        return readers.Any(r => QuantizedParts.IsParameter(weight.Scope, r.Node)) ? "it belongs to a weight in fewer bits" : null;
    }

    private void Measure(List<Weight> weights)
    {
        var done = 0;
        // Each tensor is judged alone: the result does not depend on the threads.
        Parallel.ForEach(weights.Where(w => w.Refusal is null), new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads) }, weight =>
        {
            var loss = HalfLoss.Of(_clone.Payloads[weight.Tensor.PayloadRef], weight.Tensor.Dims);
            (weight.Refusal, weight.Sqnr) = (loss.Refusal, loss.Sqnr);
            context.Progress?.Invoke(Interlocked.Increment(ref done) / (double)weights.Count);
        });
    }

    private void Write(GraphProto graph, IReadOnlyList<Weight> weights, Func<string> fresh)
    {
        var casts = new List<NodeProto>();
        var initializers = new Dictionary<TensorProto, TensorProto>(ReferenceEqualityComparer.Instance);
        var constants = new Dictionary<NodeProto, string>(ReferenceEqualityComparer.Instance);
        foreach (var weight in weights)
        {
            var half = HalfConversion.Tensor(_clone, weight.Maker is null ? fresh() : "", weight.Tensor);
            if (weight.Maker is null)
            {
                initializers[weight.Tensor] = half;
                casts.Add(Cast(half.Name, weight.Name));
            }
            else
            {
                weight.Maker.Set("value", half);
                constants[weight.Maker] = fresh();
            }
        }

        for (var i = 0; i < graph.Initializer.Count; i++)
            graph.Initializer[i] = initializers.GetValueOrDefault(graph.Initializer[i], graph.Initializer[i]);
        foreach (var node in graph.Node)
        {
            casts.Add(node);
            if (!constants.TryGetValue(node, out var name))
                continue;
            casts.Add(Cast(name, node.Output[0]));
            node.Output[0] = name;
        }

        graph.Node.Clear();
        graph.Node.AddRange(casts);
    }

    private static NodeProto Cast(string from, string to) => GraphExtensions.Node("Cast", [from], [to]).Set("to", (long)DataType.Float);

    private List<Decision> Decide(IReadOnlyList<Scope> scopes, List<Weight> weights)
    {
        var byName = weights.ToDictionary(w => (w.Scope, w.Name));
        var decisions = new List<Decision>();
        foreach (var scope in scopes)
        {
            foreach (var node in scope.Graph.Node)
            {
                var read = node.Input.Select(name => scope.Home(name) is { } home ? byName.GetValueOrDefault((home, name)) : null).OfType<Weight>().Distinct().ToList();
                // A bias beside a weight of 8 bits says nothing of the node.
                var main = NodeWeight.Inputs(node).Where(i => i < node.Input.Count).ToList();
                if (read.Count == 0 || main.Count > 0 && !main.Any(i => read.Any(w => w.Name == node.Input[i])) || read.All(w => w.Refusal == "it belongs to a weight in fewer bits"))
                    continue;
                decisions.Add(Decide(node, read));
            }
        }

        return decisions;
    }

    private Decision Decide(NodeProto node, List<Weight> read)
    {
        var halved = read.Where(w => w.Refusal is null).ToList();
        var refused = read.Where(w => w.Refusal is not null).Select(w => $"'{w.Name}' stays float32: {w.Refusal}").ToList();
        var before = read.Sum(w => _clone.ByteLength(w.Tensor));
        var reason = halved.Count == 0 ? string.Join("; ", refused)
            : string.Join("; ", ["rounded to float16; arithmetic stays float32" + (Folding.Length > 0 ? Folding : ", cast when the model is loaded"), .. refused]);
        return new(node.DisplayName(), node.OpType, halved.Count == 0 ? "left" : "float16 weights", reason)
        {
            Sqnr = halved.Count == 0 ? null : halved.Min(w => w.Sqnr),
            BytesBefore = before,
            BytesAfter = before - halved.Sum(w => _clone.ByteLength(w.Tensor)) / 2,
        };
    }
}
