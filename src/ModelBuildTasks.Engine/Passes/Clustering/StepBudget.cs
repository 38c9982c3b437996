using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>
/// Spreads bits over weights so that one more bit would gain the same everywhere: the error of a weight falls with the square of its step, its
/// bits with the logarithm, so that error / elements is the same for all at the optimum. With calibration data the error of a weight is what it
/// alone does to the model's outputs; without data it is the error relative to the weight.
/// </summary>
internal sealed class StepBudget(OnnxModel model, PassContext context, double bits)
{
    private const int Batches = 8;

    // The step of the trial, as a share of the standard deviation: some 5.5 bits.
    private const double Trial = 0.1;

    private const double Tolerance = 0.002;

    private readonly ParallelOptions _parallel = new() { MaxDegreeOfParallelism = Math.Max(1, context.Threads) };

    /// <summary>The codes of all weights, in the order given.</summary>
    public IReadOnlyList<SteppedWeight> Choose(IReadOnlyList<ClusterWeight> weights)
    {
        var searches = weights.Select(w => new SteppedSearch(w, context.Threads)).ToList();
        var trials = weights.Select((w, i) => Math.Max(Trial * Deviation(w.Values), searches[i].LeastStep)).ToArray();
        var ratios = Ratios(weights, searches, trials);
        var total = weights.Sum(w => (double)w.Values.Length);

        // Rounding by data changes the entropy a little, so the factor is found again on what it made.
        var aim = bits;
        SteppedWeight[] best = [];
        for (var attempt = 0; attempt < 3; attempt++)
        {
            var factor = Factor(weights, searches, ratios, aim * total);
            best = [.. searches.Select((s, i) => s.Round(Math.Max(factor * ratios[i], s.LeastStep)))];
            var spent = best.Sum(b => SteppedWeight.Entropy(b.Codes) * b.Codes.Length) / total;
            if (spent <= bits && spent >= bits - 4 * Tolerance)
                break;
            aim += bits - Tolerance - spent;
        }

        return best;
    }

    /// <summary>The weights' steps, in relation.</summary>
    private double[] Ratios(IReadOnlyList<ClusterWeight> weights, List<SteppedSearch> searches, double[] trials)
    {
        if (context.Calibration is not { } data)
            return trials;
        var probe = OutputProbe.Open(model, data, Batches);
        if (!(probe.Power > 0))
            return trials;
        var noise = new double[weights.Count];
        for (var i = 0; i < noise.Length; i++)
        {
            var clone = model.Clone();
            var decoded = searches[i].Round(trials[i]).Decode(weights[i].Weight.Tensor.Dims);
            Replace(clone, weights[i], decoded);
            noise[i] = probe.Noise(clone);
        }

        // What cannot be measured is taken for the least sensitive that could.
        var least = noise.Select((n, i) => n / (trials[i] * trials[i] * weights[i].Values.Length)).Where(a => a > 0 && double.IsFinite(a)).DefaultIfEmpty(1).Min();
        return [.. noise.Select((n, i) =>
        {
            var sensitivity = n / (trials[i] * trials[i]) / weights[i].Values.Length;
            return 1 / Math.Sqrt(sensitivity > 0 && double.IsFinite(sensitivity) ? sensitivity : least);
        })];
    }

    private double Factor(IReadOnlyList<ClusterWeight> weights, List<SteppedSearch> searches, double[] ratios, double budget)
    {
        var start = weights.Select((w, i) => Trial * Deviation(w.Values) / ratios[i]).Where(f => f > 0 && double.IsFinite(f)).DefaultIfEmpty(1).Average();
        var (low, high) = (Math.Log2(start) - 16, Math.Log2(start) + 16);
        for (var i = 0; i < 20; i++)
        {
            var middle = (low + high) / 2;
            var spent = new double[weights.Count];
            Parallel.For(0, spent.Length, _parallel, w => spent[w] = SteppedWeight.Entropy(searches[w].Nearest(Math.Max(Math.Pow(2, middle) * ratios[w], searches[w].LeastStep)).Codes) * weights[w].Values.Length);
            if (spent.Sum() > budget)
                low = middle;
            else
                high = middle;
        }

        return Math.Pow(2, high);
    }

    private static void Replace(OnnxModel clone, ClusterWeight weight, float[] values)
    {
        var old = clone.Graph.WithBodies().SelectMany(g => g.Initializer).FirstOrDefault(t => t.Name == weight.Weight.Tensor.Name && t.PayloadRef == weight.Weight.Tensor.PayloadRef);
        if (old is null)
            return;
        var made = weight.Weight.Type == DataType.Float16 ? clone.CreateTensor<Half>(old.Name, DataType.Float16, old.Dims, [.. values.Select(v => (Half)v)])
            : clone.CreateTensor<float>(old.Name, DataType.Float, old.Dims, values);
        old.PayloadRef = made.PayloadRef;
    }

    private static double Deviation(float[] values)
    {
        var mean = values.Average(v => (double)v);
        var square = values.Sum(v => (v - mean) * (v - mean)) / values.Length;
        return square > 0 ? Math.Sqrt(square) : 1e-6;
    }
}
