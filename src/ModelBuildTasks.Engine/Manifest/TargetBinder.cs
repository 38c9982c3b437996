using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes a plan of a checked target: merges recipe, defaults and target, and looks up what it names.</summary>
internal sealed class TargetBinder(ManifestFiles files, IReadOnlyDictionary<string, DatasetPlan?> datasets, ObjectValue? defaults, DiagnosticBag errors)
{
    private static readonly string[] WaysToPasses = ["recipe", "passes"];

    private readonly Dictionary<string, RuntimePolicy?> _policies = [];

    /// <summary>The target's plan; null when there is not enough of it to have a name.</summary>
    public TargetPlan? Bind(ObjectValue target)
    {
        var own = WithMappings(target);
        var below = defaults is null ? null : WithMappings(WaysToPasses.Any(target.Meant) ? defaults.Without(WaysToPasses) : defaults);
        var merged = own.Over(below);
        var recipe = Recipe(merged);
        if (recipe?["validate"] is { } validate)
            merged = merged.Over(new(target.Location, [new("validate", validate.Location, validate)], []));

        var passes = Passes(merged, recipe);
        var calibration = Use(merged["calibration"]);
        if (passes.OfType<QuantizePlan>().FirstOrDefault(q => q.Activations is ActivationMode.Uint8 or ActivationMode.Uint16) is { } quantize && !merged.Meant("calibration"))
            errors.Error(DiagnosticCodes.DataMissing, $"'activations: {quantize.Activations.ToString().ToLowerInvariant()}' finds ranges from calibration data; give the target a 'calibration'", quantize.Location);
        if (passes.OfType<QuantizePlan>().FirstOrDefault(q => q.Bits?.Method is BitsMethod.Gptq or BitsMethod.Awq) is { } rounded && !merged.Meant("calibration"))
            errors.Error(DiagnosticCodes.DataMissing, $"'method: {rounded.Bits!.Method.ToString().ToLowerInvariant()}' rounds weights by what calibration data makes of their outputs; give the target a 'calibration'", rounded.Location);
        if (passes.OfType<ClusterPlan>().FirstOrDefault(c => c.Method == ClusterMethod.Gram) is { } cluster && !merged.Meant("calibration"))
            errors.Error(DiagnosticCodes.DataMissing, "'method: gram' looks at what the weights are multiplied with; give the target a 'calibration'", cluster.Location);
        if (!merged.Meant("calibration"))
            CheckPruning([.. passes.OfType<PrunePlan>(), .. passes.OfType<DistillPlan>().Select(d => d.Prune).OfType<PrunePlan>()]);
        CheckTraining(merged, recipe, passes, calibration);
        var validation = Validation(merged, calibration);
        var rules = Rules(merged, recipe);
        var runtime = Runtime(merged);
        CheckTypes(rules, runtime);
        var name = Name(merged);
        var model = merged.Text("model") is { } path ? files.File(path, merged["model"]!.Location, "the model") : null;
        if (name is null || model is null || runtime is null)
            return null;
        return new()
        {
            Name = name,
            Location = target.Location,
            ModelPath = model,
            ModelLocation = merged["model"]!.Location,
            Runtime = runtime,
            Recipe = merged.Text("recipe") ?? (merged["recipe"] as ObjectValue)?.Text("extends"),
            Passes = passes,
            Rules = rules,
            Calibration = calibration,
            Validation = validation,
            OnFailure = merged.Text("on_failure") switch { "warn" => OnFailure.Warn, "original" => OnFailure.Original, "relax" => OnFailure.Relax, _ => OnFailure.Error },
            Package = (merged["package"] as ObjectValue)?.Text("as") switch { "none" => PackageAs.None, "content" => PackageAs.Content, _ => PackageAs.Resource },
            Encoding = (merged["package"] as ObjectValue)?.Text("encoding") == "brotli" ? PackageEncoding.Brotli : PackageEncoding.None,
            PackageLocation = (merged["package"] ?? merged).Location,
        };
    }

    private void CheckPruning(IEnumerable<PrunePlan> plans)
    {
        foreach (var plan in plans)
        {
            var why = plan switch
            {
                { Method: not (PruneMethod.Auto or PruneMethod.Magnitude) } => $"'method: {plan.Method.ToString().ToLowerInvariant()}' chooses by what calibration data makes of the weights",
                { Quantize: not null } => "what is left makes up for zeros and rounding by calibration data",
                { RemovesShape: false, Loss: OutputLoss.Scores } => "'loss: scores' weighs errors by calibration data",
                { Allocation: PruneAllocation.Loss } => "'allocate: loss' predicts losses from calibration data",
                { Repair: PruneRepair.Refit or PruneRepair.Bias } => $"'repair: {plan.Repair.ToString().ToLowerInvariant()}' fits what is left to calibration data",
                _ => null,
            };
            if (why is not null)
                errors.Error(DiagnosticCodes.DataMissing, $"{why}; give the target a 'calibration'", plan.Location);
        }
    }

    private void CheckTraining(ObjectValue merged, ObjectValue? recipe, IReadOnlyList<PassPlan> passes, DatasetUse? calibration)
    {
        // Of data that is broken nothing can be said.
        var broken = ((merged["passes"] ?? recipe?["passes"]) as ListValue)?.Items.OfType<ObjectValue>()
            .Where(p => p.Form == "distill" && p["distill"] is ObjectValue options && options.Meant("data")).Select(p => p.Members[0].KeyLocation).ToHashSet() ?? [];
        foreach (var plan in passes.OfType<DistillPlan>())
        {
            var data = plan.Data ?? (broken.Contains(plan.Location) ? null : calibration);
            if (data is null && !broken.Contains(plan.Location) && !merged.Meant("calibration"))
                errors.Error(DiagnosticCodes.DataMissing, "distill trains on data; give it a 'data', or the target a 'calibration'", plan.Location);
            else if (plan.Labels > 0 && data is { Dataset.Labels: null })
                errors.Error(DiagnosticCodes.DataMissing, $"'labels' needs labels, which the dataset '{data.Dataset.Name}' does not have; the original alone needs none", plan.Location);
        }
    }

    // A dataset's name alone is short for a mapping; only mappings can be merged.
    private static ObjectValue WithMappings(ObjectValue target) => Mapped(target, "calibration", AsUse) is var t && t["validate"] is ObjectValue
        ? Mapped(t, "validate", v => Mapped((ObjectValue)v, "data", AsUse))
        : t;

    private static ObjectValue Mapped(ObjectValue value, string key, Func<Value, Value> map) =>
        value with { Members = [.. value.Members.Select(m => m.Key == key ? m with { Value = map(m.Value) } : m)] };

    private static Value AsUse(Value value) => value is ScalarValue ? new ObjectValue(value.Location, [new("use", value.Location, value)], []) : value;

    private ObjectValue? Recipe(ObjectValue merged)
    {
        try
        {
            return merged["recipe"] switch
            {
                ScalarValue { Content: string name } named => Recipes.Load(name, named.Location),
                ObjectValue inline => Recipes.Complete(inline),
                _ => null,
            };
        }
        catch (ModelBuildException broken)
        {
            errors.Add(broken);
            return null;
        }
    }

    private IReadOnlyList<PassPlan> Passes(ObjectValue merged, ObjectValue? recipe)
    {
        if (!WaysToPasses.Any(merged.Meant) && !merged.Meant("goal"))
            errors.Error(DiagnosticCodes.MissingKey, $"the target has neither 'recipe' nor 'passes'; a recipe is one of {string.Join(", ", Recipes.Names)}", merged.Location);
        if ((merged["passes"] ?? recipe?["passes"]) is not ListValue list)
            return [];
        var problems = new List<(string Message, Value At)>();
        var passes = PassBinder.Bind(list, problems, new(v => Use(v is null ? null : AsUse(v)), files.File));
        foreach (var (message, at) in problems)
            errors.Error(DiagnosticCodes.InvalidValue, message, at.Location);
        PassOrder.Check(passes, errors);
        return passes;
    }

    private IReadOnlyList<RulePlan> Rules(ObjectValue merged, ObjectValue? recipe)
    {
        var problems = new List<(string Message, Value At)>();
        IReadOnlyList<RulePlan> rules = [.. PassBinder.Rules(recipe?["rules"] as ListValue, problems), .. PassBinder.Rules(merged["rules"] as ListValue, problems)];
        foreach (var (message, at) in problems)
            errors.Error(DiagnosticCodes.InvalidValue, message, at.Location);
        return rules;
    }

    private void CheckTypes(IReadOnlyList<RulePlan> rules, RuntimePolicy? runtime)
    {
        foreach (var rule in rules.Where(r => r.Type is { } type && runtime is not null && runtime.Formats.Activations.All(f => f.Type != type)))
        {
            errors.Error(
                DiagnosticCodes.InvalidValue,
                $"{runtime!.Name} has no {Onnx.ElementTypes.Name(rule.Type!.Value)} activations; it has {string.Join(", ", runtime.Formats.Activations.Select(f => Onnx.ElementTypes.Name(f.Type)))}",
                rule.Location);
        }
    }

    private DatasetUse? Use(Value? value)
    {
        if (value is not ObjectValue use)
            return null;
        if (use.Text("use") is not { } name)
        {
            if (!use.Meant("use"))
                errors.Error(DiagnosticCodes.MissingKey, "no dataset is named here; add 'use'", use.Location);
            return null;
        }

        var location = use["use"]!.Location;
        if (!datasets.TryGetValue(name, out var dataset))
            errors.Error(DiagnosticCodes.UnknownName, $"unknown dataset '{name}'; {Suggestion.For(name, [.. datasets.Keys], "the manifest has no 'datasets'")}", location);
        if (dataset is not null)
            AudioBinder.CheckOrder(dataset.Inputs.Values, use, errors);
        return dataset is null ? null : new(dataset, location)
        {
            Skip = use.Get<long>("skip") ?? 0,
            Take = use.Get<long>("take"),
            Batch = (int?)use.Get<long>("batch"),
            Shuffle = (int?)use.Get<long>("shuffle"),
        };
    }

    private ValidationPlan? Validation(ObjectValue merged, DatasetUse? calibration)
    {
        if (merged["validate"] is ScalarValue)
            return null;
        if (merged["validate"] is not ObjectValue validate)
            return new();
        var data = Use(validate["data"]);
        var gates = GateBinder.Bind(validate, errors);
        // Where the dataset is broken, nothing can be said of its labels.
        var used = validate.Meant("data") ? data : calibration;
        var known = used is not null || !(validate.Meant("data") || merged.Meant("calibration"));
        foreach (var gate in gates.Where(g => g.Metric == Metric.Accuracy && known && used?.Dataset.Labels is null))
        {
            errors.Error(
                DiagnosticCodes.DataMissing,
                used is null ? "accuracy needs data with labels; give 'validate' a 'data'" : $"accuracy needs labels, which the dataset '{used.Dataset.Name}' does not have; 'agreement' needs none",
                gate.Location);
        }

        return new() { Data = data, Gates = gates };
    }

    private RuntimePolicy? Runtime(ObjectValue merged)
    {
        var name = merged.Text("runtime") ?? RuntimePolicies.Default;
        if (_policies.TryGetValue(name, out var known))
            return known;
        return _policies[name] = RuntimePolicies.IsPath(name) ? OwnPolicy(name, merged["runtime"]!.Location) : RuntimePolicies.Get(name);
    }

    private RuntimePolicy? OwnPolicy(string path, SourceLocation location)
    {
        var full = files.File(path, location, "the policy");
        if (!File.Exists(full))
            return null;
        try
        {
            return RuntimePolicies.Read(full, files.Shown(path));
        }
        catch (ModelBuildException broken)
        {
            errors.Add(broken.At(location));
            return null;
        }
    }

    private string? Name(ObjectValue merged)
    {
        if (merged.Text("name") is { } given)
        {
            if (TargetNames.Problem(given) is not { } problem)
                return given;
            errors.Error(DiagnosticCodes.InvalidValue, $"the name '{given}' {problem}", merged["name"]!.Location);
            return null;
        }

        if (merged.Meant("name") || merged.Text("model") is not { } model)
            return null;
        var name = TargetNames.FromFile(model);
        if (name is null)
            errors.Error(DiagnosticCodes.InvalidValue, $"no name can be made of the file name '{Path.GetFileName(model)}'; give the target a 'name'", merged["model"]!.Location);
        return name;
    }
}
