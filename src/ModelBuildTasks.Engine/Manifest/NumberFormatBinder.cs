using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes number formats of a checked policy.</summary>
internal static class NumberFormatBinder
{
    /// <summary>The formats of a policy; combinations that no arithmetic can have are reported.</summary>
    public static NumberFormats Bind(ObjectValue policy, DiagnosticBag errors)
    {
        var activations = policy["activations"] as ObjectValue;
        var weights = policy["weights"] as ObjectValue;
        var types = (activations?["types"] as ListValue)?.Contents<string>() ?? ["uint8"];
        var symmetric = activations?.Get<bool>("symmetric") ?? false;
        var formats = new NumberFormats
        {
            Activations = [.. types.Select(t => new ActivationFormat(Enum.Parse<DataType>(t, ignoreCase: true), symmetric))],
            PerChannel = weights?.Text("granularity") != "tensor",
            PerTensor = Names(weights, "per_tensor"),
            PairsSaturate = weights?.Text("saturation") == "int16",
            QuantizedBias = policy.Text("bias") != "float",
            AbsorbsActivations = policy.Get<bool>("absorb") ?? true,
            FixedRanges = (policy["fixed_ranges"] as ObjectValue)?.Members.ToDictionary(m => m.Key, m => Range(m.Value, errors)) ?? [],
            OneScale = Names(policy, "one_scale"),
            FoldsConstants = policy.Get<bool>("folding") ?? false,
            Contrib = Names(policy, "contrib"),
        };
        if (symmetric && types.Any(t => t.StartsWith('u')))
            errors.Error(DiagnosticCodes.InvalidValue, "an unsigned type with zero point 0 has no negative values; 'symmetric' wants int8 or int16", activations!["symmetric"]!.Location);
        if (symmetric && formats.AbsorbsActivations)
            errors.Error(DiagnosticCodes.InvalidValue, "a symmetric range does not begin at zero: 'symmetric: true' wants 'absorb: false'", activations!["symmetric"]!.Location);
        if (symmetric && formats.FixedRanges.Count > 0)
            errors.Error(DiagnosticCodes.InvalidValue, "'fixed_ranges' and 'symmetric: true' exclude each other", policy["fixed_ranges"]!.Location);
        return formats;
    }

    private static HashSet<string> Names(ObjectValue? owner, string key) => [.. (owner?[key] as ListValue)?.Contents<string>() ?? []];

    private static (double Min, double Max) Range(Value value, DiagnosticBag errors)
    {
        if (value is not ListValue { Complete: true } list)
            return (0, 1);
        var ends = list.Contents<double>();
        if (!(ends[0] <= 0 && ends[1] >= 0 && ends[0] < ends[1]))
            errors.Error(DiagnosticCodes.InvalidValue, "a range is its least and its greatest value, with zero in it", value.Location);
        return (ends[0], ends[1]);
    }
}
