using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>The constant shape of a Reshape: numbers, 0 for a length that is copied, -1 for one that follows from the rest.</summary>
internal static class ShapeEntries
{
    /// <summary>The entries; null where constants cannot say it.</summary>
    /// <param name="input">Axes of what is reshaped.</param>
    /// <param name="output">Axes of the result.</param>
    /// <param name="length">The length of an output axis; -1 where it is not known.</param>
    public static long[]? Of(Layout input, Layout output, Func<int, long> length)
    {
        var entries = new long[output.Rank];
        var free = false;
        for (var axis = 0; axis < entries.Length; axis++)
        {
            entries[axis] = length(axis);
            if (entries[axis] >= 0)
                continue;
            if (axis < input.Rank && input.Axes[axis].SequenceEqual(output.Axes[axis], ReferenceEqualityComparer.Instance))
                entries[axis] = 0;
            else if (free)
                return null;
            else
                free = true;
        }

        return entries;
    }
}
