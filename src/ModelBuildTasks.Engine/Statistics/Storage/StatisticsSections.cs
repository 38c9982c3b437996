namespace ModelBuildTasks.Engine.Statistics;

/// <summary>One kind of statistics in a stored entry.</summary>
/// <param name="Number">Its number in the file; never 0, never reused.</param>
/// <param name="Write">Writes it; nothing when the tensor has none of it.</param>
/// <param name="Read">Gives the tensor with it; throws <see cref="InvalidDataException"/> or <see cref="OverflowException"/> for what cannot be.</param>
internal sealed record StatisticsSection(byte Number, Action<StoredTensor, ByteWriter> Write, StatisticsSection.Reader Read)
{
    internal delegate StoredTensor Reader(StoredTensor tensor, ref ByteReader reader);
}

/// <summary>The kinds of statistics that are stored, in the order in which they are written.</summary>
internal static class StatisticsSections
{
    // Exponents of float32 with room for the bins below the largest value.
    private const int LeastExponent = -200;
    private const int GreatestExponent = 128;

    public static IReadOnlyList<StatisticsSection> All { get; } =
    [
        new(1, WriteRange, ReadRange),
        new(2, WriteHistogram, ReadHistogram),
        new(3, WriteSamples, ReadSamples),
        new(4, WriteChannels, ReadChannels),
        new(5, WriteChannelRanges, ReadChannelRanges),
    ];

    private static void WriteRange(StoredTensor tensor, ByteWriter writer)
    {
        if (tensor.Seen is { } seen)
            writer.Single(seen.Min).Single(seen.Max).Byte((byte)((seen.HasNonFinite ? 1 : 0) + (seen.HasNaN ? 2 : 0))).Signed(seen.Rank);
    }

    private static StoredTensor ReadRange(StoredTensor tensor, ref ByteReader reader)
    {
        var (min, max, nonFinite, rank) = (reader.Single(), reader.Single(), reader.Byte(), reader.Signed());
        var empty = float.IsPositiveInfinity(min) && float.IsNegativeInfinity(max);
        Check(tensor.Seen is null && nonFinite is 0 or 1 or 3 && (empty || (float.IsFinite(min) && float.IsFinite(max) && min <= max)));
        var seen = new TensorStatistics();
        seen.Restore(min, max, nonFinite != 0, nonFinite == 3, rank);
        return tensor with { Seen = seen };
    }

    private static void WriteHistogram(StoredTensor tensor, ByteWriter writer)
    {
        if (tensor.Seen is not { Histogram.Count: > 0 } seen)
            return;
        var (exponent, counts) = seen.Histogram.Content;
        writer.Unsigned(seen.Histogram.Zeros).Byte(exponent is null ? (byte)0 : (byte)1).Signed(exponent ?? 0);
        var last = -1;
        for (var i = 0; i < counts.Length; i++)
        {
            if (counts.Span[i] == 0)
                continue;
            writer.Unsigned(i - last).Unsigned(counts.Span[i]);
            last = i;
        }
    }

    private static StoredTensor ReadHistogram(StoredTensor tensor, ref ByteReader reader)
    {
        Check(tensor.Seen is { Histogram.Count: 0 });
        var (zeros, hasBins, exponent) = (reader.Unsigned(), reader.Byte(), reader.Signed());
        Check(hasBins <= 1 && exponent is >= LeastExponent and <= GreatestExponent);
        var counts = new long[2 * Histogram.BinsPerSide];
        for (long last = -1; !reader.AtEnd;)
        {
            var step = reader.Unsigned();
            Check(step > 0 && step < counts.Length - last && hasBins == 1);
            last += step;
            counts[last] = reader.Unsigned();
        }

        tensor.Seen!.Histogram.Restore(hasBins == 1 ? exponent : null, counts, zeros);
        return tensor;
    }

    private static void WriteSamples(StoredTensor tensor, ByteWriter writer)
    {
        if (tensor.Seen?.Samples is not { Members: [var sums] } samples)
            return;
        writer.Byte(samples.IsValid ? (byte)1 : (byte)0).Int128(sums.Min).Int128(sums.Max).Unsigned(sums.Count);
    }

    private static StoredTensor ReadSamples(StoredTensor tensor, ref ByteReader reader)
    {
        Check(tensor.Seen is { Samples.Members.Count: 0 });
        var valid = reader.Byte();
        var sums = new SampleRanges.Sums(reader.Int128(), reader.Int128(), reader.Unsigned());
        Check(valid <= 1 && sums.Count > 0);
        tensor.Seen!.Samples.Restore(valid == 1, sums);
        return tensor;
    }

    private static void WriteChannels(StoredTensor tensor, ByteWriter writer)
    {
        if (tensor.Seen is null || tensor.ChannelAxis is not { } axis)
            return;
        var (sums, count) = tensor.Seen.Channels.Content;
        writer.Signed(axis).Byte(tensor.Seen.Channels.IsValid ? (byte)1 : (byte)0).Unsigned(count);
        foreach (var sum in sums.Span)
            writer.Int128(sum);
    }

    private static StoredTensor ReadChannels(StoredTensor tensor, ref ByteReader reader)
    {
        Check(tensor is { Seen: not null, ChannelAxis: null });
        var (axis, valid, count) = (reader.Signed(), reader.Byte(), reader.Unsigned());
        Check(valid <= 1);
        var sums = new Int128[reader.Left / 16];
        for (var i = 0; i < sums.Length; i++)
            sums[i] = reader.Int128();
        tensor.Seen!.Channels.Restore(valid == 1, sums, count);
        return tensor with { ChannelAxis = axis };
    }

    private static void WriteChannelRanges(StoredTensor tensor, ByteWriter writer)
    {
        if (tensor.Seen is null || tensor.RangeAxis is not { } axis)
            return;
        var ranges = tensor.Seen.ChannelRanges;
        var (squares, count) = ranges.Content;
        writer.Signed(axis).Byte(ranges.IsValid ? (byte)1 : (byte)0).Unsigned(count);
        for (var c = 0; c < ranges.Channels; c++)
            writer.Single(ranges.Min[c]).Single(ranges.Max[c]).Int128(squares.Span[c]);
    }

    private static StoredTensor ReadChannelRanges(StoredTensor tensor, ref ByteReader reader)
    {
        Check(tensor is { Seen: not null, RangeAxis: null });
        var (axis, valid, count) = (reader.Signed(), reader.Byte(), reader.Unsigned());
        Check(valid <= 1);
        var channels = reader.Left / 24;
        var (min, max, squares) = (new float[channels], new float[channels], new Int128[channels]);
        for (var c = 0; c < channels; c++)
        {
            (min[c], max[c], squares[c]) = (reader.Single(), reader.Single(), reader.Int128());
            var empty = valid == 0 && float.IsPositiveInfinity(min[c]) && float.IsNegativeInfinity(max[c]);
            Check(squares[c] >= 0 && (empty || (float.IsFinite(min[c]) && float.IsFinite(max[c]) && min[c] <= max[c])));
        }

        tensor.Seen!.ChannelRanges.Restore(valid == 1, min, max, squares, count);
        return tensor with { RangeAxis = axis };
    }

    private static void Check(bool holds)
    {
        if (!holds)
            throw new InvalidDataException("a figure that cannot be");
    }
}
