using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Runs a model over a dataset once and observes values inside it. Nothing of a run is kept but its statistics.</summary>
internal static class StatisticsCollector
{
    /// <summary>Observes the named values of the main graph; those that are not float32 tensors are left out of the result.</summary>
    /// <param name="model">The model to run, in float.</param>
    /// <param name="names">Values of the main graph.</param>
    /// <param name="data">What to run it on.</param>
    /// <param name="threads">Runs at the same time; the result does not depend on it.</param>
    /// <param name="progress">Told the share of samples done.</param>
    /// <param name="channelAxes">For values whose channel means are wanted, too: the channels' axis, negative counting from the end.</param>
    /// <exception cref="ModelBuildException">MBT2004: the model does not run on the data.</exception>
    public static IReadOnlyDictionary<string, TensorStatistics> Collect(
        OnnxModel model, IReadOnlyCollection<string> names, IDataset data, int threads = 1, Action<double>? progress = null,
        IReadOnlyDictionary<string, int>? channelAxes = null)
    {
        var instrumented = Instrument(model, names);
        try
        {
            // One intra-op thread a run: the bits of a float sum then do not depend on the machine's size.
            using var session = new Session(instrumented, new SessionSettings(Threads: 1, Optimize: false));
            return Run(session, names, data, threads, progress, channelAxes ?? new Dictionary<string, int>());
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(DiagnosticCodes.OriginalDoesNotRun, $"the model does not run on the calibration data '{data.Description}': {e.Message}", inner: e);
        }
    }

    private static Dictionary<string, TensorStatistics> Run(
        Session session, IReadOnlyCollection<string> names, IDataset data, int threads, Action<double>? progress,
        IReadOnlyDictionary<string, int> channelAxes)
    {
        var merged = new Dictionary<string, TensorStatistics>();
        var merging = new Lock();
        long done = 0;
        var runner = new SequenceRunner(session, data.Feedback);
        if (data.Feedback.Count > 0)
        {
            foreach (var batch in data.Batches())
                _ = Observe(batch, merged);
            return merged;
        }

        try
        {
            Parallel.ForEach(
                // Without buffering a batch is read only when a run is ready for it.
                Partitioner.Create(data.Batches(), EnumerablePartitionerOptions.NoBuffering),
                new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) },
                () => new Dictionary<string, TensorStatistics>(),
                (Batch batch, ParallelLoopState _, Dictionary<string, TensorStatistics> mine) => Observe(batch, mine),
                mine =>
                {
                    lock (merging)
                    {
                        foreach (var (name, statistics) in mine)
                        {
                            if (!merged.TryAdd(name, statistics))
                                merged[name].Merge(statistics);
                        }
                    }
                });
        }
        catch (AggregateException e) when (e.InnerExceptions[0] is OnnxRuntimeException or ModelBuildException)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }

        return merged;

        Dictionary<string, TensorStatistics> Observe(Batch batch, Dictionary<string, TensorStatistics> mine)
        {
            runner.Run(batch, names, (name, type, shape, bytes) =>
            {
                if (type != DataType.Float)
                    return;
                ref var statistics = ref CollectionsMarshal.GetValueRefOrAddDefault(mine, name, out var _);
                var values = MemoryMarshal.Cast<byte, float>(bytes);
                (statistics ??= new()).Add(values, shape.Length);
                if (channelAxes.TryGetValue(name, out var axis))
                    statistics.Channels.Add(values, shape, axis);
            });
            progress?.Invoke((double)Interlocked.Add(ref done, batch.Count) / Math.Max(1, data.Count));
            return mine;
        }
    }

    private static OnnxModel Instrument(OnnxModel model, IReadOnlyCollection<string> names)
    {
        var clone = model.Clone();
        var present = clone.Graph.Output.Select(o => o.Name).ToHashSet();
        foreach (var name in names.Where(present.Add))
            clone.Graph.Output.Add(new ValueInfoProto { Name = name });
        return clone;
    }
}
