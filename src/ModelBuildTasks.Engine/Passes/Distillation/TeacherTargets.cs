using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using OnnxType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>What each sample's answers should be: the teacher's, asked once, and labels.</summary>
internal sealed class TeacherTargets : IDisposable
{
    private readonly SampleStore _answers;
    private readonly TrainingSamples _samples;
    private readonly (string Name, long[] Shape)? _labels;

    public TeacherTargets(OnnxModel teacher, TrainingSamples samples, TrainingStep step, int micro, TrainerOptions options, CancellationToken cancellation)
    {
        (_samples, _answers) = (samples, new(options.Memory / 4));
        var terms = step.Terms.Zip(step.Targets).ToList();
        if (terms.FirstOrDefault(t => t.First.Kind == LossKind.CrossEntropy).Second is { } labels)
            _labels = (labels, CheckedLabels(step, labels, micro));
        var asked = terms.Where(t => t.First.Kind != LossKind.CrossEntropy).DistinctBy(t => t.Second).ToDictionary(t => t.Second, t => t.First.Reference ?? t.First.Value);
        if (asked.Count == 0)
            return;
        var model = teacher.Clone();
        var known = model.Graph.Output.Select(o => o.Name).ToHashSet();
        foreach (var value in asked.Values.Where(known.Add))
            model.Graph.Output.Add(new ValueInfoProto { Name = value });
        if (asked.Values.FirstOrDefault(v => !GraphEdit.Definitions(model.Graph).Contains(v)) is { } missing)
            throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"the teacher has no value '{missing}' that the student's could be compared with");
        using var session = new Session(model, new SessionSettings(options.Threads));
        for (var first = 0; first < samples.Count; first += micro)
        {
            int[] numbers = [.. Enumerable.Range(first, micro).Select(i => i % samples.Count)];
            var answers = session.Run(samples.Batch(numbers), [.. asked.Values.Distinct()], cancellation);
            foreach (var (target, value) in asked)
            {
                if (first == 0)
                    Check(step, target, value, answers[value]);
                _answers.Add(target, answers[value], micro, Math.Min(micro, samples.Count - first));
            }
        }
    }

    /// <summary>The answers to some samples, by the inputs of the gradient graph.</summary>
    public Dictionary<string, Tensor> Batch(int[] numbers)
    {
        var batch = _answers.Batch(numbers);
        if (_labels is { } labels)
            batch[labels.Name] = Tensor.Of<long>(OnnxType.Int64, labels.Shape, _samples.Labels(numbers)!);
        return batch;
    }

    /// <inheritdoc/>
    public void Dispose() => _answers.Dispose();

    private long[] CheckedLabels(TrainingStep step, string target, int micro)
    {
        var shape = step.TargetShape(target);
        int[] first = [.. Enumerable.Range(0, micro).Select(i => i % _samples.Count)];
        var given = _samples.Labels(first)?.Length ?? throw new ModelBuildException(DiagnosticCodes.DataMissing, "the data has no labels to train on");
        for (var i = 0; i < _samples.Count; i++)
        {
            foreach (var label in _samples.Labels([i])!)
            {
                if (label < 0 || label >= step.Classes)
                    throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"sample {i + 1} has the label {label}, and the student's scores are those of {step.Classes} classes, 0 to {step.Classes - 1}");
            }
        }

        return given == ElementTypes.Count(shape) ? shape
            : throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"{micro} samples have {given} labels, and the student's scores [{string.Join(',', shape)}] are for {ElementTypes.Count(shape)}");
    }

    private static void Check(TrainingStep step, string target, string value, Tensor answer)
    {
        var expected = step.TargetShape(target);
        if (!expected.SequenceEqual(answer.Shape))
            throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"the student gives '{value}' as float32[{string.Join(',', expected)}], its teacher as {ElementTypes.Name(answer.Type)}[{string.Join(',', answer.Shape)}]");
    }
}
