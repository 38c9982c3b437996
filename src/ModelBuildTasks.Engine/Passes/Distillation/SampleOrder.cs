using ModelBuildTasks.Engine.Data;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>The order in which samples are gone through.</summary>
internal static class SampleOrder
{
    /// <summary>The numbers below <paramref name="count"/>, shuffled (Fisher, Yates).</summary>
    /// <param name="count">How many.</param>
    /// <param name="seed">The seed of a training.</param>
    /// <param name="stream">Which of its orders.</param>
    public static int[] Shuffled(int count, ulong seed, ulong stream)
    {
        var random = SplitMix64.Stream(seed, stream);
        int[] order = [.. Enumerable.Range(0, count)];
        for (var i = count - 1; i > 0; i--)
        {
            var j = (int)random.NextBelow((ulong)i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }
}
