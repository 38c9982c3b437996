using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Execution;

/// <summary>
/// Runs a model over batches and feeds its own outputs back where the dataset says so. With feedback the batches are given in order,
/// one at a time; without, runs may be made from several threads at once.
/// </summary>
/// <param name="session">The model.</param>
/// <param name="feedback">Fed-back outputs by the inputs they go to: <see cref="IDataset.Feedback"/>.</param>
internal sealed class SequenceRunner(Session session, IReadOnlyDictionary<string, string> feedback)
{
    private readonly HashSet<string> _outputs = [.. feedback.Values];
    private readonly IReadOnlyDictionary<string, ValueDescription> _declared =
        feedback.Count == 0 ? new Dictionary<string, ValueDescription>() : session.Inputs.ToDictionary(i => i.Name);

    // By output.
    private Dictionary<string, Tensor>? _state;

    /// <summary>Runs the model and copies the named outputs; non-tensor outputs are left out.</summary>
    /// <exception cref="Microsoft.ML.OnnxRuntime.OnnxRuntimeException">ONNX Runtime failed in the run.</exception>
    /// <exception cref="ModelBuildException">MBT1021: an output cannot be fed back. MBT2008: the run did not end in time.</exception>
    public IReadOnlyDictionary<string, Tensor> Run(Batch batch, IReadOnlyCollection<string> outputs, CancellationToken cancellation = default)
    {
        var result = new Dictionary<string, Tensor>();
        Run(batch, outputs, (name, type, shape, bytes) => result[name] = new Tensor(type, shape, bytes.ToArray()), cancellation);
        return result;
    }

    /// <summary>Runs the model and shows each named output in place, without a copy; the span ends with the call.</summary>
    /// <exception cref="Microsoft.ML.OnnxRuntime.OnnxRuntimeException">ONNX Runtime failed in the run.</exception>
    /// <exception cref="ModelBuildException">MBT1021: an output cannot be fed back. MBT2008: the run did not end in time.</exception>
    public void Run(Batch batch, IReadOnlyCollection<string> outputs, OutputVisitor visit, CancellationToken cancellation = default)
    {
        if (feedback.Count == 0)
        {
            session.Run(batch.Inputs, outputs, visit, cancellation);
            return;
        }

        var inputs = new Dictionary<string, Tensor>(batch.Inputs);
        if (_state is not null && !batch.SequenceStart)
        {
            foreach (var (input, output) in feedback)
                inputs[input] = _state[output];
        }

        var wanted = outputs.ToHashSet();
        var next = new Dictionary<string, Tensor>();
        session.Run(
            inputs,
            [.. outputs, .. _outputs.Except(wanted)],
            (name, type, shape, bytes) =>
            {
                if (_outputs.Contains(name))
                    next[name] = new Tensor(type, shape, bytes.ToArray());
                if (wanted.Contains(name))
                    visit(name, type, shape, bytes);
            },
            cancellation);
        foreach (var (input, output) in feedback)
            Check(_declared[input], output, next.GetValueOrDefault(output));
        _state = next;
    }

    // ONNX Runtime would speak of the input's shape without saying where it came from.
    private static void Check(ValueDescription input, string output, Tensor? given)
    {
        var fits = given is not null && given.Type == input.Type
            && (input.Shape is not { } declared || (declared.Length == given.Shape.Length && declared.Zip(given.Shape).All(d => d.First < 0 || d.First == d.Second)));
        if (!fits)
        {
            var what = given is null ? "no tensor" : DatasetError.Describe(given.Type, given.Shape);
            throw new ModelBuildException(DiagnosticCodes.DatasetDoesNotFit, $"{DatasetError.Describe(input)}; the output '{output}', which is fed back to it, is {what}");
        }
    }
}
