using ModelBuildTasks.Engine.Hashing;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Which samples a dataset gives, in which order: shuffled, then skipped, then taken.</summary>
internal sealed class SampleOrder
{
    private readonly int? _seed;
    private readonly long _start;
    private readonly int[]? _permutation;

    /// <summary>All samples, in a random order that follows from a seed, or as they are.</summary>
    /// <param name="total">Samples in all.</param>
    /// <param name="shuffle">The seed.</param>
    /// <exception cref="OverflowException">More samples than can be shuffled.</exception>
    public SampleOrder(long total, int? shuffle)
    {
        (Count, _seed) = (total, shuffle);
        if (shuffle is not { } seed)
            return;
        if (total > Array.MaxLength)
            throw new OverflowException("too many samples to shuffle");
        _permutation = new int[total];
        for (var i = 0; i < _permutation.Length; i++)
            _permutation[i] = i;
        var random = new SplitMix64(unchecked((ulong)seed));
        for (var i = _permutation.Length - 1; i > 0; i--)
        {
            var j = (int)random.NextBelow((ulong)i + 1);
            (_permutation[i], _permutation[j]) = (_permutation[j], _permutation[i]);
        }
    }

    private SampleOrder(SampleOrder all, long start, long count) =>
        (_seed, _permutation, _start, Count) = (all._seed, all._permutation, start, count);

    /// <summary>Samples in all.</summary>
    public long Count { get; }

    /// <summary>The source's index of the dataset's sample <paramref name="position"/>.</summary>
    public long this[long position] => _permutation is null ? _start + position : _permutation[_start + position];

    /// <summary>The same order without its first <paramref name="skip"/> samples, and with at most <paramref name="take"/> of the rest.</summary>
    public SampleOrder Narrow(long skip, long? take)
    {
        skip = Math.Clamp(skip, 0, Count);
        return new(this, _start + skip, Math.Clamp(take ?? long.MaxValue, 0, Count - skip));
    }

    /// <summary>Adds all that decides the order.</summary>
    public void AddTo(ContentHasher hash) => hash.Add($"{_seed} {_permutation?.Length} {_start} {Count}");
}
