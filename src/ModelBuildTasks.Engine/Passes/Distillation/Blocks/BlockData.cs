using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>
/// What a block reads in the student as it is now, and what the teacher has at its ends, for every sample. It is computed once, from the models' inputs
/// on, and kept within a bound of memory.
/// </summary>
internal sealed class BlockData : IDisposable
{
    private readonly SampleStore _inputs;
    private readonly SampleStore _targets;

    /// <param name="student">The student.</param>
    /// <param name="inputs">What the block reads.</param>
    /// <param name="teacher">The teacher.</param>
    /// <param name="targets">What is compared with.</param>
    /// <param name="matches">Which channels of the teacher's values are compared, where the student has fewer.</param>
    /// <param name="samples">The samples.</param>
    /// <param name="micro">Samples of a run.</param>
    /// <param name="options">Threads, and the bound of memory.</param>
    /// <param name="cancellation">Ends it.</param>
    public BlockData(FormedModel student, IReadOnlyCollection<string> inputs, FormedModel teacher, IReadOnlyCollection<string> targets, IReadOnlyDictionary<string, ChannelMatch> matches, TrainingSamples samples, int micro, TrainerOptions options, CancellationToken cancellation)
    {
        // A share of the bound: the step's own activations need the rest.
        (_inputs, _targets) = (new(options.Memory / 8), new(options.Memory / 8));
        var open = new List<IDisposable>();
        double power = 0, count = 0;
        try
        {
            var (mine, theirs) = (student.Values(inputs, options.Threads, open), teacher.Values(targets, options.Threads, open));
            for (var first = 0; first < samples.Count; first += micro)
            {
                cancellation.ThrowIfCancellationRequested();
                var batch = samples.Batch([.. Enumerable.Range(first, micro).Select(i => i % samples.Count)]);
                var fresh = Math.Min(micro, samples.Count - first);
                foreach (var (name, tensor) in mine(batch))
                    _inputs.Add(name, tensor, micro, fresh);
                foreach (var (name, whole) in theirs(batch))
                {
                    var tensor = matches.TryGetValue(name, out var match) ? match.Take(whole) : whole;
                    _targets.Add(name, tensor, micro, fresh);
                    power += TensorPrimitives.SumOfSquares<float>(tensor.As<float>());
                    count += tensor.Count;
                }
            }
        }
        finally
        {
            open.ForEach(o => o.Dispose());
        }

        Power = power / count;
    }

    /// <summary>The mean square of the teacher's values.</summary>
    public double Power { get; }

    /// <summary>What the block reads for some samples.</summary>
    public Dictionary<string, Tensor> Inputs(int[] numbers) => _inputs.Batch(numbers);

    /// <summary>What the gradient graph is given for some samples beside it.</summary>
    public Dictionary<string, Tensor> Targets(int[] numbers, IEnumerable<(LossTerm Term, string Target)> terms)
    {
        var values = _targets.Batch(numbers);
        return terms.DistinctBy(t => t.Target).ToDictionary(t => t.Target, t => values[t.Term.Reference ?? t.Term.Value]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _inputs.Dispose();
        _targets.Dispose();
    }
}
