using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Streams;

/// <summary>A stream cut into windows of as many steps; what is left at a sequence's end and is shorter than a window is left out.</summary>
internal sealed class StreamWindows
{
    private readonly List<(Batch[] Steps, bool Starts)> _windows = [];

    /// <summary>Reads all steps.</summary>
    /// <param name="data">Data whose outputs are fed back.</param>
    /// <param name="window">Steps of a window.</param>
    /// <param name="cancellation">Ends reading.</param>
    public StreamWindows(IDataset data, int window, CancellationToken cancellation)
    {
        var steps = new List<Batch>();
        var starts = true;
        foreach (var batch in data.Batches())
        {
            cancellation.ThrowIfCancellationRequested();
            if (batch.SequenceStart)
            {
                steps.Clear();
                starts = true;
            }

            steps.Add(batch);
            if (steps.Count < window)
                continue;
            _windows.Add(([.. steps], starts));
            steps.Clear();
            starts = false;
        }

        Initial = _windows.Count == 0 ? new Dictionary<string, Tensor>() : data.Feedback.Keys.ToDictionary(f => f, f => _windows[0].Steps[0].Inputs[f]);
    }

    /// <summary>Number of windows.</summary>
    public int Count => _windows.Count;

    /// <summary>What is fed back at the beginning of a sequence.</summary>
    public IReadOnlyDictionary<string, Tensor> Initial { get; }

    /// <summary>Inputs that have the same value in every step, such as a sampling rate.</summary>
    public IReadOnlyCollection<string> Constants => Count == 0 ? []
        : [.. _windows[0].Steps[0].Inputs.Where(i => !Initial.ContainsKey(i.Key) && _windows.TrueForAll(w => Array.TrueForAll(w.Steps, s => s.Inputs[i.Key].Bytes.AsSpan().SequenceEqual(i.Value.Bytes)))).Select(i => i.Key)];

    /// <summary>The inputs of a window's steps.</summary>
    public IReadOnlyList<IReadOnlyDictionary<string, Tensor>> Steps(int number) => [.. _windows[number].Steps.Select(s => s.Inputs)];

    /// <summary>Whether a sequence begins with a window.</summary>
    public bool Starts(int number) => _windows[number].Starts;

    /// <summary>What the teacher answers in each step of each window, by the values asked for.</summary>
    /// <param name="teacher">The teacher.</param>
    /// <param name="feedback">Outputs by the inputs that they are fed back to.</param>
    /// <param name="values">The values.</param>
    /// <param name="anew">Windows with which a stream begins, beside those that begin a sequence.</param>
    /// <param name="threads">Threads to use; the answers do not depend on it.</param>
    /// <param name="cancellation">Ends asking.</param>
    public IReadOnlyDictionary<string, Tensor>[][] Ask(
        OnnxModel teacher, IReadOnlyDictionary<string, string> feedback, IReadOnlyList<string> values, IReadOnlySet<int> anew, int threads, CancellationToken cancellation)
    {
        var model = teacher.Clone();
        var known = model.Graph.Output.Select(o => o.Name).ToHashSet();
        foreach (var value in values.Where(known.Add))
            model.Graph.Output.Add(new ValueInfoProto { Name = value });
        if (values.FirstOrDefault(v => !GraphEdit.Definitions(model.Graph).Contains(v)) is { } missing)
            throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"the teacher has no value '{missing}' that the student's could be compared with");
        using var session = new Session(model, new SessionSettings(threads));
        var runner = new SequenceRunner(session, feedback);
        var answers = new IReadOnlyDictionary<string, Tensor>[Count][];
        for (var w = 0; w < Count; w++)
        {
            var starts = Starts(w) || anew.Contains(w);
            answers[w] = [.. _windows[w].Steps.Select((step, k) => runner.Run(step with { SequenceStart = starts && k == 0 }, values, cancellation))];
        }

        return answers;
    }
}
