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
    /// <param name="grams">Gram matrices and other observers to be filled, of values of the main graph and of the branches of its Ifs. One whose value cannot be observed stays empty.</param>
    /// <exception cref="ModelBuildException">MBT2004: the model does not run on the data.</exception>
    public static IReadOnlyDictionary<string, TensorStatistics> Collect(
        OnnxModel model, IReadOnlyCollection<string> names, IDataset data, int threads = 1, Action<double>? progress = null,
        IReadOnlyDictionary<string, int>? channelAxes = null, IReadOnlyCollection<OrderedObserver>? grams = null)
    {
        grams ??= [];
        try
        {
            var (session, seen) = Open(model, names, grams);
            using var opened = session;
            var observers = new Observers(names.ToHashSet(), channelAxes ?? new Dictionary<string, int>(), seen);
            string[] outputs = [.. names.Union(seen.Select(g => g.Key))];
            // A model of float16 may have nothing that is looked at.
            var statistics = outputs.Length == 0 ? [] : Run(session, outputs, data, threads, progress, observers);
            foreach (var gram in grams)
                gram.Complete();
            return statistics;
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(DiagnosticCodes.OriginalDoesNotRun, $"the model does not run on the calibration data '{data.Description}': {e.Message}", inner: e);
        }
    }

    private static Dictionary<string, TensorStatistics> Run(
        Session session, IReadOnlyCollection<string> outputs, IDataset data, int threads, Action<double>? progress, Observers observers)
    {
        var merged = new Dictionary<string, TensorStatistics>();
        var merging = new Lock();
        long done = 0;
        var runner = new SequenceRunner(session, data.Feedback);
        if (data.Feedback.Count > 0)
        {
            foreach (var batch in data.Batches().Index())
                _ = Observe(batch, merged);
            return merged;
        }

        try
        {
            Parallel.ForEach(
                // Without buffering a batch is read only when a run is ready for it.
                Partitioner.Create(data.Batches().Index(), EnumerablePartitionerOptions.NoBuffering),
                new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) },
                () => new Dictionary<string, TensorStatistics>(),
                ((int, Batch) batch, ParallelLoopState _, Dictionary<string, TensorStatistics> mine) => Observe(batch, mine),
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
        catch (AggregateException e) when (e.InnerExceptions[0] is OnnxRuntimeException or ModelBuildException or OperationCanceledException)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }

        return merged;

        Dictionary<string, TensorStatistics> Observe((int Index, Batch Batch) item, Dictionary<string, TensorStatistics> mine)
        {
            try
            {
                runner.Run(item.Batch, outputs, (name, type, shape, bytes) =>
                {
                    if (type == DataType.Float)
                        observers.See(mine, item.Index, item.Batch.Count, name, shape, MemoryMarshal.Cast<byte, float>(bytes));
                });
            }
            finally
            {
                // Also after a failure: later batches wait for their turn.
                observers.End(item.Index);
            }

            progress?.Invoke((double)Interlocked.Add(ref done, item.Batch.Count) / Math.Max(1, data.Count));
            return mine;
        }
    }

    /// <summary>Samples along the first axis; one where the axis cannot hold them all, such as that of a constant.</summary>
    private static int SamplesIn(ReadOnlySpan<long> shape, long count) => shape.Length > 0 && shape[0] > 0 && shape[0] % count == 0 ? (int)count : 1;

    /// <summary>The model with more outputs, and the matrices by the output that shows their value.</summary>
    private static (Session Session, ILookup<string, OrderedObserver> Grams) Open(
        OnnxModel model, IReadOnlyCollection<string> names, IReadOnlyCollection<OrderedObserver> grams)
    {
        // One intra-op thread a run: the bits of a float sum then do not depend on the machine's size.
        var settings = new SessionSettings(Threads: 1, Optimize: false);
        var outer = grams.Where(g => g.Graph == 0).ToList();
        if (outer.Count < grams.Count)
        {
            try
            {
                return Open(grams);
            }
            catch (OnnxRuntimeException)
            {
                // What the branches of an If make is worth less than a build.
            }
        }

        return Open(outer);

        (Session, ILookup<string, OrderedObserver>) Open(IReadOnlyCollection<OrderedObserver> shown)
        {
            var instrumentation = new Instrumentation(model);
            foreach (var name in names)
                instrumentation.Show(0, name);
            var outputs = shown.Select(g => (Gram: g, Output: instrumentation.Show(g.Graph, g.Value)))
                .Where(p => p.Output is not null)
                .ToLookup(p => p.Output!, p => p.Gram);
            return (new Session(instrumentation.Model, settings), outputs);
        }
    }

    /// <summary>What is kept of each value.</summary>
    private sealed record Observers(HashSet<string> Names, IReadOnlyDictionary<string, int> ChannelAxes, ILookup<string, OrderedObserver> Grams)
    {
        public void See(
            Dictionary<string, TensorStatistics> mine, int batch, long samples, string name, ReadOnlySpan<long> shape, ReadOnlySpan<float> values)
        {
            if (Names.Contains(name))
            {
                ref var statistics = ref CollectionsMarshal.GetValueRefOrAddDefault(mine, name, out var _);
                (statistics ??= new()).Add(values, shape.Length, SamplesIn(shape, samples));
                if (ChannelAxes.TryGetValue(name, out var axis))
                {
                    statistics.Channels.Add(values, shape, axis);
                    statistics.ChannelRanges.Add(values, shape, axis);
                }
            }

            foreach (var gram in Grams[name])
                gram.Add(batch, samples, values, shape);
        }

        public void End(int batch)
        {
            foreach (var gram in Grams.SelectMany(g => g))
                gram.End(batch);
        }
    }
}
