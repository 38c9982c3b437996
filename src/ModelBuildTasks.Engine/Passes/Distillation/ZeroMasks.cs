using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>Which weights were pruned: their zeros are to stay. Training gives no exact zeros.</summary>
internal static class ZeroMasks
{
    /// <summary>For each weight of two and more axes that has zeros: 0 at its zeros, 1 elsewhere.</summary>
    public static Dictionary<string, float[]> Of(IReadOnlyDictionary<string, Tensor> weights)
    {
        var masks = new Dictionary<string, float[]>();
        // A bias may well begin at zero; a weight that does was cut.
        foreach (var (name, weight) in weights.Where(w => w.Value.Shape.Length > 1))
        {
            var values = weight.As<float>();
            if (values.Contains(0f))
                masks[name] = Mask(values);
        }

        return masks;
    }

    private static float[] Mask(ReadOnlySpan<float> values)
    {
        var mask = new float[values.Length];
        for (var i = 0; i < mask.Length; i++)
            mask[i] = values[i] == 0 ? 0 : 1;
        return mask;
    }
}
