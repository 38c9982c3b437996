using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Looks up what passes name in their manifest.</summary>
/// <param name="Use">The dataset that is used at a value.</param>
/// <param name="File">The full path of a file: path, place, and what it is for messages.</param>
internal sealed record PassReferences(Func<Value?, DatasetUse?> Use, Func<string, SourceLocation, string, string> File);

/// <summary>Makes the plan of distillation.</summary>
internal static class DistillBinder
{
    /// <summary>The plan. What does not fit together is reported into <paramref name="problems"/>.</summary>
    /// <param name="location">Where it stands.</param>
    /// <param name="options">Its options.</param>
    /// <param name="references">What names mean; null where there is no manifest around it.</param>
    /// <param name="problems">Where errors go.</param>
    public static DistillPlan Bind(SourceLocation location, ObjectValue options, PassReferences? references, ICollection<(string Message, Value At)> problems)
    {
        var plan = new DistillPlan(location);
        plan = plan with
        {
            Data = references?.Use(options["data"]),
            Method = options.Text("method") == "blockwise" ? DistillMethod.Blockwise : DistillMethod.EndToEnd,
            Epochs = (int?)options.Get<long>("epochs"),
            Steps = (int?)options.Get<long>("steps"),
            Batch = (int)(options.Get<long>("batch") ?? plan.Batch),
            LearningRate = options.Get<double>("learning_rate") ?? plan.LearningRate,
            WeightDecay = options.Get<double>("weight_decay") ?? plan.WeightDecay,
            WarmUp = Share(options, "warm_up") ?? plan.WarmUp,
            Temperature = options.Get<double>("temperature") ?? plan.Temperature,
            Loss = options.Text("loss") switch { "scores" => OutputLoss.Scores, "values" => OutputLoss.Values, _ => OutputLoss.Auto },
            Labels = Share(options, "labels") ?? plan.Labels,
            Hidden = options["hidden"] is ListValue names ? [.. names.Items.Select(Pair)] : [],
            HiddenAuto = options.Text("hidden") == "auto",
            HiddenLoss = options.Text("hidden_loss") == "cosine" ? HiddenLoss.Cosine : HiddenLoss.Mse,
            HiddenWeight = options.Get<double>("hidden_weight") ?? plan.HiddenWeight,
            HeldBack = Share(options, "held_back") ?? plan.HeldBack,
            Patience = (int)(options.Get<long>("patience") ?? plan.Patience),
            Memory = options.Get<long>("memory") ?? plan.Memory,
            Seed = (int)(options.Get<long>("seed") ?? plan.Seed),
            Student = options.Text("student") is { } path && references is not null
                ? new(options["student"]!.Location, references.File(path, options["student"]!.Location, "the student")) : null,
            Quantize = options["quantize"] is ObjectValue ? PassBinder.Quantize(options.Members.First(m => m.Key == "quantize"), (ObjectValue)options["quantize"]!, problems) : null,
            Prune = options["prune"] is ObjectValue prune ? PruneBinder.Bind(options.Members.First(m => m.Key == "prune").KeyLocation, prune, problems) : null,
            PruneUntil = (options["prune"] as ObjectValue)?.Get<Quantity>("until")?.Number ?? plan.PruneUntil,
            Window = (int?)options.Get<long>("window"),
            Scratch = options.Get<bool>("scratch") ?? false,
        };
        Check(plan, options, problems);
        return plan;
    }

    private static HiddenPair Pair(Value item) => item is ObjectValue pair ? new(pair.Text("student") ?? "", pair.Text("teacher") ?? "") : new((string)((ScalarValue)item).Content);

    private static double? Share(ObjectValue options, string key) => options.Get<Quantity>(key)?.Number;

    private static void Check(DistillPlan plan, ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        foreach (var key in options.Meant("hidden") ? [] : new[] { "hidden_loss", "hidden_weight" }.Where(options.Has))
            problems.Add(($"'{key}' has a meaning only with 'hidden', which says what is compared inside the models", options[key]!));
        if (plan.Labels == 1 && options.Has("temperature"))
            problems.Add(("with 'labels: 100%' nothing is compared with the teacher's scores: 'temperature' has no meaning", options["temperature"]!));
        foreach (var key in plan.Loss == OutputLoss.Values ? new[] { "labels", "temperature" }.Where(options.Has) : [])
            problems.Add(($"'{key}' is for scores of classes, and has no meaning with 'loss: values'", options[key]!));
        foreach (var key in plan.Method == DistillMethod.Blockwise ? new[] { "labels", "hidden", "hidden_loss", "hidden_weight" }.Where(options.Has) : [])
            problems.Add(($"'{key}' has no meaning with 'method: blockwise', where each block is compared with the teacher's", options[key]!));
        if (plan.Method == DistillMethod.Blockwise && plan.Prune is not null)
            problems.Add(("zeros grow while all weights are trained together, not with 'method: blockwise'; put 'prune' in front of distill, whose zeros blocks keep", options["prune"]!));
        if (plan.HeldBack >= 1)
            problems.Add(("with 100% held back nothing is left to train on", options["held_back"]!));
        if (plan.WarmUp >= 1)
            problems.Add(("a learning rate that rises in all steps is never at work; a few percent are enough", options["warm_up"]!));
        if (plan.Hidden.Where(h => h.Student.Length > 0).GroupBy(h => h.Student).FirstOrDefault(g => g.Count() > 1) is { } twice)
            problems.Add(($"'{twice.Key}' is named twice", options["hidden"]!));
    }
}
