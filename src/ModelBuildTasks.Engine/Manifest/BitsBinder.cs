using System.Globalization;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes the plan of weights below 8 bits.</summary>
internal static class BitsBinder
{
    private static readonly string[] _mine = ["method", "group", "symmetric", "planes"];
    private static readonly string[] _others =
        ["calibrator", "percentile", "per_channel", "bias_correction", "adaround", "min_sqnr", "integer_macs", "equalization", "smoothquant"];

    /// <summary>The plan, or null for 8 bits. What does not fit together is reported into <paramref name="problems"/>.</summary>
    public static BitsPlan? Bind(ObjectValue options, ICollection<(string Message, Value At)> problems)
    {
        var word = options.Text("weights") ?? "int8";
        if (options.Broken.Contains("weights"))
            return null;
        if (word == "int8")
        {
            foreach (var key in _mine.Where(options.Has))
                problems.Add(($"'{key}' has a meaning only for weights below 8 bits", options[key]!));
            return null;
        }

        foreach (var key in _others.Where(options.Has))
            problems.Add(($"'{key}' has a meaning only with 'weights: int8'", options[key]!));
        if (options.Text("activations") is { } activations and not ("auto" or "none"))
            problems.Add(($"with 'weights: {word}' activations stay float: 'activations: {activations}' is only for int8", options["activations"]!));
        var budget = word.EndsWith(" bits", StringComparison.Ordinal);
        if (options.Has("planes") && word != "binary")
            problems.Add(("'planes' has a meaning only with 'weights: binary'", options["planes"]!));
        if (options.Has("symmetric") && !budget)
            problems.Add(($"'{word}' says whether there is a zero point: 'symmetric' has a meaning only with a number of bits", options["symmetric"]!));
        if (options.Text("method") is { } method and not "auto" && word == "binary")
            problems.Add(($"'method: {method}' is not for binary weights, whose signs are the weights' own", options["method"]!));
        return new BitsPlan(word switch { "binary" => 1, "ternary" => 2, _ when budget => 8, _ => word[^1] - '0' })
        {
            Ternary = word == "ternary",
            Average = budget ? double.Parse(word[..^5], CultureInfo.InvariantCulture) : null,
            Symmetric = budget ? options.Get<bool>("symmetric") ?? false : !word.StartsWith('u'),
            Method = options.Text("method") switch { "rtn" => BitsMethod.Rtn, "hqq" => BitsMethod.Hqq, "gptq" => BitsMethod.Gptq, "awq" => BitsMethod.Awq, _ => BitsMethod.Auto },
            Group = options.Text("group") switch { null => 32, "channel" => 0, var group => int.Parse(group, CultureInfo.InvariantCulture) },
            Planes = (int)(options.Get<long>("planes") ?? 1),
        };
    }
}
