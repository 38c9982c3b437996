using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>The loss that a plan asks for: outputs, labels and values inside.</summary>
internal static class DistillationTerms
{
    /// <summary>Makes the terms.</summary>
    /// <param name="student">The student.</param>
    /// <param name="teacher">The teacher.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="sample">One sample, to see shapes of values inside.</param>
    /// <exception cref="ModelBuildException">MBT2045: student and teacher do not match.</exception>
    public static IReadOnlyList<LossTerm> Of(OnnxModel student, OnnxModel teacher, DistillPlan plan, IReadOnlyDictionary<string, Tensor> sample)
    {
        var outputs = Outputs(student, teacher, plan, sample);
        return [.. outputs, .. Hidden(student, teacher, plan, sample, [.. outputs.Select(o => o.Value)])];
    }

    private static List<LossTerm> Outputs(OnnxModel student, OnnxModel teacher, DistillPlan plan, IReadOnlyDictionary<string, Tensor> sample)
    {
        var (mine, theirs) = (DefaultTerms.ByOutput(student, plan.Loss), DefaultTerms.ByOutput(teacher, plan.Loss));
        var shapes = Shapes(student, sample, [.. mine.Values.Where(t => t.Kind == LossKind.Divergence).Select(t => t.Value)]);
        var terms = new List<LossTerm>();
        var (inside, there) = (Values(student), Values(teacher));
        foreach (var (output, term) in mine)
        {
            if (!theirs.TryGetValue(output, out var other))
                throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"the teacher has no output '{output}' of float values that the student's could be compared with");
            if (plan.Loss == OutputLoss.Scores && IsSingle(shapes[term.Value].Shape, term.Axis))
                throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"'{output}' is a single number, and 'loss: scores' compares those of several classes");
            if (plan.Loss == OutputLoss.Scores && (term.Value == inside[output]) != (other.Value == there[output]))
                throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"'{output}' ends in a Softmax in {(term.Value == inside[output] ? "the teacher" : "the student")} alone, and 'loss: scores' compares scores with scores; let both give scores or both probabilities, or leave 'loss' out, which compares the values as they are");
            // A single number is no score among others: its divergence is zero whatever it is. Scores are compared as such where both models give them; a Softmax in only one of them is seen as its probabilities.
            if (term.Kind != other.Kind || (term.Kind == LossKind.Divergence && ((term.Value == inside[output]) != (other.Value == there[output]) || IsSingle(shapes[term.Value].Shape, term.Axis))))
                terms.Add(new(LossKind.SquaredError, inside[output]) { Reference = inside[output] == there[output] ? null : there[output] });
            else if (term.Kind != LossKind.Divergence)
                terms.Add(term.Value == other.Value ? term : term with { Reference = other.Value });
            else
                terms.AddRange(Scores(term with { Reference = other.Value }, plan));
        }

        return plan.Labels == 0 || terms.Exists(t => t.Kind == LossKind.CrossEntropy) ? terms
            : throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, "labels need an output of scores, one a class, and the student has none: what a Softmax or a matrix product gives");
    }

    /// <summary>The float values of the outputs.</summary>
    private static Dictionary<string, string> Values(OnnxModel model)
    {
        var index = new GraphIndex(model, model.Graph);
        return model.Outputs.Where(o => DefaultTerms.Compared(index, o) is not null).ToDictionary(o => o.Name, o => DefaultTerms.Compared(index, o)!);
    }

    private static bool IsSingle(long[] shape, int axis) => shape.Length == 0 || shape[axis < 0 ? axis + shape.Length : axis] == 1;

    private static IEnumerable<LossTerm> Scores(LossTerm term, DistillPlan plan)
    {
        if (plan.Labels < 1)
            yield return term with { Temperature = (float)plan.Temperature, Weight = (float)(1 - plan.Labels) };
        if (plan.Labels > 0)
            yield return new(LossKind.CrossEntropy, term.Value) { Axis = term.Axis, Weight = (float)plan.Labels };
    }

    private static IEnumerable<LossTerm> Hidden(OnnxModel student, OnnxModel teacher, DistillPlan plan, IReadOnlyDictionary<string, Tensor> sample, HashSet<string> outputs)
    {
        IReadOnlyList<HiddenPair> pairs = plan.HiddenAuto ? [.. Common(student, teacher, sample, outputs).Select(n => new HiddenPair(n))] : plan.Hidden;
        foreach (var (mine, theirs) in pairs)
        {
            if (!Makes(student, mine) || !Makes(teacher, theirs))
                throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"{(Makes(student, mine) ? $"'{theirs}' is no value inside the teacher" : $"'{mine}' is no value inside the student")}, and 'hidden' compares values of both");
            if (mine != theirs && outputs.Contains(mine))
                throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"'{mine}' is compared as an output already, and cannot be compared with '{theirs}', too");
            yield return new(plan.HiddenLoss == HiddenLoss.Cosine ? LossKind.Cosine : LossKind.SquaredError, mine) { Weight = (float)(plan.HiddenWeight / pairs.Count), Reference = mine == theirs ? null : theirs };
        }
    }

    private static bool Makes(OnnxModel model, string name) => model.Graph.Node.Any(n => n.Output.Contains(name));

    /// <summary>
    /// Values of the same name, maker and shape in both at the ends of blocks: sums of two computed values, and normalized ones; where there are
    /// none, what activation functions give; where there are none of these, the same that differ in width.
    /// </summary>
    private static IReadOnlyList<string> Common(OnnxModel student, OnnxModel teacher, IReadOnlyDictionary<string, Tensor> sample, HashSet<string> outputs)
    {
        var (mine, theirs) = (new GraphIndex(student, student.Graph), new GraphIndex(teacher, teacher.Graph));
        IReadOnlyList<string> named(Func<GraphIndex, NodeProto, bool> wanted) =>
        [
            .. student.Graph.Node.Where(n => n.Output.Count == 1 && wanted(mine, n) && !outputs.Contains(n.Output[0]) && theirs.Producer(n.Output[0])?.OpType == n.OpType)
                .Select(n => n.Output[0]),
        ];
        List<IReadOnlyList<string>> found = [named(EndsBlock), named((_, n) => IsActivation(n))];
        foreach (var widths in new[] { false, true })
        {
            foreach (var names in found)
            {
                var same = SameShape(student, teacher, sample, names, widths);
                if (same.Count > 0)
                    return same;
            }
        }

        throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, "'hidden: auto' finds no value inside that has the same name in student and teacher, and the same shape but for a width");
    }

    private static bool EndsBlock(GraphIndex index, NodeProto node) => node.IsStandard()
        && (node.OpType is "LayerNormalization" or "RMSNormalization" or "GroupNormalization" || (node.OpType == "Add" && node.Input.All(i => index.Constant(i) is null)));

    private static bool IsActivation(NodeProto node) => node.IsStandard()
        && node.OpType is "Relu" or "Clip" or "LeakyRelu" or "PRelu" or "Gelu" or "HardSwish" or "Tanh" or "Sigmoid" or "Elu" or "Selu" or "Mish";

    private static IReadOnlyList<string> SameShape(OnnxModel student, OnnxModel teacher, IReadOnlyDictionary<string, Tensor> sample, IReadOnlyList<string> names, bool widths)
    {
        if (names.Count == 0)
            return [];
        var (mine, theirs) = (Shapes(student, sample, names), Shapes(teacher, sample, names));
        return [.. names.Where(n => mine[n].Type == Onnx.TensorProto.Types.DataType.Float && (widths ? DifferInWidth(mine[n].Shape, theirs[n].Shape) : mine[n].Shape.SequenceEqual(theirs[n].Shape)))];
    }

    private static bool DifferInWidth(long[] a, long[] b) => a.Length == b.Length && Enumerable.Range(0, a.Length).Where(i => a[i] != b[i]).ToList() is [> 0];

    private static Dictionary<string, Tensor> Shapes(OnnxModel model, IReadOnlyDictionary<string, Tensor> sample, IReadOnlyList<string> names)
    {
        if (names.Count == 0)
            return [];
        var clone = model.Clone();
        var known = clone.Graph.Output.Select(o => o.Name).ToHashSet();
        foreach (var name in names.Where(known.Add))
            clone.Graph.Output.Add(new ValueInfoProto { Name = name });
        using var session = new Session(clone, new SessionSettings(1));
        return session.Run(sample, names).ToDictionary();
    }
}
