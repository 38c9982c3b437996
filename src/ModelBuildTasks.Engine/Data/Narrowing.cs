using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The part of a dataset's samples that is used: its own shuffle, skip and take, and those of the target behind them.</summary>
internal sealed class Narrowing(DatasetUse use)
{
    private int? Seed => use.Shuffle ?? use.Dataset.Shuffle;

    /// <summary>The samples that are left of <paramref name="total"/>.</summary>
    /// <exception cref="ModelBuildException">None is left.</exception>
    public SampleOrder Apply(long total)
    {
        var plan = use.Dataset;
        SampleOrder order;
        try
        {
            order = new SampleOrder(total, Seed).Narrow(plan.Skip, plan.Take);
        }
        catch (OverflowException fault)
        {
            throw new ModelBuildException(DiagnosticCodes.InvalidValue, $"The dataset '{plan.Name}' has {total} samples, too many to shuffle", plan.Location, fault);
        }

        if (order.Count == 0)
            throw DatasetError.Empty($"The dataset '{plan.Name}' has {total} samples, and 'skip' and 'take' leave none of them", plan.Location);
        var narrowed = order.Narrow(use.Skip, use.Take);
        return narrowed.Count > 0
            ? narrowed
            : throw DatasetError.Empty($"The dataset '{plan.Name}' gives {order.Count} samples, and 'skip' and 'take' leave none of them here", use.Location);
    }

    /// <summary>The dataset's name and what narrows it.</summary>
    public override string ToString()
    {
        var parts = new List<string>();
        if (Seed is { } seed)
            parts.Add($"shuffle {seed}");
        Add(use.Dataset.Skip, use.Dataset.Take);
        Add(use.Skip, use.Take);
        return parts.Count == 0 ? use.Dataset.Name : $"{use.Dataset.Name} ({string.Join(", ", parts)})";

        void Add(long skip, long? take)
        {
            if (skip > 0)
                parts.Add($"skip {skip}");
            if (take is not null)
                parts.Add($"take {take}");
        }
    }
}
