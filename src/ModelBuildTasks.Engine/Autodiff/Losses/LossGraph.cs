using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff.Losses;

/// <summary>Writes a loss behind a model: a weighted sum of terms, each comparing a value with an input that the step is given.</summary>
internal static class LossGraph
{
    /// <summary>What was written.</summary>
    /// <param name="Loss">The value that holds the sum, a scalar.</param>
    /// <param name="Terms">The value of each term, without its weight.</param>
    /// <param name="Targets">For each term the input that its target is given as.</param>
    public sealed record Written(string Loss, IReadOnlyList<string> Terms, IReadOnlyList<string> Targets)
    {
        /// <summary>The least number of classes that labels are of; 0 without labels.</summary>
        public long Classes { get; init; }
    }

    public static Written Write(ShapedGraph graph, GraphBuilder b, IReadOnlyList<LossTerm> terms)
    {
        var (values, targets, weighted) = (new List<string>(), new List<string>(), new List<string>());
        var inputs = new Dictionary<(string, bool), string>();
        long classes = 0;
        foreach (var term in terms)
        {
            var shape = graph.Shape(term.Value);
            var axis = term.Axis < 0 ? term.Axis + shape.Length : term.Axis;
            var labels = term.Kind == LossKind.CrossEntropy;
            if (labels)
                classes = classes == 0 ? shape[axis] : Math.Min(classes, shape[axis]);
            if (!inputs.TryGetValue((labels ? "" : term.Value, labels), out var target))
            {
                // The labels of a batch serve every output that is compared with them.
                target = inputs[(labels ? "" : term.Value, labels)] = b.Name(labels ? "labels" : $"target:{term.Value}");
                long[] given = labels ? [.. shape.Where((_, i) => i != axis)] : shape;
                b.Model.Graph.Input.Add(new ValueInfoProto { Name = target, Type = TrainingForm.TypeOf(labels ? DataType.Int64 : DataType.Float, given) });
            }

            var value = term.Kind switch
            {
                LossKind.Divergence => Divergence(b, term, shape, axis, target),
                LossKind.SquaredError => SquaredError(b, term.Value, target),
                LossKind.Cosine => Cosine(b, term.Value, shape, axis, target),
                _ => CrossEntropy(b, term.Value, shape, axis, target),
            };
            values.Add(value);
            targets.Add(target);
            weighted.Add(b.Mul(value, term.Weight));
        }

        return new(weighted.Count == 1 ? b.Op("Identity", weighted[0]) : b.Sum(weighted), values, targets) { Classes = classes };
    }

    private static string Divergence(GraphBuilder b, LossTerm term, long[] shape, int axis, string target)
    {
        var t = term.Temperature;
        string log(string x) => b.Op("LogSoftmax", [b.Mul(x, 1 / t)], n => n.Set("axis", axis));
        var (mine, theirs) = (log(term.Value), log(target));
        var sum = Total(b, b.Mul(b.Op("Exp", theirs), b.Sub(theirs, mine)));
        return b.Mul(sum, t * t * shape[axis] / ElementTypes.Count(shape));
    }

    private static string SquaredError(GraphBuilder b, string value, string target)
    {
        var difference = b.Sub(value, target);
        return b.Op("ReduceMean", [b.Mul(difference, difference)], n => n.Set("keepdims", 0));
    }

    private static string Cosine(GraphBuilder b, string value, long[] shape, int axis, string target)
    {
        string along(string x) => b.ReduceSum(x, [axis]);
        // Vectors of no length point nowhere; this keeps them from dividing by zero.
        string length(string x) => b.Op("Sqrt", b.Add(along(b.Mul(x, x)), b.Scalar(1e-12f)));
        var cosine = b.Div(along(b.Mul(value, target)), b.Mul(length(value), length(target)));
        return b.Sub(b.Scalar(1), b.Mul(Total(b, cosine), (float)shape[axis] / ElementTypes.Count(shape)));
    }

    private static string CrossEntropy(GraphBuilder b, string value, long[] shape, int axis, string target)
    {
        var log = b.Op("LogSoftmax", [value], n => n.Set("axis", axis));
        var hot = b.Op("OneHot", [target, b.IntScalar(shape[axis]), b.Floats([2], [0, 1])], n => n.Set("axis", axis));
        return b.Mul(Total(b, b.Mul(log, hot)), -(float)shape[axis] / ElementTypes.Count(shape));
    }

    private static string Total(GraphBuilder b, string x) => b.Op("ReduceSum", [x], n => n.Set("keepdims", 0));
}
