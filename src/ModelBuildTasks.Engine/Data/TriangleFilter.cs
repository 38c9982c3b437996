namespace ModelBuildTasks.Engine.Data;

/// <summary>Weights of the source pixels for each target pixel of one axis: bilinear, with a support that widens by the scale when shrinking.</summary>
internal sealed class TriangleFilter
{
    /// <summary>Fractional bits of <see cref="Fixed"/>: what is left of 32 beside 8 bits of pixel and 2 of headroom.</summary>
    public const int FixedBits = 22;

    public TriangleFilter(int from, int to)
    {
        var scale = (double)from / to;
        var support = Math.Max(1, scale);
        Taps = (int)Math.Ceiling(support) * 2 + 1;
        First = new int[to];
        Length = new int[to];
        Weights = new double[(long)to * Taps];
        Fixed = new int[Weights.LongLength];
        for (var i = 0; i < to; i++)
        {
            var center = (i + 0.5) * scale;
            var first = Math.Max(0, (int)(center - support + 0.5));
            var end = Math.Min(from, (int)(center + support + 0.5));
            (First[i], Length[i]) = (first, end - first);
            var weights = Weights.AsSpan(i * Taps, end - first);
            var sum = 0.0;
            for (var k = 0; k < weights.Length; k++)
                sum += weights[k] = Math.Max(0, 1 - Math.Abs((first + k + 0.5 - center) / support));
            for (var k = 0; k < weights.Length; k++)
            {
                weights[k] /= sum;
                Fixed[i * Taps + k] = (int)(weights[k] * (1 << FixedBits) + 0.5);
            }
        }
    }

    /// <summary>Room for each target pixel in the arrays of weights.</summary>
    public int Taps { get; }

    /// <summary>The first source pixel of each target pixel.</summary>
    public int[] First { get; }

    /// <summary>The number of source pixels of each target pixel.</summary>
    public int[] Length { get; }

    /// <summary>Weights that sum to 1.</summary>
    public double[] Weights { get; }

    /// <summary>The weights as fixed-point numbers.</summary>
    public int[] Fixed { get; }
}
