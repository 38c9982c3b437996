namespace ModelBuildTasks.Engine.Statistics;

/// <summary>A closed range of real values.</summary>
internal readonly record struct ValueRange(double Min, double Max)
{
    /// <summary>Length of the range.</summary>
    public double Width => Max - Min;

    /// <summary>The range with zero in it.</summary>
    public ValueRange WithZero() => new(Math.Min(Min, 0), Math.Max(Max, 0));

    /// <summary>What lies in both ranges, with zero in it.</summary>
    public ValueRange Within(ValueRange outer) => new ValueRange(Math.Max(Min, outer.Min), Math.Min(Max, outer.Max)).WithZero();
}
