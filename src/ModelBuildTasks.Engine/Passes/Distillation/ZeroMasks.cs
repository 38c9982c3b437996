using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>Which weights were pruned: their zeros are to stay. Training gives next to none.</summary>
internal static class ZeroMasks
{
    // Padding rows of tables and weights that happen to be zero are fewer.
    private const double LeastShare = 0.1;

    /// <summary>For each weight of two and more axes of which a tenth is exactly zero: 0 at its zeros, 1 elsewhere.</summary>
    public static Dictionary<string, float[]> Of(IReadOnlyDictionary<string, Tensor> weights)
    {
        var masks = new Dictionary<string, float[]>();
        foreach (var (name, weight) in weights.Where(w => w.Value.Shape.Length > 1))
        {
            var values = weight.As<float>();
            if (CountZeros(values) >= LeastShare * values.Length)
                masks[name] = Mask(values);
        }

        return masks;
    }

    private static int CountZeros(ReadOnlySpan<float> values)
    {
        var zeros = 0;
        foreach (var value in values)
            zeros += value == 0 ? 1 : 0;
        return zeros;
    }

    private static float[] Mask(ReadOnlySpan<float> values)
    {
        var mask = new float[values.Length];
        for (var i = 0; i < mask.Length; i++)
            mask[i] = values[i] == 0 ? 0 : 1;
        return mask;
    }
}
