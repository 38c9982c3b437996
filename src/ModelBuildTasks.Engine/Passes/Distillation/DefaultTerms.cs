using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>
/// What student and teacher are compared by where nobody says it: the divergence of scores, and the squared error of everything else. Scores
/// are what a Softmax reads, and outputs of matrix products that nothing bounds.
/// </summary>
internal static class DefaultTerms
{
    /// <summary>A term for each output.</summary>
    public static IReadOnlyList<LossTerm> Of(OnnxModel student) => [.. ByOutput(student, OutputLoss.Auto).Values];

    /// <summary>A term for each output, by the output's name.</summary>
    /// <param name="model">The model.</param>
    /// <param name="loss">How outputs are compared.</param>
    public static OrderedDictionary<string, LossTerm> ByOutput(OnnxModel model, OutputLoss loss)
    {
        var index = new GraphIndex(model, model.Graph);
        var terms = new OrderedDictionary<string, LossTerm>();
        foreach (var output in model.Outputs)
        {
            if (Compared(index, output) is { } value)
                terms[output.Name] = loss == OutputLoss.Values ? new(LossKind.SquaredError, value) : Term(index, value, loss == OutputLoss.Scores);
        }

        return terms;
    }

    /// <summary>The float value that an output has: itself, or what a Cast makes a float16 output of; null where it is none.</summary>
    public static string? Compared(GraphIndex index, ValueDescription output) => output.Type switch
    {
        DataType.Float or DataType.Undefined => output.Name,
        DataType.Float16 when index.Producer(output.Name) is { } cast && cast.Is("Cast") => cast.Input[0],
        _ => null,
    };

    private static LossTerm Term(GraphIndex index, string output, bool scores)
    {
        var producer = index.Producer(output);
        if (producer is not null && (producer.Is("Softmax") || producer.Is("LogSoftmax")))
            return new(LossKind.Divergence, producer.Input[0]) { Axis = (int)producer.Int("axis", -1) };
        return new(scores || (producer is not null && IsProduct(index, producer)) ? LossKind.Divergence : LossKind.SquaredError, output);
    }

    private static bool IsProduct(GraphIndex index, NodeProto node) => node.Is("Gemm") || node.Is("MatMul")
        || (node.Is("Add") && node.Input.Any(i => index.Constant(i) is not null) && node.Input.Any(i => index.Producer(i) is { } before && before.Is("MatMul")));
}
