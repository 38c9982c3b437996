using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>A graph that computes in float16, for runtimes that are made for it.</summary>
internal sealed class HalfCompute(OnnxModel model, Float16Plan plan, PassContext context)
{
    /// <summary>The model in float16, and what stayed float32.</summary>
    /// <exception cref="ModelBuildException">MBT2033: the types of the result contradict each other.</exception>
    public PassResult Run()
    {
        var clone = model.Clone();
        UniqueNames.Apply(clone);
        var graph = new HalfGraph(clone, plan.KeepIo);
        new HalfAssignment(clone, graph, context).Decide(Observe(clone, graph));
        var decisions = graph.Nodes.Select(n => Decide(clone, n)).ToList();
        var writer = new HalfWriter(clone, graph);
        writer.Write();
        Check(model, clone);
        var halves = graph.Nodes.Count(n => n.IsHalf);
        var summary = string.Create(CultureInfo.InvariantCulture, $"{halves} of {graph.Nodes.Count} float operators in float16, {writer.Casts} Casts; {Checked}");
        if (!context.Runtime.Formats.FoldsConstants)
            return new(clone, decisions, summary) { Warnings = Warnings };
        // What stays float32 may be stored in half the bytes all the same.
        var stored = new HalfStorage(clone, context).Run();
        return new(stored.Model, Joined(decisions, stored.Decisions), $"{summary}; {stored.Summary}") { Warnings = Warnings };
    }

    private IReadOnlyList<(string, string)> Warnings => context.Runtime.Float16.Compute ? []
        : [(DiagnosticCodes.SlowHalfArithmetic, $"'compute: true' makes a graph of float16, and {context.Runtime.Name} is not known to compute in it: it may cast around every operator; 'float16: {{}}' stores the weights in half the bytes and is as fast as float32")];

    private string Checked => context.Calibration is { } data ? $"ranges checked on '{data.Description}'" : "without calibration data only constants were checked for float16's range";

    private IReadOnlyDictionary<string, TensorStatistics>? Observe(OnnxModel clone, HalfGraph graph)
    {
        if (context.Calibration is not { } data)
            return null;
        // What bodies make is not shown.
        var names = graph.Values.Values.Where(v => ReferenceEquals(v.Graph, clone.Graph)).Select(v => v.Name).ToList();
        return names.Count == 0 ? null : context.Statistics.Collect(clone, names, data, context.Threads, context.Progress);
    }

    /// <summary>ONNX Runtime infers and compares all types of all graphs when it loads a model.</summary>
    /// <exception cref="ModelBuildException">MBT2033: what was made does not load, and the model did.</exception>
    internal static void Check(OnnxModel model, OnnxModel made)
    {
        if (Problem(made) is { } problem && Problem(model) is null)
            throw new ModelBuildException(DiagnosticCodes.HalfTypesContradict, $"the model does not become one of float16: {problem}; 'float16: {{ compute: false }}' stores its weights so, and a rule with 'quantize: none' keeps a node out");
    }

    private static string? Problem(OnnxModel checkedModel)
    {
        try
        {
            using var session = new Session(InferenceModel.Of(checkedModel).ToBytes(), new SessionSettings(Optimize: false));
            return null;
        }
        catch (OnnxRuntimeException e)
        {
            return OnnxRuntimeText.OneLine(e);
        }
    }

    private static Decision Decide(OnnxModel model, HalfNode node)
    {
        var bytes = node.Constants.Sum(c => model.ByteLength(c.Tensor));
        return new(node.Node.DisplayName(), node.Node.OpType, node.IsHalf ? "float16" : "left", node.Reason ?? "computes in float16")
        {
            Sqnr = node.IsHalf && bytes > 0 ? node.Constants.Min(c => c.Loss.Sqnr) : null,
            BytesBefore = bytes,
            BytesAfter = node.IsHalf ? bytes / 2 : bytes,
        };
    }

    private static List<Decision> Joined(List<Decision> computed, IReadOnlyList<Decision> stored)
    {
        var byName = stored.Where(d => d.What != "left").GroupBy(d => d.Name).ToDictionary(g => g.Key, g => g.First());
        return [.. computed.Select(d => d.What == "left" && byName.TryGetValue(d.Name, out var s) ? s with { Reason = $"{s.Reason}; it does not compute in float16: {d.Reason}" } : d)];
    }
}
