using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Scores;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning.Sequential;

/// <summary>
/// A model and its copy in which some weights are pruned already, as one: both read the same inputs, and what the pruning changed stands beside what it was.
/// What it did not reach is there once.
/// </summary>
internal sealed class PairedModel
{
    private readonly Dictionary<string, string> _changed = [];
    private readonly NameAllocator _names;

    /// <summary>Puts both together.</summary>
    /// <param name="original">The model before pruning, without bodies.</param>
    /// <param name="pruned">The same graph with other payloads and biases.</param>
    public PairedModel(OnnxModel original, OnnxModel pruned)
    {
        Model = original.Clone();
        _names = new(Model);
        var before = original.Graph.Initializer.ToDictionary(t => t.Name, t => t.PayloadRef);
        foreach (var tensor in pruned.Graph.Initializer.Where(t => !before.TryGetValue(t.Name, out var payload) || payload != t.PayloadRef))
        {
            var copy = tensor.Clone();
            copy.Name = Rename(tensor.Name);
            Model.Graph.Initializer.Add(copy);
        }

        foreach (var node in pruned.Graph.Node.Where(n => n.Input.Any(_changed.ContainsKey)))
        {
            var copy = node.Clone();
            copy.Name = "";
            for (var i = 0; i < copy.Input.Count; i++)
                copy.Input[i] = _changed.GetValueOrDefault(copy.Input[i], copy.Input[i]);
            for (var i = 0; i < copy.Output.Count; i++)
                copy.Output[i] = copy.Output[i].Length == 0 ? "" : Rename(copy.Output[i]);
            Model.Graph.Node.Add(copy);
        }
    }

    /// <summary>Both models.</summary>
    public OnnxModel Model { get; }

    /// <summary>Whether pruning has reached a value.</summary>
    public bool Reaches(string value) => _changed.ContainsKey(value);

    /// <summary>The Gram matrix of what a node read before and what it reads now, side by side; null where pruning has not reached it, or that would be too large.</summary>
    /// <param name="use">The node and its weight.</param>
    /// <param name="largest">Most bytes of the matrix.</param>
    public GramMatrix? Matrix(NodeWeight use, long largest = GramMatrix.MaximumBytes)
    {
        var value = use.Node.Input[0];
        if (!_changed.TryGetValue(value, out var now) || GramGeometry.Of(use.Node, use.Input, use.Tensor.Dims)?.Doubled() is not { } doubled || GramMatrix.Bytes(doubled) > largest)
            return null;
        var both = _names.Next("both");
        // Channels of a convolution are axis 1, those of a product the last.
        Model.Graph.Node.Add(GraphExtensions.Node("Concat", [value, now], [both]).Set("axis", doubled.Kernel.Length > 0 ? 1L : -1L));
        return new(both, doubled);
    }

    /// <summary>What was seen where a product of scores reads what pruning has reached, and what it made before; null where pruning has not reached it.</summary>
    /// <param name="product">The product.</param>
    public ScoreMoments? Moments(ScoreProduct product) =>
        _changed.TryGetValue(product.Use.Node.Input[0], out var now) ? product.Observe(Model, now, _names) : null;

    private string Rename(string name) => _changed[name] = _names.Next($"{name}_pruned");
}
