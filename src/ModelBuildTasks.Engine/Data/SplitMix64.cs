namespace ModelBuildTasks.Engine.Data;

/// <summary>The SplitMix64 generator (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): the same numbers on every platform.</summary>
internal struct SplitMix64(ulong seed)
{
    private ulong _state = seed;

    /// <summary>A generator for one of many independent streams.</summary>
    public static SplitMix64 Stream(ulong seed, ulong stream)
    {
        var outer = new SplitMix64(seed);
        return new SplitMix64(outer.Next() ^ new SplitMix64(stream).Next());
    }

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, 1).</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform in [0, <paramref name="bound"/>), without bias; any 64 bits for a bound of 0.</summary>
    public ulong NextBelow(ulong bound)
    {
        if (bound == 0)
            return Next();
        // Lemire's multiply-and-reject.
        var high = Math.BigMul(Next(), bound, out var low);
        if (low < bound)
        {
            var threshold = (0 - bound) % bound;
            while (low < threshold)
                high = Math.BigMul(Next(), bound, out low);
        }

        return high;
    }
}
