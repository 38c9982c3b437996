using System.Globalization;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>
/// Trains a student block by block, from the inputs on: the weights of each are trained until the block, on what the student as it is feeds it, gives
/// what the teacher has there (Li et al.: BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction, 2021). A block has few
/// weights and as many targets as its output has values, so that few samples do. Samples that were held back decide for each block whether its new
/// weights stay, and at the end what the student answers is judged as a whole.
/// </summary>
internal sealed class BlockwiseTrainer(OnnxModel student, OnnxModel teacher, IDataset data, TrainerOptions options)
{
    private readonly Dictionary<string, (bool Trained, string Reason)> _notes = [];
    private readonly Dictionary<string, int> _keptIn = [];
    private readonly HashSet<string> _masked = [];
    private Dictionary<string, ChannelMatch> _matches = [];
    private int _steps;
    private int _kept;
    private int _judged;

    /// <summary>Trains a copy of the student.</summary>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Ends training without a result.</param>
    /// <exception cref="ModelBuildException">MBT2062: there are no blocks. MBT2040 to MBT2046: why it cannot be trained, or how training failed.</exception>
    public TrainingResult Run(Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        if (data.Feedback.Count > 0)
            throw new ModelBuildException(DiagnosticCodes.NoBlocks, "a model whose outputs are fed back cannot be trained block by block: what a block reads depends on the runs before; train it end to end");
        using var samples = new TrainingSamples(data, options.Constants, options.Memory / 4, cancellation);
        var rows = student.Inputs.FirstOrDefault(i => !options.Constants.Contains(i.Name))?.Shape is [> 0 and var r, ..] ? r : (long?)null;
        var split = new SampleSplit(samples.Count, rows, options);
        var terms = options.Terms.Count > 0 ? options.Terms : DefaultTerms.Of(student);
        if (terms.Any(t => t.Kind == LossKind.CrossEntropy))
            throw new ModelBuildException(DiagnosticCodes.NoBlocks, "blocks are compared with those of the teacher, and labels say nothing of them; train without labels, or end to end");
        var example = samples.Batch(split.Example);

        // What is not trained is what it will be stored as.
        var start = options.Quantizer?.Freeze(student, []) ?? student;
        var mine = new FormedModel(start, [.. terms.Select(t => t.Value).Distinct()], example, options.Constants);
        var theirs = new FormedModel(teacher, [.. terms.Select(t => t.Reference ?? t.Value).Distinct()], example, options.Constants);
        var batched = SampleAxis.Of(mine.Graph, mine.Flow, split.Micro, numbers => samples.Batch([.. numbers.Select(n => split.Example[n])]), mine.Weights, options.Threads);
        _matches = ChannelMatch.Of(mine, theirs, batched.Where(mine.Flow.IsActivation), example, options.Threads);
        var blocks = BlockPartition.Of(mine.Graph, mine.Flow, mine.Weights.Keys, value => batched.Contains(value) && (_matches.ContainsKey(value) || IsSame(mine.Graph, theirs.Graph, value)));
        if (blocks.Count < 2)
            throw new ModelBuildException(DiagnosticCodes.NoBlocks, "the model has no blocks to train one after the other: inside, no value that all depends on has the name and the shape of one of the teacher's; train it end to end");

        using var whole = new OutputLoss(start, teacher, terms, samples, split, options, cancellation);
        var before = whole.Of(start, cancellation);
        var (total, best) = (BlockTraining.Steps(split, options), new Answers(before, 0, new(mine.Weights)));
        foreach (var (i, block) in blocks.Index())
        {
            cancellation.ThrowIfCancellationRequested();
            Train(block, $"block {i + 1} of {blocks.Count}", mine, theirs, batched, terms, samples, split, (done, loss, held) => progress?.Invoke(new((i * total) + done, blocks.Count * total, loss, held)), cancellation);
            if (_kept == _judged)
                continue;
            _judged = _kept;
            var loss = whole.Of(Student(start, mine.Weights), cancellation);
            // Where a model was nearly right, less than all of its blocks may be best.
            if (loss < best.Loss)
                best = new(loss, _kept, new(mine.Weights));
        }

        Withdraw(best.Kept);

        foreach (var weight in mine.Weights.Keys)
            _notes.TryAdd(weight, (false, "it is in no block whose end could be compared"));
        var trained = Student(start, best.Weights);
        List<string> weights = [.. student.Graph.Initializer.Select(t => t.Name).Where(_notes.ContainsKey)];
        return new(trained, before, best.Loss, _steps, weights) { Masked = [.. _masked], Notes = _notes, Blocks = (best.Kept, blocks.Count) };
    }

    private sealed record Answers(double Loss, int Kept, Dictionary<string, float[]> Weights);

    /// <summary>Gives up blocks behind those after which the model answered best.</summary>
    private void Withdraw(int kept)
    {
        foreach (var weight in _keptIn.Where(k => k.Value > kept).Select(k => k.Key))
            _notes[weight] = (false, $"{_notes[weight].Reason}, and the model answers better without");
    }

    private void Train(
        Block block, string name, FormedModel mine, FormedModel theirs, HashSet<string> batched, IReadOnlyList<LossTerm> terms, TrainingSamples samples, SampleSplit split, Action<int, double, double> progress, CancellationToken cancellation)
    {
        var own = block.Nodes.SelectMany(n => n.Output).ToHashSet();
        var part = mine.Part(block.Ends, value => !own.Contains(value) && batched.Contains(value));
        var isLast = terms.Select(t => t.Value).ToHashSet().SetEquals(block.Ends);
        using var values = new BlockData(
            mine, [.. part.Graph.Input.Select(i => i.Name)], theirs, isLast ? [.. terms.Select(t => t.Reference ?? t.Value).Distinct()] : block.Ends, isLast ? new Dictionary<string, ChannelMatch>() : _matches, samples, split.Micro, options, cancellation);
        var example = values.Inputs(split.Example);
        var weights = Trainable(block, part, example, mine);
        if (weights.Count == 0)
            return;
        Loosen(part, weights);
        IReadOnlyList<LossTerm> compared = isLast ? terms : [new(LossKind.SquaredError, block.Ends[0]) { Weight = (float)(1 / Math.Max(values.Power, 1e-12)) }];
        using var step = new TrainingStep(part, weights, compared, example, options with { Constants = [], Quantizer = options.Quantizer?.Only(weights) });
        List<(LossTerm, string)> targets = [.. step.Terms.Zip(step.Targets)];
        var result = new BlockTraining(step, numbers => (values.Inputs(numbers), values.Targets(numbers, targets)), split, options).Run(progress, cancellation);
        _steps += result.Steps;
        var better = result.After < result.Before;
        _kept += better ? 1 : 0;
        var losses = string.Create(CultureInfo.InvariantCulture, $"{name}: loss on held-back samples {result.Before:G4}{(better ? $" -> {result.After:G4}" : ", and training made it no better")}");
        foreach (var weight in weights)
        {
            _notes[weight] = (better, losses);
            if (!better)
                continue;
            mine.Weights[weight] = result.Weights[weight];
            _keptIn[weight] = _kept;
        }

        _masked.UnionWith(step.Masked);
    }

    /// <summary>The weights of a block that were not trained before and can be.</summary>
    private List<string> Trainable(Block block, OnnxModel part, IReadOnlyDictionary<string, Tensor> example, FormedModel mine)
    {
        var own = block.Nodes.SelectMany(mine.Flow.Weights).Where(w => !_notes.ContainsKey(w)).ToHashSet();
        var weights = new List<string>();
        foreach (var (weight, _, reason) in Trainability.Of(part, block.Ends, example, []).Where(w => own.Contains(w.Weight)))
        {
            if (reason is null)
                weights.Add(weight);
            else
                _notes[weight] = (false, reason);
        }

        return weights;
    }

    /// <summary>Gives weights that are trained the values that they are trained from, before any rounding.</summary>
    private void Loosen(OnnxModel part, IReadOnlyCollection<string> weights)
    {
        var tensors = student.Graph.Initializer.Where(t => weights.Contains(t.Name)).ToDictionary(t => t.Name);
        foreach (var tensor in part.Graph.Initializer.Where(t => tensors.ContainsKey(t.Name)).ToList())
            GraphEdit.ReplaceInitializer(part.Graph, tensor, part.CreateTensor(tensor.Name, tensor.Dims, student.ReadFloats(tensors[tensor.Name])));
    }

    private OnnxModel Student(OnnxModel start, IReadOnlyDictionary<string, float[]> weights)
    {
        var trained = start.Clone();
        foreach (var tensor in trained.Graph.Initializer.Where(t => _notes.TryGetValue(t.Name, out var note) && note.Trained).ToList())
            GraphEdit.ReplaceInitializer(trained.Graph, tensor, trained.CreateTensor(tensor.Name, tensor.Dims, weights[tensor.Name]));
        return trained;
    }

    private static bool IsSame(ShapedGraph mine, ShapedGraph theirs, string value) => theirs.IsFloat(value) && theirs.IsShaped(value) && mine.Shape(value).SequenceEqual(theirs.Shape(value));
}
