namespace ModelBuildTasks.Engine.Data;

/// <summary>How samples of one shape become a model input of the shape that the model declares.</summary>
/// <param name="Dims">The dimensions of one sample, behind the batch axis when there is one; the element order is the sample's own.</param>
/// <param name="Batched">Whether a batch axis comes before <paramref name="Dims"/>; otherwise one sample is the whole input.</param>
/// <param name="RunBatch">Samples that a run must have, or null for any number.</param>
internal sealed record InputFit(long[] Dims, bool Batched, int? RunBatch)
{
    /// <summary>The input's shape in a run of <paramref name="samples"/> samples.</summary>
    public long[] RunShape(int samples) => Batched ? [samples, .. Dims] : Dims;

    /// <summary>Fits a sample's shape; null when there is no way.</summary>
    /// <param name="declared">The model's shape, -1 for free dimensions, null for a free rank.</param>
    /// <param name="sample">The sample's shape.</param>
    /// <param name="exact">Whether dimensions of 1 must be where the model wants them; otherwise they may be added and dropped.</param>
    public static InputFit? Find(long[]? declared, long[] sample, bool exact)
    {
        if (declared is null)
            return new(sample, Batched: true, null);
        if (declared.Length > 0 && Align(sample, declared[1..], exact) is { } behindBatch)
            return Behind(declared[0], behindBatch);
        if (Align(sample, declared, exact) is not { } whole)
            return null;
        // A leading 1 is the batch axis that the array brings along.
        return whole.Length > 0 && whole[0] == 1 && declared[0] is 1 or -1
            ? Behind(declared[0], whole[1..])
            : new(whole, Batched: false, 1);
    }

    /// <summary>Fits a row of numbers that has no shape of its own.</summary>
    public static InputFit? FindFlat(long[]? declared, long count)
    {
        if (declared is null)
            return new([count], Batched: true, null);
        if (declared.Length > 0 && Fill(declared[1..], count) is { } behindBatch)
            return Behind(declared[0], behindBatch);
        return Fill(declared, count) is { } whole ? new(whole, Batched: false, 1) : null;
    }

    /// <summary>The declared dimensions with the last free one chosen such that there are <paramref name="count"/> elements, other free ones being 1.</summary>
    public static long[]? Fill(long[] declared, long count)
    {
        var dims = declared.Select(d => d < 0 ? 1 : d).ToArray();
        long product = 1;
        foreach (var dim in dims)
        {
            if (dim == 0 || product > long.MaxValue / dim)
                return null;
            product *= dim;
        }

        var free = Array.FindLastIndex(declared, d => d < 0);
        if (free >= 0 && count % product == 0)
            (dims[free], product) = (count / product, count);
        return product == count ? dims : null;
    }

    private static InputFit? Behind(long batch, long[] dims) => batch switch
    {
        < 0 => new(dims, Batched: true, null),
        > 0 and <= int.MaxValue => new(dims, Batched: true, (int)batch),
        _ => null,
    };

    // The sample's dimensions laid over the declared ones, in order.
    private static long[]? Align(long[] sample, long[] declared, bool exact)
    {
        if (exact)
            return sample.Length == declared.Length && sample.Zip(declared).All(p => Takes(p.Second, p.First)) ? sample : null;
        var result = new long[declared.Length];
        var hopeless = new bool[sample.Length + 1, declared.Length + 1];
        return Search(0, 0) ? result : null;

        bool Search(int s, int d)
        {
            if (s == sample.Length && d == declared.Length)
                return true;
            if (hopeless[s, d])
                return false;
            // Where dimensions are missing, they are missing in front rather than behind: channels before height and width.
            var missing = declared.Length - d > sample.Length - s;
            if ((missing && Insert(s, d)) || Match(s, d) || (!missing && Insert(s, d)))
                return true;
            if (s < sample.Length && sample[s] == 1 && Search(s + 1, d))
                return true;
            hopeless[s, d] = true;
            return false;
        }

        bool Match(int s, int d)
        {
            if (s == sample.Length || d == declared.Length || !Takes(declared[d], sample[s]))
                return false;
            result[d] = sample[s];
            return Search(s + 1, d + 1);
        }

        bool Insert(int s, int d)
        {
            if (d == declared.Length || !Takes(declared[d], 1))
                return false;
            result[d] = 1;
            return Search(s, d + 1);
        }
    }

    private static bool Takes(long declared, long dim) => declared < 0 || declared == dim;
}
