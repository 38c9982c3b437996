using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

/// <summary>A folder with a tiny model, a plan for it, and passes that a test chooses.</summary>
internal sealed class Bench : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public Bench(OnnxModel? model = null)
    {
        using var tiny = model ?? TinyModel.Create();
        tiny.Save(ModelPath);
        Target = new TargetPlan
        {
            Name = "Tiny",
            Location = new("compression.yaml", 3, 5),
            ModelPath = ModelPath,
            ModelLocation = new("compression.yaml", 4, 7),
            Runtime = new("ort-cpu", 17, new Dictionary<string, OperatorPolicy>()),
            Passes = [new QuantizePlan(new("compression.yaml", 5, 9))],
            Validation = new(),
        };
    }

    public string ModelPath => _folder.File("tiny.onnx");

    public string Output => _folder.File("out");

    public string Cache => _folder.File("cache");

    public string Artifact => Path.Combine(Output, "Tiny.onnx");

    public TargetPlan Target { get; set; }

    /// <summary>Targets besides <see cref="Target"/>.</summary>
    public List<TargetPlan> More { get; } = [];

    /// <summary>How often the pass ran.</summary>
    public int Runs { get; private set; }

    public Func<OnnxModel, PassContext, PassResult> Pass { get; set; } = (model, _) => Done(TinyModel.Shrink(model, w => w * 0.99f));

    public Func<OnnxModel, PassContext, PassResult> CleanUp { get; set; } = (model, _) => new(model.Clone(), [], "nothing to clean");

    public TinyData Data { get; set; } = TinyData.Unlabelled;

    /// <summary>From how many bytes of tensors on the artifact gets a data file.</summary>
    public long InlineLimit { get; init; } = ModelWriter.InlineLimit;

    public Func<CompressionRequest, CompressionRequest> Change { get; set; } = r => r;

    public string File(string name) => _folder.File(name);

    public static PassResult Done(OnnxModel model) => new(model, [new("product", "MatMul", "int8 static", "as asked") { Sqnr = 40, BytesBefore = 48, BytesAfter = 12 }], "1 of 1");

    public static GatePlan Gate(Metric metric, LimitKind kind, double limit, int line = 12) => new(metric, kind, limit, new("compression.yaml", line, 7));

    public void Gates(params GatePlan[] gates) => Target = Target with { Validation = new() { Gates = gates } };

    /// <summary>Makes the data that of <c>validate: data</c>, in place of random inputs.</summary>
    public void UseData(TinyData data)
    {
        Data = data;
        var at = new SourceLocation("compression.yaml", 9, 9);
        var plan = new DatasetPlan { Name = "tiny", Location = at, Inputs = new Dictionary<string, SourcePlan>() };
        Target = Target with { Validation = (Target.Validation ?? new()) with { Data = new(plan, at) } };
    }

    public CompressionResult Run(CancellationToken cancellation = default)
    {
        var plan = new Plan(_folder.File("compression.yaml"), new Dictionary<string, DatasetPlan>(), [Target, .. More], []);
        var workbench = new Workbench
        {
            CleanUp = CleanUp,
            Apply = (model, _, context) =>
            {
                Runs++;
                return Pass(model, context);
            },
            Open = (_, _) => Data,
            Random = _ => Data,
            InlineLimit = InlineLimit,
        };
        return Compressor.Run(Change(new CompressionRequest(plan, Output)), workbench, null, cancellation);
    }

    public void Dispose() => _folder.Dispose();
}
