using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>A weight of evenly spaced values: step · scale of the input channel · code.</summary>
/// <param name="Codes">Row-major.</param>
/// <param name="Scales">Step of each input channel, as float16; one for all where they do not differ.</param>
/// <param name="Axis">Axis of the input channels.</param>
internal sealed record SteppedWeight(sbyte[] Codes, float[] Scales, int Axis)
{
    /// <summary>The greatest code.</summary>
    public const int Limit = 127;

    /// <summary>The values.</summary>
    public float[] Decode(IReadOnlyList<long> dims)
    {
        var inner = dims.Skip(Axis + 1).Aggregate(1L, (product, d) => product * d);
        var values = new float[Codes.Length];
        for (var i = 0; i < values.Length; i++)
            values[i] = Codes[i] * Scales[Scales.Length == 1 ? 0 : (int)(i / inner % Scales.Length)];
        return values;
    }

    /// <summary>−Σ p·log2 p of the codes: bits of a code behind an ideal entropy coder.</summary>
    public static double Entropy(ReadOnlySpan<sbyte> codes)
    {
        var counts = new long[256];
        foreach (var code in codes)
            counts[code + 128]++;
        double bits = 0;
        foreach (var count in counts)
        {
            if (count > 0)
                bits -= count * Math.Log2((double)count / codes.Length);
        }

        return codes.Length == 0 ? 0 : bits / codes.Length;
    }
}

/// <summary>Multiples of a step for each column.</summary>
/// <param name="steps">The steps.</param>
/// <param name="wanted">The row where its exact zeros stay zeros, else null.</param>
internal readonly struct StepGrid(double[] steps, double[]? wanted) : IColumnGrid
{
    /// <inheritdoc/>
    public double Nearest(int column, double value) => wanted is not null && wanted[column] == 0 ? 0 : steps[column] * Math.Clamp(Math.Round(value / steps[column]), -SteppedWeight.Limit, SteppedWeight.Limit);

    /// <inheritdoc/>
    public double Distance(int column) => steps[column];
}
