using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// What the values of a run take at once at most, when nodes run in their order and a value goes when its last reader has run. What a kernel needs
/// inside is not counted; that a result may take its input's place is, where their sizes are the same.
/// </summary>
internal static class PeakMemory
{
    private static readonly HashSet<string> _views = ["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"];

    // ONNX Runtime lets these write over an input that nobody needs any more.
    private static readonly HashSet<string> _inPlace = ["Add", "Sub", "Mul", "Div", "Sum", "Neg", "Relu", "Clip", "Sigmoid", "Tanh", "Exp", "Sqrt", "Erf", "LeakyRelu"];

    /// <summary>Bytes of computed values and of inputs that are alive together, at most.</summary>
    /// <param name="model">A graph whose shapes are all fixed.</param>
    public static long Of(OnnxModel model)
    {
        var graph = model.Graph;
        var types = new InferredTypes(model);
        var origins = new Dictionary<string, string>();
        string Origin(string name) => origins.GetValueOrDefault(name, name);
        foreach (var node in graph.Node.Where(n => _views.Contains(n.OpType)))
            origins[node.Output[0]] = Origin(node.Input[0]);
        var last = new Dictionary<string, int>();
        foreach (var (i, node) in graph.Node.Index())
        {
            foreach (var read in GraphIndex.Reads(node))
                last[Origin(read)] = i;
        }

        // Outputs stay to the end.
        foreach (var output in graph.Output)
            last[Origin(output.Name)] = int.MaxValue;
        var constants = graph.Initializer.Select(t => t.Name).ToHashSet();
        var sizes = new Dictionary<string, long>();
        long alive = graph.Input.Sum(i => Bytes(types, i.Name, 0)), peak = alive;
        foreach (var (i, node) in graph.Node.Index())
        {
            var largest = node.Input.Where(n => n.Length > 0).Select(n => sizes.GetValueOrDefault(Origin(n))).DefaultIfEmpty().Max();
            List<string> dying = [.. GraphIndex.Reads(node).Select(Origin).Distinct().Where(r => last[r] == i && sizes.ContainsKey(r) && !constants.Contains(r))];
            long made = 0;
            foreach (var output in node.Output.Where(o => o.Length > 0 && Origin(o) == o))
            {
                var bytes = Bytes(types, output, largest);
                sizes[output] = bytes;
                made += bytes;
                if (!last.ContainsKey(output))
                    last[output] = i;
            }

            var reused = _inPlace.Contains(node.OpType) && dying.Exists(d => sizes[d] == made) ? made : 0;
            peak = Math.Max(peak, alive + made - reused);
            alive += made - dying.Concat(node.Output.Where(o => sizes.ContainsKey(o) && last[o] == i)).Distinct().Sum(d => sizes[d]);
        }

        return peak;
    }

    /// <summary>What inference does not know is taken for as large as what it is made from.</summary>
    private static long Bytes(InferredTypes types, string name, long otherwise) =>
        types.Shape(name) is { } shape && shape.All(d => d >= 0) ? ElementTypes.ByteLength(types.Type(name) ?? DataType.Float, ElementTypes.Count(shape)) : otherwise;
}
