namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Rows of the im2col matrix of one sample: for each output position the values that a weight's row meets, padding as zero.</summary>
internal static class Im2Col
{
    // Kronecker sequences: multiples of powers of 1/φ_d modulo 1 fill the d-dimensional unit cube evenly
    // (Roberts 2018, "The Unreasonable Effectiveness of Quasirandom Sequences"). In units of 2^-32, so that nothing is rounded.
    private static readonly uint[][] _steps = [[], [2654435769], [3242174889, 2447445414], [3518319155, 2882110345, 2360945575]];

    /// <summary>Takes the place of the <paramref name="index"/>-th of an endless even sequence of positions.</summary>
    /// <param name="index">Index in the sequence.</param>
    /// <param name="lengths">Lengths of the axes, at most three.</param>
    /// <param name="position">The position on each axis.</param>
    public static void Position(long index, ReadOnlySpan<int> lengths, Span<int> position)
    {
        for (var a = 0; a < lengths.Length; a++)
        {
            var fraction = unchecked((uint)index * _steps[lengths.Length][a]);
            position[a] = (int)(((ulong)fraction * (uint)lengths[a]) >> 32);
        }
    }

    /// <summary>The flat spatial offsets that the taps meet at an output position, −1 in the padding.</summary>
    public static void Offsets(GramGeometry geometry, ReadOnlySpan<int> input, ReadOnlySpan<int> position, Span<int> offsets)
    {
        var kernel = geometry.Kernel;
        for (var tap = 0; tap < offsets.Length; tap++)
        {
            int rest = tap, offset = 0, plane = 1;
            for (var a = kernel.Length - 1; a >= 0; a--)
            {
                var source = geometry.Source(a, position[a], rest % kernel[a], input[a]);
                if (source < 0 || source >= input[a])
                {
                    offset = -1;
                    break;
                }

                offset += source * plane;
                plane *= input[a];
                rest /= kernel[a];
            }

            offsets[tap] = offset;
        }
    }

    /// <summary>Writes one row of a group.</summary>
    /// <param name="channels">The group's channels of the sample, each a plane.</param>
    /// <param name="plane">Elements of a plane.</param>
    /// <param name="offsets">What <see cref="Offsets"/> gave.</param>
    /// <param name="row">Channel by channel, the taps of each.</param>
    public static void Row(ReadOnlySpan<float> channels, int plane, ReadOnlySpan<int> offsets, Span<float> row)
    {
        var at = 0;
        for (var start = 0; start < channels.Length; start += plane)
        {
            foreach (var offset in offsets)
                row[at++] = offset < 0 ? 0 : channels[start + offset];
        }
    }
}
