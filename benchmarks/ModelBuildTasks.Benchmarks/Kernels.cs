using BenchmarkDotNet.Attributes;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Benchmarks;

/// <summary>The inner loops of calibration on one million values.</summary>
[MemoryDiagnoser]
public class Kernels
{
    private readonly float[] _values = new float[1_000_000];
    private readonly TensorStatistics _statistics = new();

    /// <summary>Values of a heavy-tailed activation, a third of them zero.</summary>
    [GlobalSetup]
    public void Fill()
    {
        var random = new Random(1);
        for (var i = 0; i < _values.Length; i++)
            _values[i] = i % 3 == 0 ? 0 : (float)(random.NextDouble() * random.NextDouble() / Math.Max(0.01, random.NextDouble()));
        _statistics.Add(_values, 1);
    }

    /// <summary>Range and histogram of a tensor.</summary>
    [Benchmark]
    public long Observe()
    {
        var statistics = new TensorStatistics();
        statistics.Add(_values, 1);
        return statistics.Histogram.Count;
    }

    /// <summary>The least-squares range of a histogram.</summary>
    [Benchmark]
    public double LeastSquaresRange() => RangeSearch.Find(_statistics, Calibrator.Mse, 0).Max;
}
