using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>
/// Which values hold the samples of a batch one after the other along their first axis. Shapes do not tell: positions may have come in front. It is
/// seen when a batch is run again with its samples one place on.
/// </summary>
internal static class SampleAxis
{
    private const long LargestRun = 256L << 20;

    /// <summary>The values that do.</summary>
    /// <param name="graph">A graph in training form.</param>
    /// <param name="flow">What its values depend on.</param>
    /// <param name="samples">Samples of the batch that the graph is for.</param>
    /// <param name="batch">Makes a batch of samples by their numbers, 0 to <paramref name="samples"/> - 1.</param>
    /// <param name="weights">Values of its weights.</param>
    /// <param name="threads">Threads of ONNX Runtime.</param>
    public static HashSet<string> Of(ShapedGraph graph, ValueFlow flow, int samples, Func<int[], Dictionary<string, Tensor>> batch, IReadOnlyDictionary<string, float[]> weights, int threads)
    {
        List<string> asked = [.. graph.Model.Graph.Node.SelectMany(n => n.Output).Where(o => flow.IsFed(o) && graph.IsShaped(o) && (samples == 1 || (graph.Shape(o) is [> 0, ..] and [var first, ..] && first % samples == 0)))];
        if (samples == 1)
            return [.. asked];
        var result = new HashSet<string>();
        long bytes = 0;
        // All values of a large batch at once would not fit into memory.
        foreach (var group in asked.GroupBy(a => (bytes += Bytes(graph, a)) / LargestRun))
            result.UnionWith(Turning([.. group]));
        return result;

        IEnumerable<string> Turning(List<string> group)
        {
            var model = new BlockModel(graph, flow).Of(group, _ => false, weights);
            using var session = new Session(model, new SessionSettings(threads, Optimize: false));
            var known = model.Graph.Input.Select(i => i.Name).ToHashSet();
            Dictionary<string, double[]> signatures(int turn)
            {
                var seen = new Dictionary<string, double[]>();
                var inputs = batch([.. Enumerable.Range(0, samples).Select(i => (i + turn) % samples)]).Where(b => known.Contains(b.Key)).ToDictionary();
                session.Run(inputs, group, (name, type, _, values) => seen[name] = Signatures(type, values, samples));
                return seen;
            }

            var (straight, turned) = (signatures(0), signatures(1));
            return group.Where(a => Enumerable.Range(0, samples).All(i => IsSame(straight[a][(i + 1) % samples], turned[a][i], straight[a])));
        }
    }

    /// <summary>A number for each sample that other values would hardly have.</summary>
    private static double[] Signatures(DataType type, ReadOnlySpan<byte> bytes, int samples)
    {
        var length = bytes.Length / samples;
        var result = new double[samples];
        for (var i = 0; i < samples; i++)
        {
            var part = bytes.Slice(i * length, length);
            if (type != DataType.Float)
            {
                foreach (var value in part)
                    result[i] = ((result[i] * 31) + value) % 1_000_003;
                continue;
            }

            var values = MemoryMarshal.Cast<byte, float>(part);
            var random = new SplitMix64(1);
            for (var k = 0; k < values.Length; k++)
                result[i] += values[k] * random.NextDouble();
        }

        return result;
    }

    private static bool IsSame(double a, double b, double[] all) => !double.IsFinite(a) || Math.Abs(a - b) <= 1e-4 * TensorPrimitives.MaxMagnitude<double>(all);

    private static long Bytes(ShapedGraph graph, string name) => ElementTypes.ByteLength(graph.Type(name), ElementTypes.Count(graph.Shape(name)));
}
