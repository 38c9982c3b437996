using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes plans of checked passes and rules.</summary>
internal static class PassBinder
{
    /// <summary>The passes of a list, in order. What a pass needs of the passes around it and of the target is reported into <paramref name="problems"/>.</summary>
    public static IReadOnlyList<PassPlan> Bind(ListValue passes, ICollection<(string Message, Value At)> problems) =>
    [
        .. passes.Items.OfType<ObjectValue>().Select(pass =>
        {
            var member = pass.Members[0];
            var options = (ObjectValue)member.Value;
            return pass.Form == "prune" ? Prune(member, options, problems) : (PassPlan)Quantize(member, options, problems);
        }),
    ];

    /// <summary>The rules of a list, in order.</summary>
    public static IReadOnlyList<RulePlan> Rules(ListValue? rules) =>
    [
        .. (rules?.Items ?? []).OfType<ObjectValue>().Where(r => r.Complete && r["match"] is ObjectValue { Complete: true }).Select(rule =>
        {
            var match = (ObjectValue)rule["match"]!;
            IReadOnlyList<string> operators = match["op"] switch
            {
                ListValue list => list.Contents<string>(),
                ScalarValue { Content: string one } => [one],
                _ => [],
            };
            return new RulePlan(rule.Location, operators, match.Text("name"), rule.Text("quantize") != "none");
        }),
    ];

    private static PrunePlan Prune(Member member, ObjectValue options, ICollection<(string, Value)> problems)
    {
        var amount = options.Get<Quantity>("amount")?.Number ?? 0;
        if (amount >= 1)
            problems.Add(("an amount of 100% leaves nothing of a layer", options["amount"]!));
        return new(member.KeyLocation, amount);
    }

    private static QuantizePlan Quantize(Member member, ObjectValue options, ICollection<(string, Value)> problems)
    {
        var activations = options.Text("activations") switch
        {
            "uint8" => ActivationMode.Uint8,
            "dynamic" => ActivationMode.Dynamic,
            "none" => ActivationMode.None,
            _ => ActivationMode.Auto,
        };
        var calibrator = options.Text("calibrator") switch
        {
            "minmax" => Calibrator.MinMax,
            "percentile" => Calibrator.Percentile,
            _ => Calibrator.Mse,
        };
        if (activations is ActivationMode.Dynamic or ActivationMode.None && options.Has("calibrator"))
            problems.Add(($"a calibrator finds ranges from calibration data, which 'activations: {options.Text("activations")}' does not use", options["calibrator"]!));
        if (calibrator != Calibrator.Percentile && options.Has("percentile") && !options.Broken.Contains("calibrator"))
            problems.Add(("'percentile' has a meaning only with 'calibrator: percentile'", options["percentile"]!));
        var plan = new QuantizePlan(member.KeyLocation) { Activations = activations, Calibrator = calibrator };
        return plan with
        {
            Percentile = options.Get<double>("percentile") ?? plan.Percentile,
            PerChannel = options.Get<bool>("per_channel") ?? plan.PerChannel,
            BiasCorrection = options.Get<bool>("bias_correction") ?? plan.BiasCorrection,
        };
    }
}
