using System.Diagnostics;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>A float model in one form of quantization: what it is predicted to cost, and the least time that a run took.</summary>
internal sealed class Variant : IDisposable
{
    private readonly GraphIndex _index;
    private readonly StaticGraph? _part;
    private readonly HashSet<NodeProto> _dynamic = new(ReferenceEqualityComparer.Instance);
    private readonly IReadOnlyDictionary<string, ValueDescription> _shapes;
    private readonly Session _session;
    private readonly string[] _outputs;
    private readonly Batch _batch;

    private Variant(string name, OnnxModel model, IReadOnlyDictionary<string, ValueDescription> shapes, Batch batch, GraphIndex index, OnnxModel written, StaticGraph? part, IEnumerable<NodeProto> dynamic)
    {
        (Name, _shapes, _batch, _index, _part) = (name, shapes, batch, index, part);
        Model = model;
        _dynamic.UnionWith(dynamic);
        _session = new Session(written, new SessionSettings(Threads: 1));
        _outputs = [.. _session.Outputs.Select(o => o.Name)];
    }

    public string Name { get; }

    public OnnxModel Model { get; }

    /// <summary>The least time of a run in nanoseconds.</summary>
    public double Least { get; private set; } = double.PositiveInfinity;

    /// <summary>Nanoseconds by a table.</summary>
    public double Predict(CostTable costs) => new LatencyModel(_index, costs, _shapes).Predict(_part, _dynamic);

    /// <summary>The model in float and in each form that all its weighted nodes, or those of the policy's choice, can have.</summary>
    /// <param name="name">For reports.</param>
    /// <param name="model">The float model, cleaned up.</param>
    /// <param name="runtime">The policy.</param>
    /// <param name="data">Calibration data; its first batch is timed.</param>
    /// <param name="choose">The nodes' forms by the name of the variant.</param>
    public static IEnumerable<Variant> Of(string name, OnnxModel model, RuntimePolicy runtime, IDataset data, Func<QuantizePlan, PassContext, IEnumerable<(string Form, IReadOnlyList<FormChoice> Choices)>> choose)
    {
        var batch = data.Batches().First();
        var index = new GraphIndex(model, model.Graph);
        var shapes = ValueTypes.Observe(model, batch.Inputs);
        yield return new(name + " float", model, shapes, batch, index, model, null, []);
        var plan = new QuantizePlan(new SourceLocation("costs"));
        var context = new PassContext(runtime, []) { Calibration = data };
        foreach (var (form, asked) in choose(plan, context))
        {
            var calibration = new Calibration(model, plan, context);
            var choices = calibration.Observe(index, asked, []);
            var written = new QuantizationWriter(model, plan, runtime.Formats, calibration, null).Write(choices).Model;
            yield return new($"{name} {form}", model, shapes, batch, index, written, calibration.Part(model, index, choices)?.Graph,
                choices.Where(c => c.Form == QuantizedForm.Dynamic).Select(c => c.Node));
        }
    }

    /// <summary>Times a few runs in a row: the first of them bring weights into the caches.</summary>
    public void Time(TimeSpan about)
    {
        var start = Stopwatch.GetTimestamp();
        do
        {
            var before = Stopwatch.GetTimestamp();
            _session.Run(_batch.Inputs, _outputs, static (_, _, _, _) => { });
            Least = Math.Min(Least, Stopwatch.GetElapsedTime(before).TotalNanoseconds);
        }
        while (Stopwatch.GetElapsedTime(start) < about);
    }

    public void Dispose() => _session.Dispose();
}
