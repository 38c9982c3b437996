using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;

namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>The inputs of every calibration run, as the engine feeds them.</summary>
internal static class CalibrationRuns
{
    /// <summary>
    /// Writes one npz file a run and gives their names in order. Where outputs are fed back, the original is run over the data in order,
    /// so that every file stands for itself.
    /// </summary>
    public static IReadOnlyList<string> Write(string modelPath, IDataset data, string folder)
    {
        Directory.CreateDirectory(folder);
        var names = new List<string>();
        using var session = new Session(modelPath);
        IReadOnlyDictionary<string, Tensor>? state = null;
        foreach (var batch in data.Batches())
        {
            var inputs = new Dictionary<string, Tensor>(batch.Inputs);
            if (data.Feedback.Count > 0)
            {
                if (state is not null && !batch.SequenceStart)
                {
                    foreach (var (input, output) in data.Feedback)
                        inputs[input] = state[output];
                }

                state = session.Run(inputs, [.. data.Feedback.Values.Distinct()]);
            }

            names.Add($"{names.Count:D6}.npz");
            NumpyFiles.WriteNpz(Path.Combine(folder, names[^1]), inputs);
        }

        return names;
    }
}
