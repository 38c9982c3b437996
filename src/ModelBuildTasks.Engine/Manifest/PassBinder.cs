using System.Globalization;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes plans of checked passes and rules.</summary>
internal static class PassBinder
{
    /// <summary>The passes of a list, in order. What a pass needs of the passes around it and of the target is reported into <paramref name="problems"/>.</summary>
    /// <param name="passes">The list.</param>
    /// <param name="problems">Where errors go.</param>
    /// <param name="references">What the names of datasets and files mean; null where there is no manifest around the list.</param>
    public static IReadOnlyList<PassPlan> Bind(ListValue passes, ICollection<(string Message, Value At)> problems, PassReferences? references = null) =>
    [
        // A pass whose options are broken has been reported.
        .. passes.Items.OfType<ObjectValue>().Where(pass => pass.Members.Count > 0).Select(pass =>
        {
            var member = pass.Members[0];
            var options = (ObjectValue)member.Value;
            return pass.Form switch
            {
                "prune" => PruneBinder.Bind(member.KeyLocation, options, problems),
                "distill" => DistillBinder.Bind(member.KeyLocation, options, references, problems),
                "float16" => Float16(member, options, problems),
                "cluster" => Cluster(member, options, problems),
                "store" => new StorePlan(member.KeyLocation) { Tolerance = options.Get<Quantity>("tolerance")?.Number ?? 0 },
                _ => (PassPlan)Quantize(member, options, problems),
            };
        }),
    ];

    /// <summary>The rules of a list, in order. What does not fit together is reported into <paramref name="problems"/>.</summary>
    public static IReadOnlyList<RulePlan> Rules(ListValue? rules, ICollection<(string Message, Value At)> problems) =>
    [
        .. (rules?.Items ?? []).OfType<ObjectValue>().Where(r => r.Complete && r["match"] is ObjectValue { Complete: true })
            .Select(rule => rule.Form switch { "range" => TensorRule(rule, problems), "type" => TypeRule(rule), "prune" => NodeRule(rule) with { Prune = rule.Text("prune") != "none" }, _ => NodeRule(rule) }),
    ];

    private static RulePlan NodeRule(ObjectValue rule)
    {
        var match = (ObjectValue)rule["match"]!;
        var subgraph = match["subgraph"] as ObjectValue;
        return new(rule.Location, Texts(match["op"]), match.Text("name"), rule.Text("quantize") != "none")
        {
            Form = rule.Text("quantize") switch
            {
                "static" => QuantizedForm.Static,
                "dynamic" => QuantizedForm.Dynamic,
                "weights" => QuantizedForm.Weights,
                "float16" => QuantizedForm.Half,
                _ => null,
            },
            From = Texts(subgraph?["from"]),
            To = Texts(subgraph?["to"]),
        };
    }

    private static RulePlan TensorRule(ObjectValue rule, ICollection<(string, Value)> problems)
    {
        var ends = ((ListValue)rule["range"]!).Contents<double>();
        if (ends is not [var min, var max] || min >= max)
        {
            problems.Add(("a range is [least, greatest], the least first", rule["range"]!));
            return new(rule.Location, [], null, true) { TensorPattern = "" };
        }

        return new(rule.Location, [], null, true) { TensorPattern = ((ObjectValue)rule["match"]!).Text("tensor"), Range = (min, max) };
    }

    private static RulePlan TypeRule(ObjectValue rule) => new(rule.Location, [], null, true)
    {
        TensorPattern = ((ObjectValue)rule["match"]!).Text("tensor"),
        Type = Enum.Parse<Onnx.TensorProto.Types.DataType>(rule.Text("type")!, ignoreCase: true),
    };

    private static IReadOnlyList<string> Texts(Value? value) => value switch
    {
        ListValue list => list.Contents<string>(),
        ScalarValue { Content: string one } => [one],
        _ => [],
    };

    private static Float16Plan Float16(Member member, ObjectValue options, ICollection<(string, Value)> problems)
    {
        var compute = options.Get<bool>("compute");
        if (compute == false && options.Has("keep_io"))
            problems.Add(("'keep_io' has a meaning only with arithmetic in float16, which 'compute: false' excludes", options["keep_io"]!));
        return new(member.KeyLocation) { Compute = compute, KeepIo = options.Get<bool>("keep_io") ?? true };
    }

    private static ClusterPlan Cluster(Member member, ObjectValue options, ICollection<(string, Value)> problems)
    {
        var plan = new ClusterPlan(member.KeyLocation);
        foreach (var key in options.Has("entropy") ? new[] { "bits", "group", "method" }.Where(options.Has) : [])
            problems.Add(($"'{key}' has a meaning only for palettes, and 'entropy' asks for evenly spaced values", options[key]!));
        return plan with
        {
            Bits = (int)(options.Get<long>("bits") ?? plan.Bits),
            Entropy = options.Get<double>("entropy"),
            Channels = options.Text("group") is { } group and not "tensor" ? int.Parse(group, CultureInfo.InvariantCulture) : 0,
            Method = options.Text("method") switch { "kmeans" => ClusterMethod.KMeans, "gram" => ClusterMethod.Gram, _ => ClusterMethod.Auto },
        };
    }

    internal static QuantizePlan Quantize(Member member, ObjectValue options, ICollection<(string, Value)> problems)
    {
        var activations = options.Text("activations") switch
        {
            "uint8" => ActivationMode.Uint8,
            "uint16" => ActivationMode.Uint16,
            "dynamic" => ActivationMode.Dynamic,
            "none" => ActivationMode.None,
            _ => ActivationMode.Auto,
        };
        var calibrator = options.Text("calibrator") switch
        {
            "minmax" => Calibrator.MinMax,
            "percentile" => Calibrator.Percentile,
            "mean-minmax" => Calibrator.MeanMinMax,
            "entropy" => Calibrator.Entropy,
            "octav" => Calibrator.Octav,
            "auto" => Calibrator.Auto,
            _ => Calibrator.Mse,
        };
        if (activations is ActivationMode.Dynamic or ActivationMode.None && options.Has("calibrator"))
            problems.Add(($"a calibrator finds ranges from calibration data, which 'activations: {options.Text("activations")}' does not use", options["calibrator"]!));
        if (calibrator != Calibrator.Percentile && options.Has("percentile") && !options.Broken.Contains("calibrator"))
            problems.Add(("'percentile' has a meaning only with 'calibrator: percentile'", options["percentile"]!));
        var plan = new QuantizePlan(member.KeyLocation) { Activations = activations, Calibrator = calibrator, Bits = BitsBinder.Bind(options, problems) };
        return plan with
        {
            Percentile = options.Get<double>("percentile") ?? plan.Percentile,
            PerChannel = options.Get<bool>("per_channel") ?? plan.PerChannel,
            BiasCorrection = options.Get<bool>("bias_correction") ?? plan.BiasCorrection,
            AdaRound = options.Get<bool>("adaround") ?? plan.AdaRound,
            MinimumSqnr = options.Get<double>("min_sqnr") ?? plan.MinimumSqnr,
            IntegerMacs = options.Get<Quantity>("integer_macs")?.Number ?? plan.IntegerMacs,
            Equalization = options.Get<bool>("equalization") ?? plan.Equalization,
            SmoothQuant = options.Get<bool>("smoothquant") ?? plan.SmoothQuant,
        };
    }
}
