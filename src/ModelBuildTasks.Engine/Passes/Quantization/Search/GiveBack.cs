using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// Gives precision back, the most error for the least time and bytes first: an activation leaves 8 bits together with the operators around
/// it, a weight goes to float16. First until the outputs are as good as the plan wants at least, whatever that costs; then as long as it is
/// cheap.
/// </summary>
/// <param name="noise">The error of each place.</param>
/// <param name="probe">The outputs' power.</param>
/// <param name="prices">What things cost.</param>
/// <param name="index">The main graph.</param>
/// <param name="map">Addresses of nodes.</param>
/// <param name="form">Forms an assignment of choices.</param>
internal sealed class GiveBack(NoiseTable noise, OutputProbe probe, Prices prices, GraphIndex index, NodeMap map, Func<IReadOnlyList<FormChoice>, Assignment> form)
{
    /// <summary>Beyond this ratio of signal to noise, in dB, nothing more is given back.</summary>
    public const double Enough = 30;

    // What a cheap step has to bring: percent of the error for a percent of time or bytes.
    private const double LeastReturn = 5;

    // Cheap steps leave this share of the multiply-accumulates in integer arithmetic.
    private const double LeastIntegers = 0.8;

    private const int MostSteps = 400;
    private const int Tried = 12;
    private const double LeastGain = 2e-3;

    private readonly Dictionary<string, double> _byValue = [];
    private bool _limited;

    private sealed record Step(IReadOnlyDictionary<NodeProto, QuantizedForm?> Forms, string Reason, double Gain, double Price, Assignment Result);

    /// <summary>The assignment after all steps that are worth it.</summary>
    /// <param name="start">Where to begin.</param>
    /// <param name="least">What the outputs' signal-to-noise ratio has to be at least, in dB.</param>
    /// <param name="integerMacs">The share of multiply-accumulates that stays in integer arithmetic whatever that costs.</param>
    public Assignment Run(Assignment start, double least, double integerMacs)
    {
        var now = start;
        _limited = integerMacs > 0;
        Learn(now);
        var integers = Math.Max(1, prices.IntegerMacs(start));
        var predicted = Predict(now);
        var measured = noise.Together(now.Sources);
        for (var step = 0; step < MostSteps && predicted > 0; step++)
        {
            // Errors of different places are not quite uncorrelated: the last measurement scales the prediction.
            var must = measured > Limit(least);
            if (measured <= Limit(Math.Max(least, Enough)))
                break;
            var ratio = measured / predicted;
            var best = Steps(now, integerMacs).OrderByDescending(s => s.Gain / s.Price).Take(Tried)
                .Select(s => Exact(s.Forms, s.Reason, now, predicted))
                .Where(s => s.Gain > LeastGain * predicted && (integerMacs == 0 || prices.IntegerShare(s.Result) >= integerMacs)
                    && (must || s.Gain / predicted / s.Price >= LeastReturn && prices.IntegerMacs(s.Result) >= LeastIntegers * integers))
                .OrderByDescending(s => s.Gain / s.Price).FirstOrDefault();
            if (best is null)
                break;
            now = best.Result;
            predicted -= best.Gain;
            measured = predicted * ratio;
            // Where a limit seems to be reached, the prediction is held against all places together.
            if (measured <= Limit(must ? least : Math.Max(least, Enough)) || step % 16 == 15)
            {
                measured = noise.Together(now.Sources);
                predicted = Predict(now);
            }
        }

        return now;
    }

    /// <summary>Time and bytes; under a limit on what may leave integer arithmetic that is scarce, too.</summary>
    private double Price(Assignment assignment) => prices.Of(assignment) + (_limited ? 1 - prices.IntegerShare(assignment) : 0);

    private double Limit(double decibels) => probe.Power * Math.Pow(10, -decibels / 10);

    private void Learn(Assignment assignment)
    {
        foreach (var source in assignment.Sources.OfType<ActivationNoise>())
            _byValue[source.Value] = Math.Max(_byValue.GetValueOrDefault(source.Value), noise[source]);
    }

    /// <summary>The sum over all places. A value whose readers or scale changed a little counts as before: what is taken is measured together in the end.</summary>
    private double Predict(Assignment assignment)
    {
        double sum = 0;
        foreach (var source in assignment.Sources)
        {
            if (source is not ActivationNoise activation)
                sum += noise[source];
            else if (_byValue.TryGetValue(activation.Value, out var known))
                sum += known;
            else
                sum += _byValue[activation.Value] = noise[source];
        }

        return sum;
    }

    private Step Exact(IReadOnlyDictionary<NodeProto, QuantizedForm?> forms, string reason, Assignment now, double predicted)
    {
        var result = form(Assignment.With(now.Choices, forms, reason));
        return new(forms, reason, predicted - Predict(result), Math.Max(0, Price(result) - Price(now)) + 1e-4, result);
    }

    /// <summary>The steps for each place, with a first guess of gain and price.</summary>
    private IEnumerable<(IReadOnlyDictionary<NodeProto, QuantizedForm?> Forms, string Reason, double Gain, double Price)> Steps(Assignment now, double integerMacs)
    {
        var byAddress = now.Choices.ToDictionary(c => map[c.Node]);
        var price = Price(now);
        foreach (var source in now.Sources)
        {
            var (reason, gain, ways) = Ways(source, now, byAddress);
            if (gain <= 0)
                continue;
            foreach (var forms in ways.Where(w => w.Count > 0))
            {
                var after = form(Assignment.With(now.Choices, forms, reason));
                if (integerMacs == 0 || prices.IntegerShare(after) >= integerMacs)
                    yield return (forms, reason, gain, Math.Max(0, Price(after) - price) + 1e-4);
            }
        }
    }

    /// <summary>The ways to get rid of a place of rounding: other forms for the nodes around it.</summary>
    private (string Reason, double Gain, IReadOnlyList<Dictionary<NodeProto, QuantizedForm?>> Ways) Ways(
        NoiseSource source, Assignment now, Dictionary<NodeAddress, FormChoice> byAddress)
    {
        switch (source)
        {
            case WeightNoise { Form: not QuantizedForm.Half } weight:
                return ("its weight loses too much in 8 bits", noise[weight], [Change([byAddress[weight.Node]], QuantizedForm.Half)]);
            case DynamicNoise dynamic:
                return (byAddress[dynamic.Node].IsProduct ? "its inputs lose too much in 8 bits" : "its input loses too much in 8 bits", noise[dynamic],
                    [Change([byAddress[dynamic.Node]], QuantizedForm.Weights, null)]);
            case ActivationNoise activation:
                List<FormChoice> touched = [.. Calibration.Touching(now.Part!.Graph, index, [activation.Value]).Keys.Select(n => byAddress[map[n]])];
                var ways = new List<Dictionary<NodeProto, QuantizedForm?>> { Change(touched, QuantizedForm.Dynamic, QuantizedForm.Weights, null) };
                // Products of two activations may also go straight to float: they store nothing.
                if (touched.Exists(c => c.IsProduct && ways[0].GetValueOrDefault(c.Node) is not null))
                {
                    ways.Add(new(ways[0], ReferenceEqualityComparer.Instance));
                    foreach (var (node, _) in Change([.. touched.Where(c => c.IsProduct)], [null]))
                        ways[1][node] = null;
                }

                return ($"'{activation.Value}' loses too much in 8 bits", _byValue.GetValueOrDefault(activation.Value), ways);
            default:
                return ("", 0, []);
        }
    }

    /// <summary>For each choice the first of the wanted forms that stands behind its present one.</summary>
    private static Dictionary<NodeProto, QuantizedForm?> Change(IEnumerable<FormChoice> choices, params QuantizedForm?[] to)
    {
        var forms = new Dictionary<NodeProto, QuantizedForm?>(ReferenceEqualityComparer.Instance);
        foreach (var choice in choices)
        {
            if (choice.Options.SkipWhile(o => o.Form != choice.Form).Skip(1).FirstOrDefault(o => to.Contains(o.Form)) is { } option)
                forms[choice.Node] = option.Form;
        }

        return forms;
    }
}
