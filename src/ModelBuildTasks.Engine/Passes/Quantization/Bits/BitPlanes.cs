namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// A weight as a sum of planes of signs, each with a scale a group: ŵ = Σ αₚ·sₚ with s = ±1. Each plane is the best for what the planes before
/// it leave, s = sign(r) and α = mean|r| (Rastegari et al. 2016, XNOR-Net). Of Gaussian weights one plane leaves 1 − 2/π = 0.363 of the
/// variance, two leave 0.130.
/// </summary>
/// <param name="Layout">Where the elements are.</param>
/// <param name="Group">Columns that share a scale.</param>
/// <param name="Codes">Bit p of an element is its sign in plane p, 1 for plus; in the order of the tensor.</param>
/// <param name="Scales">[rows, groups, planes].</param>
/// <param name="Planes">Number of planes.</param>
internal sealed record BitPlanes(RowLayout Layout, int Group, byte[] Codes, float[] Scales, int Planes)
{
    /// <summary>Groups of a row.</summary>
    public int Groups => Layout.Groups(Group);

    /// <summary>Bytes that the planes take in the file.</summary>
    /// <param name="halves">Whether scales are float16.</param>
    public long Bytes(bool halves) => Planes * BitPacking.Length(Codes.Length, 1) + Scales.Length * (halves ? 2L : 4L);

    /// <summary>The planes of a weight.</summary>
    /// <param name="values">The weight in the order of its tensor.</param>
    /// <param name="layout">Its rows.</param>
    /// <param name="group">Columns that share a scale; 0 for all.</param>
    /// <param name="planes">How many.</param>
    /// <param name="halves">Whether scales are stored as float16: a plane is found for what is left by the planes before as they are stored.</param>
    /// <param name="threads">Threads to use; the result does not depend on it.</param>
    public static BitPlanes Of(float[] values, RowLayout layout, int group, int planes, bool halves, int threads)
    {
        group = group <= 0 || group > layout.Columns ? layout.Columns : group;
        var groups = layout.Groups(group);
        var result = new BitPlanes(layout, group, new byte[values.Length], new float[layout.Rows * groups * planes], planes);
        Parallel.For(0, layout.Rows, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, row =>
        {
            for (var g = 0; g < groups; g++)
            {
                var (from, to) = (g * group, Math.Min(layout.Columns, (g + 1) * group));
                var rest = new float[to - from];
                for (var c = from; c < to; c++)
                    rest[c - from] = values[layout.Index(row, c)];
                var known = planes == 2 ? OnTwoPlanes(rest, halves) : null;
                for (var p = 0; p < planes; p++)
                {
                    var scale = known?[p] ?? System.Numerics.Tensors.TensorPrimitives.SumOfMagnitudes(rest) / rest.Length;
                    if (halves)
                        scale = (float)(Half)scale;
                    result.Scales[(row * groups + g) * planes + p] = scale;
                    for (var i = 0; i < rest.Length; i++)
                    {
                        var plus = rest[i] >= 0;
                        rest[i] -= plus ? scale : -scale;
                        if (plus)
                            result.Codes[layout.Index(row, from + i)] |= (byte)(1 << p);
                    }
                }
            }
        });
        return result;
    }

    /// <summary>
    /// The scales of values that are two planes already: with the magnitudes a and b these are (a + b)/2 and (a − b)/2. The mean of magnitudes would
    /// be another first plane. Null where they are not. (Values on one plane have their magnitude for mean.)
    /// </summary>
    private static float[]? OnTwoPlanes(ReadOnlySpan<float> values, bool halves)
    {
        var (large, small) = (0f, float.PositiveInfinity);
        foreach (var value in values)
            (large, small) = (Math.Max(large, Math.Abs(value)), Math.Min(small, Math.Abs(value)));
        float[] scales = [(large + small) / 2, (large - small) / 2];
        if (halves)
            scales = [(float)(Half)scales[0], (float)(Half)scales[1]];
        var (sum, difference) = (scales[0] + scales[1], scales[0] - scales[1]);
        foreach (var value in values)
        {
            if (Math.Abs(value) != sum && Math.Abs(value) != difference)
                return null;
        }

        return scales;
    }

    /// <summary>The weights that the planes stand for, in the order of the tensor.</summary>
    public float[] Decode()
    {
        var values = new float[Codes.Length];
        for (var row = 0; row < Layout.Rows; row++)
        {
            for (var c = 0; c < Layout.Columns; c++)
            {
                var at = Layout.Index(row, c);
                for (var p = 0; p < Planes; p++)
                {
                    var scale = Scales[(row * Groups + c / Group) * Planes + p];
                    values[at] += (Codes[at] >> p & 1) != 0 ? scale : -scale;
                }
            }
        }

        return values;
    }
}
