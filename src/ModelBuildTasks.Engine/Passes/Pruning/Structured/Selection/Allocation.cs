namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// Spreads an amount over groups. Candidates are ordered sets of steps, each of which takes more units from one group; the fewest steps that
/// reach the target are found by bisection, every trial counted exactly on a model that was cut.
/// </summary>
internal static class Allocation
{
    /// <summary>A step: from a group go so many units in all.</summary>
    public readonly record struct Step(int Choice, int Count, double Price);

    /// <summary>
    /// Steps by loss for what is saved, the cheapest first: the vertices of each group's lower convex hull of loss over saving. A step that lies
    /// above the hull is never worth its price alone.
    /// </summary>
    /// <param name="choices">The groups.</param>
    /// <param name="saving">What a group's units save: group and number to saving.</param>
    public static List<Step> ByLoss(IReadOnlyList<GroupChoice> choices, Func<GroupChoice, int, double> saving)
    {
        var steps = new List<Step>();
        for (var c = 0; c < choices.Count; c++)
        {
            var choice = choices[c];
            var hull = new List<(int Count, double Saving, double Loss)>();
            foreach (var count in choice.Counts)
            {
                var point = (count, saving(choice, count), choice.Loss(count));
                while (hull.Count >= 2 && Slope(hull[^2], hull[^1]) >= Slope(hull[^1], point))
                    hull.RemoveAt(hull.Count - 1);
                hull.Add(point);
            }

            for (var i = 1; i < hull.Count; i++)
                steps.Add(new(c, hull[i].Count, Slope(hull[i - 1], hull[i])));
        }

        return [.. steps.OrderBy(s => s.Price).ThenBy(s => s.Choice).ThenBy(s => s.Count)];
    }

    /// <summary>Steps that take the same share of each group.</summary>
    public static List<Step> Uniform(IReadOnlyList<GroupChoice> choices) =>
        [.. choices.SelectMany((c, i) => c.Counts.Where(k => k > 0).Select(k => new Step(i, k, (double)k / c.Group.Units))).OrderBy(s => s.Price).ThenBy(s => s.Choice).ThenBy(s => s.Count)];

    /// <summary>Steps by a threshold on scores, each group's divided by the mean of its units.</summary>
    public static List<Step> Global(IReadOnlyList<GroupChoice> choices)
    {
        var steps = new List<Step>();
        for (var c = 0; c < choices.Count; c++)
        {
            var choice = choices[c];
            var losses = choice.Trace.Losses;
            var mean = Math.Max(double.Epsilon, losses[^1] / Math.Max(1, losses.Length - 1));
            var last = 0;
            foreach (var count in choice.Counts.Where(k => k > 0))
            {
                steps.Add(new(c, count, (losses[count] - losses[last]) / (count - last) / mean));
                last = count;
            }
        }

        return [.. steps.OrderBy(s => s.Price).ThenBy(s => s.Choice).ThenBy(s => s.Count)];
    }

    /// <summary>The counts after the first steps.</summary>
    public static int[] After(IReadOnlyList<GroupChoice> choices, IReadOnlyList<Step> steps, int count)
    {
        var counts = new int[choices.Count];
        foreach (var step in steps.Take(count))
            counts[step.Choice] = Math.Max(counts[step.Choice], step.Count);
        return counts;
    }

    /// <summary>The least number of steps after which the target is reached; null where all of them are not enough.</summary>
    /// <param name="steps">How many there are.</param>
    /// <param name="reached">Whether so many reach it; monotone.</param>
    public static int? Least(int steps, Func<int, bool> reached)
    {
        if (reached(0))
            return 0;
        if (!reached(steps))
            return null;
        var (low, high) = (0, steps);
        while (high - low > 1)
        {
            var middle = (low + high) / 2;
            if (reached(middle))
                high = middle;
            else
                low = middle;
        }

        return high;
    }

    /// <summary>
    /// Takes back what the steps take too much: the last one of each group, the dearest group first, is made as small as the target allows. A step
    /// may take half of a group, and a target lies anywhere between two steps.
    /// </summary>
    /// <param name="choices">The groups.</param>
    /// <param name="steps">The steps.</param>
    /// <param name="count">How many were taken.</param>
    /// <param name="reached">Whether counts reach the target; monotone in each.</param>
    public static int[] Trim(IReadOnlyList<GroupChoice> choices, IReadOnlyList<Step> steps, int count, Func<int[], bool> reached)
    {
        const int MostGroups = 8;
        var counts = After(choices, steps, count);
        foreach (var choice in steps.Take(count).Reverse().Select(s => s.Choice).Distinct().Take(MostGroups).ToList())
        {
            int[] smaller = [.. choices[choice].Counts.Where(k => k <= counts[choice])];
            var least = Least(smaller.Length - 1, n => reached([.. counts.Select((k, i) => i == choice ? smaller[n] : k)]));
            counts[choice] = smaller[least ?? smaller.Length - 1];
        }

        return counts;
    }

    private static double Slope((int Count, double Saving, double Loss) from, (int Count, double Saving, double Loss) to) =>
        to.Saving > from.Saving ? (to.Loss - from.Loss) / (to.Saving - from.Saving) : double.PositiveInfinity;
}
