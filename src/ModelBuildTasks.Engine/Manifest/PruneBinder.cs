using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes the plan of pruning.</summary>
internal static class PruneBinder
{
    // A larger share of one layer is rarely worth what it costs, whatever its predicted loss says.
    private const double LimitOfChannels = 0.75;
    private const double LimitOfWeights = 0.95;

    /// <summary>The plan. What does not fit together is reported into <paramref name="problems"/>.</summary>
    public static PrunePlan Bind(SourceLocation location, ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        var word = options.Text("structure") ?? "unstructured";
        var measure = PassShapes.PruneMeasures.FirstOrDefault(options.Has);
        var plan = new PrunePlan(location, measure is null ? 0 : Number(options[measure]!))
        {
            Structure = Structure(word),
            Shape = Shape(word),
            Measure = measure is null ? PruneMeasure.Amount : Enum.Parse<PruneMeasure>(measure, ignoreCase: true),
            Method = Parsed<PruneMethod>(options, "method"),
            Allocation = Parsed<PruneAllocation>(options, "allocate"),
            Repair = Parsed<PruneRepair>(options, "repair"),
            Loss = Parsed<OutputLoss>(options, "loss"),
            Multiple = (int?)options.Get<long>("multiple"),
            Quantize = options["quantize"] is ObjectValue quantize ? PassBinder.Quantize(options.Members.First(m => m.Key == "quantize"), quantize, problems) : null,
        };
        plan = plan with { Limit = options.Get<Quantity>("limit")?.Number ?? (plan.RemovesShape ? LimitOfChannels : Math.Max(LimitOfWeights, plan.Amount)) };
        if (!options.Broken.Contains("structure"))
            Check(plan, word, measure, options, problems);
        return plan;
    }

    private static void Check(PrunePlan plan, string word, string? measure, ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        CheckAmount(plan, word, measure, options, problems);
        if (plan.Structure == PruneStructure.Pattern && plan.Shape.First >= plan.Shape.Second)
            problems.Add(($"'{word}' leaves everything: of N:M, N weights of each M are left, N less than M", options["structure"]!));
        if (plan.Structure == PruneStructure.Blocks && plan.Shape is (1, 1))
            problems.Add(("blocks of 1x1 are single weights: 'structure: unstructured'", options["structure"]!));
        if (Misfit(plan, word) is { } misfit)
            problems.Add((misfit, options["method"]!));
        if (plan.Structure == PruneStructure.Pattern && options.Has("allocate"))
            problems.Add(($"'allocate' spreads an amount, and '{word}' is the same share everywhere", options["allocate"]!));
        if (plan.Structure == PruneStructure.Layers && plan.Allocation is PruneAllocation.Uniform)
            problems.Add(("residual blocks go as a whole: none of them can lose the same share as the others", options["allocate"]!));
        CheckRepair(plan, options, problems);
        if (options.Has("multiple") && plan.Structure != PruneStructure.Channels)
            problems.Add(("'multiple' has a meaning only with 'structure: channels'", options["multiple"]!));
        if (options.Has("loss") && plan.RemovesShape)
            problems.Add(($"'loss' is for zeros in the place of weights; what '{word}' changes in the outputs is their squared error", options["loss"]!));
        if (options.Has("limit"))
            CheckLimit(plan, word, options, problems);
    }

    private static void CheckAmount(PrunePlan plan, string word, string? measure, ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        if (plan.Structure == PruneStructure.Pattern)
        {
            if (measure is not null)
                problems.Add(($"'{word}' says itself how much goes; leave '{measure}' out", options[measure]!));
        }
        else if (measure is null)
        {
            if (!PassShapes.PruneMeasures.Any(options.Broken.Contains))
                problems.Add(($"'structure: {word}' needs {string.Join(" or ", plan.RemovesShape ? PassShapes.PruneMeasures : ["amount"])}", options["structure"]!));
        }
        else if (!plan.RemovesShape && plan.Measure != PruneMeasure.Amount)
        {
            problems.Add(($"zeros in the place of weights change no '{measure}'; 'amount' says how many, or 'structure: channels' makes tensors smaller", options[measure]!));
        }
        else if (plan.Measure != PruneMeasure.Bytes && plan.Amount >= 1)
        {
            problems.Add(($"{(plan.Measure == PruneMeasure.Amount ? "an amount" : $"'{measure}'")} of 100% leaves nothing", options[measure]!));
        }
    }

    private static string? Misfit(PrunePlan plan, string word) => (plan.Method, plan.Structure) switch
    {
        (PruneMethod.Wanda or PruneMethod.SparseGpt, PruneStructure.Channels or PruneStructure.Heads or PruneStructure.Layers) =>
            $"'method: {Word(plan.Method)}' looks at single weights; for '{word}' there are magnitude and obs{(plan.Structure == PruneStructure.Layers ? "" : " and flap")}",
        (PruneMethod.Flap, not (PruneStructure.Channels or PruneStructure.Heads)) => "'method: flap' is for 'structure: channels' and 'structure: heads'",
        _ => null,
    };

    private static void CheckRepair(PrunePlan plan, ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        if (plan is { Structure: PruneStructure.Layers, Repair: PruneRepair.Refit or PruneRepair.Bias })
            problems.Add(("a residual block that goes leaves nothing that could make up for it: 'repair' is for channels, heads and weights", options["repair"]!));
        if (plan is { RemovesShape: true, Quantize: not null })
            problems.Add(("'quantize' rounds weights together with the zeros among them: it is for single weights, patterns and blocks", options["quantize"]!));
        if (plan.RemovesShape)
            return;
        if (plan is { Quantize: not null, Repair: PruneRepair.None })
            problems.Add(("with 'quantize' the rest makes up for what goes and for rounding, which 'repair: none' excludes", options["repair"]!));
        else if (plan.Repair == PruneRepair.Bias)
            problems.Add(("'repair: bias' is for channels and heads; the weights left can do more: 'repair: refit'", options["repair"]!));
        else if (plan.Repair == PruneRepair.None && plan.Method is PruneMethod.SparseGpt or PruneMethod.Obs)
            problems.Add(($"with 'method: {Word(plan.Method)}' the rest makes up for what goes; without repair there are magnitude and wanda", options["repair"]!));
    }

    private static void CheckLimit(PrunePlan plan, string word, ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        if (plan.Limit >= 1)
            problems.Add(("a limit of 100% is none; leave it out", options["limit"]!));
        else if (plan.Structure is PruneStructure.Pattern or PruneStructure.Layers)
            problems.Add(($"'limit' is the largest share of one layer, which '{word}' leaves no choice of", options["limit"]!));
        else if (plan.Allocation == PruneAllocation.Uniform)
            problems.Add(("'limit' has no meaning with 'allocate: uniform', which takes the same share of each layer", options["limit"]!));
        else if (plan.Measure == PruneMeasure.Amount && plan.Limit < plan.Amount)
            problems.Add(("the limit for one layer is below the amount for all", options["limit"]!));
    }

    private static PruneStructure Structure(string word) => word switch
    {
        "unstructured" => PruneStructure.Unstructured,
        "channels" => PruneStructure.Channels,
        "heads" => PruneStructure.Heads,
        "layers" => PruneStructure.Layers,
        _ => word.Contains(':', StringComparison.Ordinal) ? PruneStructure.Pattern : PruneStructure.Blocks,
    };

    private static (int, int) Shape(string word) =>
        word.Split(':', 'x') is [var first, var second] && int.TryParse(first, CultureInfo.InvariantCulture, out var a) && int.TryParse(second, CultureInfo.InvariantCulture, out var b) ? (a, b) : default;

    private static double Number(Value value) => ((ScalarValue)value).Content switch { Quantity share => share.Number, long bytes => bytes, _ => 0 };

    private static string Word(PruneMethod method) => method.ToString().ToLowerInvariant();

    private static T Parsed<T>(ObjectValue options, string key) where T : struct, Enum => options.Text(key) is { } word ? Enum.Parse<T>(word, ignoreCase: true) : default;
}
