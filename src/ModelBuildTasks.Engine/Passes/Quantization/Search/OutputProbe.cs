using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// A few batches of the calibration data with the float model's outputs, and the error of other models on them. Runs are in
/// float arithmetic and on one thread each: the figures depend on the model, not on the machine's integer kernels.
/// </summary>
internal sealed class OutputProbe
{
    // What inputs and reference outputs may take together.
    private const long LargestMemory = 256L << 20;

    private readonly IReadOnlyDictionary<string, string> _feedback;
    private readonly List<(Batch Batch, Dictionary<string, float[]> Reference)> _runs = [];

    private IReadOnlyDictionary<string, ScoreOutput> _scores;
    private double _curvature;
    private double _squares;
    private long _count;

    private OutputProbe(IReadOnlyDictionary<string, string> feedback, IReadOnlyList<string> outputs, IReadOnlyDictionary<string, ScoreOutput> scores) =>
        (_feedback, Outputs, _scores) = (feedback, outputs, scores);

    /// <summary>The outputs of float32 or float16.</summary>
    public IReadOnlyList<string> Outputs { get; private set; }

    /// <summary>Σ reference² over all outputs and batches.</summary>
    public double Power { get; private set; }

    /// <summary>Batches.</summary>
    public int Count => _runs.Count;

    /// <summary>Runs the float model on batches spread evenly over the data; for streams on the first ones in a row.</summary>
    /// <param name="model">The float model.</param>
    /// <param name="data">The calibration data.</param>
    /// <param name="batches">How many batches at most.</param>
    /// <param name="loss">
    /// How outputs are compared: where all give classes, and enough positions are in doubt, by the divergence of these, in units of the squared error that makes it on average; scores also by
    /// their squared error, see <see cref="ScoreOutput.Plain"/>.
    /// </param>
    public static OutputProbe Open(OnnxModel model, IDataset data, int batches, OutputLoss loss = OutputLoss.Values)
    {
        using var session = new Session(model, new SessionSettings(Threads: 1) { KeepPairs = true });
        var probe = new OutputProbe(data.Feedback, [.. session.Outputs.Where(o => o.Type is DataType.Float or DataType.Float16).Select(o => o.Name)], ScoreOutput.Of(model, loss));
        if (probe.Outputs.Count == 0)
            return probe;
        var runner = new SequenceRunner(session, data.Feedback);
        var stride = data.Feedback.Count > 0 ? 1 : Math.Max(1, data.Count / Math.Max(1, batches));
        long sample = 0, next = 0, bytes = 0;
        foreach (var batch in data.Batches())
        {
            if (probe.Count >= batches || bytes > LargestMemory)
                break;
            var here = sample;
            sample += batch.Count;
            if (here < next)
                continue;
            next = here + stride;
            var reference = new Dictionary<string, float[]>();
            runner.Run(batch, probe.Outputs, (name, type, shape, values) =>
            {
                if (type is DataType.Float or DataType.Float16)
                    reference[name] = Floats(type, values).ToArray();
                // A divergence and a squared error do not add up.
                if (!probe._scores.TryGetValue(name, out var score) || !score.Fits(shape))
                    probe._scores = new Dictionary<string, ScoreOutput>();
                else
                {
                    var (curvature, squares) = score.Curvature(reference[name], shape);
                    probe._curvature += curvature;
                    probe._squares += squares;
                    probe._count += reference[name].Length;
                }
            });
            bytes += batch.Inputs.Values.Sum(t => (long)t.Bytes.Length) + reference.Values.Sum(r => 4L * r.Length);
            foreach (var values in reference.Values)
            {
                foreach (var value in values)
                    probe.Power += float.IsFinite(value) ? (double)value * value : 0;
            }

            probe._runs.Add((batch, reference));
        }

        if (loss == OutputLoss.Scores ? probe._curvature <= 0 : !(probe._curvature * probe._curvature >= ScoreOutput.LeastInDoubt * probe._squares && probe._squares > 0))
            probe._scores = new Dictionary<string, ScoreOutput>();
        return probe;
    }

    /// <summary>
    /// Σ (reference − output)² of a model with the same inputs and outputs, or the divergence of its classes, see <see cref="Open"/>; infinity where it gives NaN
    /// or infinity and the reference does not.
    /// </summary>
    /// <param name="model">The other model.</param>
    /// <param name="batches">How many batches to run: of streams the first, else spread evenly.</param>
    public double Noise(OnnxModel model, int batches = int.MaxValue)
    {
        using var session = new Session(model, new SessionSettings(Threads: 1) { KeepPairs = true });
        var runner = new SequenceRunner(session, _feedback);
        double noise = 0;
        var stride = _feedback.Count > 0 ? 1 : Math.Max(1, Count / Math.Max(1, batches));
        foreach (var (batch, reference) in _runs.Where((_, i) => i % stride == 0).Take(batches))
        {
            runner.Run(batch, Outputs, (name, type, shape, bytes) =>
            {
                if (type is not (DataType.Float or DataType.Float16))
                    return;
                var values = Floats(type, bytes);
                var expected = reference[name];
                if (values.Length != expected.Length)
                {
                    noise = double.PositiveInfinity;
                    return;
                }

                var share = 1.0;
                if (_scores.TryGetValue(name, out var score))
                {
                    share = ScoreOutput.Plain;
                    noise += 2 * score.Divergence(expected, values, shape) * _count / _curvature;
                    if (score.IsProbability)
                        return;
                }

                for (var i = 0; i < expected.Length; i++)
                {
                    if (!float.IsFinite(expected[i]))
                        continue;
                    var error = (double)values[i] - expected[i];
                    noise += double.IsFinite(error) ? share * error * error : double.PositiveInfinity;
                }
            });
        }

        return noise;
    }

    private static ReadOnlySpan<float> Floats(DataType type, ReadOnlySpan<byte> bytes)
    {
        if (type == DataType.Float)
            return MemoryMarshal.Cast<byte, float>(bytes);
        var halves = MemoryMarshal.Cast<byte, Half>(bytes);
        var floats = new float[halves.Length];
        System.Numerics.Tensors.TensorPrimitives.ConvertToSingle(halves, floats);
        return floats;
    }

    /// <summary>10·log10(power/noise) in dB, at most 200.</summary>
    public double Sqnr(double noise) => noise <= 0 ? 200 : Power <= 0 ? 0 : Math.Min(200, 10 * Math.Log10(Power / noise));
}
