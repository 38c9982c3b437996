using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Autodiff.Ordering;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>The weights of a student, the gradient graph and the graph of the loss alone, each in one session.</summary>
internal sealed class TrainingStep : IDisposable
{
    private readonly GradientGraph _graph;
    private readonly IReadOnlyDictionary<string, string> _carried;
    private readonly Session _gradients;
    private readonly Session _loss;
    private readonly Dictionary<string, Tensor> _weights;
    private readonly Dictionary<string, float[]> _start;
    private readonly Func<IReadOnlyDictionary<string, FakeWeight>> _restart;
    private IReadOnlyDictionary<string, FakeWeight> _latent;
    private readonly Dictionary<string, float[]> _sums;
    private readonly Dictionary<string, float[]> _came;
    private Dictionary<string, float[]> _masks;
    private readonly Dictionary<string, string> _byOutput;
    private readonly IReadOnlyCollection<string> _constants;

    public TrainingStep(OnnxModel student, IReadOnlyList<string> weights, IReadOnlyList<LossTerm> terms, IReadOnlyDictionary<string, Tensor> example, TrainerOptions options)
    {
        Terms = terms;
        student = options.Quantizer?.Freeze(student, weights) ?? student;
        _constants = options.Constants;
        _carried = options.Carried;
        _graph = TrainingMemory.Build(student, new(weights, terms, example) { Constants = options.Constants, Kept = [.. _carried.Values.Distinct()] }, options.Memory);
        _byOutput = _graph.Outputs.ToDictionary(o => o.Value, o => o.Key);
        var tensors = student.Graph.Initializer.ToDictionary(t => t.Name);
        _weights = weights.ToDictionary(w => w, w => Tensor.Of<float>(DataType.Float, [.. tensors[w].Dims], student.ReadFloats(tensors[w])));
        _sums = _graph.Outputs.Keys.ToDictionary(w => w, w => new float[_weights[w].Count]);
        // Before weights are rounded, which makes zeros of its own.
        _came = options.KeepZeros ? ZeroMasks.Of(_weights) : [];
        _start = Snapshot();
        _restart = () => options.Quantizer?.Start(weights) ?? new Dictionary<string, FakeWeight>();
        _latent = _restart();
        // Signs have no zero.
        foreach (var name in _latent.Where(l => l.Value is FakePlanes).Select(l => l.Key))
            _came.Remove(name);
        _masks = new(_came);
        WriteLatent();
        var settings = new SessionSettings(Math.Min(options.Threads, SumOrder.MostThreads));
        _gradients = new Session(_graph.Model, settings);
        _loss = new Session(LossAlone(), settings);
    }

    /// <summary>The terms of the loss.</summary>
    public IReadOnlyList<LossTerm> Terms { get; }

    /// <summary>The input of each term's target.</summary>
    public IReadOnlyList<string> Targets => _graph.Targets;

    /// <summary>The classes that labels are of.</summary>
    public long Classes => _graph.Classes;

    /// <summary>The shape that a target must have.</summary>
    public long[] TargetShape(string target) => ValueTypes.Describe(_graph.Model.Graph.Input.First(i => i.Name == target))!.Shape!;

    /// <summary>The loss on one batch.</summary>
    public double Loss(IReadOnlyDictionary<string, Tensor> batch, IReadOnlyDictionary<string, Tensor> targets, CancellationToken cancellation) =>
        _loss.Run(Inputs(batch, targets), [_graph.Loss], cancellation)[_graph.Loss].As<float>()[0];

    /// <summary>Adds the gradients of one batch to those since the first batch of the step; gives the loss.</summary>
    public double Accumulate(IReadOnlyDictionary<string, Tensor> batch, IReadOnlyDictionary<string, Tensor> targets, bool first, CancellationToken cancellation) =>
        Accumulate(batch, targets, first, null, cancellation);

    private double Accumulate(
        IReadOnlyDictionary<string, Tensor> batch, IReadOnlyDictionary<string, Tensor> targets, bool first, Dictionary<string, Tensor>? state, CancellationToken cancellation)
    {
        var loss = 0.0;
        _gradients.Run(
            Inputs(batch, targets),
            [_graph.Loss, .. _byOutput.Keys, .. state is null ? [] : _carried.Values.Distinct()],
            (name, type, shape, bytes) =>
            {
                if (state is not null && _carried.Values.Contains(name))
                {
                    state[name] = new(type, shape, bytes.ToArray());
                    return;
                }

                var values = MemoryMarshal.Cast<byte, float>(bytes);
                if (!_byOutput.TryGetValue(name, out var weight))
                    loss = values[0];
                else if (first)
                    values.CopyTo(_sums[weight]);
                else
                    TensorPrimitives.Add(values, _sums[weight], _sums[weight]);
            },
            cancellation);
        return loss;
    }

    /// <summary>The loss on one window of a stream, and what its last run hands on.</summary>
    public (double Loss, IReadOnlyDictionary<string, Tensor> State) LossAndState(IReadOnlyDictionary<string, Tensor> batch, IReadOnlyDictionary<string, Tensor> targets, CancellationToken cancellation)
    {
        var results = _loss.Run(Inputs(batch, targets), [_graph.Loss, .. _carried.Values.Distinct()], cancellation);
        return (results[_graph.Loss].As<float>()[0], _carried.ToDictionary(c => c.Key, c => results[c.Value]));
    }

    /// <summary>Adds the gradients of one window of a stream; gives the loss, and what its last run hands on.</summary>
    public (double Loss, IReadOnlyDictionary<string, Tensor> State) AccumulateAndState(
        IReadOnlyDictionary<string, Tensor> batch, IReadOnlyDictionary<string, Tensor> targets, bool first, CancellationToken cancellation)
    {
        var state = new Dictionary<string, Tensor>();
        var loss = Accumulate(batch, targets, first, state, cancellation);
        return (loss, _carried.ToDictionary(c => c.Key, c => state[c.Value]));
    }

    /// <summary>Weights whose zeros stay.</summary>
    public IReadOnlyCollection<string> Masked => _masks.Keys;

    /// <summary>Moves the weights along the gradients that were added up, times a factor.</summary>
    public void Move(AdamW optimizer, float factor)
    {
        foreach (var (name, sum) in _sums)
        {
            if (factor != 1)
                TensorPrimitives.Multiply(sum, factor, sum);
            var weight = _weights[name].As<float>();
            var mask = _masks.GetValueOrDefault(name);
            if (mask is not null)
                TensorPrimitives.Multiply(sum, mask, sum);
            if (_latent.TryGetValue(name, out var latent))
            {
                latent.Move(optimizer, sum);
                if (mask is not null)
                    latent.Mask(mask);
                latent.Write(weight);
            }
            else
            {
                optimizer.Update(name, weight, sum, decay: _weights[name].Shape.Length > 1);
            }

            if (mask is not null)
                TensorPrimitives.Multiply(weight, mask, weight);
        }
    }

    /// <summary>A copy of the weights, quantized as the student reads them.</summary>
    public Dictionary<string, float[]> Snapshot() => _weights.ToDictionary(w => w.Key, w => w.Value.ToFloats());

    /// <summary>Adds zeros to the masks, and to the weights.</summary>
    /// <param name="pruning">Which.</param>
    /// <param name="share">How many of those that there will be, 0 to 1.</param>
    public void Grow(GradualPruning pruning, double share)
    {
        pruning.Grow(share, _masks, _weights.Keys, name => _latent.TryGetValue(name, out var latent) ? latent.Copy() : _weights[name].ToFloats());
        foreach (var (name, mask) in _masks)
        {
            var weight = _weights[name].As<float>();
            if (_latent.TryGetValue(name, out var latent))
            {
                latent.Mask(mask);
                latent.Write(weight);
            }

            TensorPrimitives.Multiply(weight, mask, weight);
        }
    }

    /// <summary>Begins anew with the weights that the student came with, and their zeros.</summary>
    public void Restart()
    {
        _masks = new(_came);
        foreach (var (name, values) in _start)
            values.CopyTo(_weights[name].As<float>());
        _latent = _restart();
        WriteLatent();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _gradients.Dispose();
        _loss.Dispose();
    }

    private void WriteLatent()
    {
        foreach (var (name, latent) in _latent)
            latent.Write(_weights[name].As<float>());
    }

    private Dictionary<string, Tensor> Inputs(IReadOnlyDictionary<string, Tensor> batch, IReadOnlyDictionary<string, Tensor> targets) =>
        batch.Where(b => !_constants.Contains(b.Key)).Concat(targets).Concat(_weights).ToDictionary();

    private OnnxModel LossAlone()
    {
        var alone = _graph.Model.Clone();
        alone.Graph.Output.Clear();
        alone.Graph.Output.Add(new ValueInfoProto { Name = _graph.Loss });
        alone.Graph.Output.AddRange(_carried.Values.Distinct().Select(c => new ValueInfoProto { Name = c }));
        CleanupSteps.DeadNodes.Apply(alone);
        UnusedInitializers.Remove(alone.Graph);
        return alone;
    }
}
