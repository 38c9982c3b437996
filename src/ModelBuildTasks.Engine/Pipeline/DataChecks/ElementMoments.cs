namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>Sums over samples, element by element.</summary>
internal sealed class ElementMoments
{
    private double[]? _sum;
    private double[] _squares = [];
    private int _count;
    private bool _fits = true;

    /// <summary>Adds a sample, or a run of several.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        if (_sum is null)
            (_sum, _squares) = (new double[values.Length], new double[values.Length]);
        // Outputs whose length depends on the input vary.
        if (!(_fits &= values.Length == _sum.Length))
            return;
        _count++;
        for (var i = 0; i < values.Length; i++)
        {
            _sum[i] += values[i];
            _squares[i] += (double)values[i] * values[i];
        }
    }

    /// <summary>√(Σ variance / Σ E[x²]) over the elements: 0 where all samples are the same, 1 where they have no mean. Null when it cannot be told.</summary>
    public double? Variation()
    {
        if (!_fits || _count < 2 || _sum is not { Length: > 0 })
            return null;
        double mean = 0, variance = 0;
        for (var i = 0; i < _sum.Length; i++)
        {
            var m = _sum[i] / _count;
            mean += m * m;
            variance += Math.Max(0, _squares[i] / _count - m * m);
        }

        return mean + variance > 0 && double.IsFinite(mean + variance) ? Math.Sqrt(variance / (mean + variance)) : null;
    }
}
