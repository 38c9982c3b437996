using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Benchmarks.Large;

/// <summary>
/// Writes a model of the shape of Llama 7B (Touvron et al. 2023): embedding, layers of RMS norm, attention with rotary embeddings and a gated
/// feed-forward part, and a head, with seeded random float16 weights in external data. Weights are streamed: the generator needs little memory.
/// </summary>
internal sealed class LlamaModel : IDisposable
{
    public const int Heads = 32;
    public const int Words = 32000;
    private const int Hidden = 4096;
    private const int Feed = 11008;
    private const int Positions = 2048;

    // An odd number of elements: no two rows begin at the same place of it.
    private const int PoolLength = (8 << 20) + 1;
    private const int Alignment = 4096;

    private readonly OnnxModel _model = new(new ModelProto { IrVersion = 10, Graph = new GraphProto { Name = "llama" } }, new PayloadStore()) { Opset = 21 };
    private readonly Half[] _pool = new Half[PoolLength];
    private readonly FileStream _data;
    private int _next;

    private LlamaModel(string dataPath)
    {
        _data = new FileStream(dataPath, FileMode.Create, FileAccess.Write, FileShare.None, 1);
        var random = new Random(7);
        // Nearly normal: a sum of four.
        foreach (ref var value in _pool.AsSpan())
            value = (Half)((random.NextSingle() + random.NextSingle() + random.NextSingle() + random.NextSingle() - 2) * 0.035f);
    }

    /// <summary>Writes the model and its data file; the first layers are the same whatever their number.</summary>
    /// <returns>Number of parameters.</returns>
    public static long Write(string path, int layers)
    {
        using var made = new LlamaModel(path + ".data");
        made.Build(layers);
        made._model.Save(path);
        return made._model.Graph.Initializer.Where(t => (DataType)t.DataType == DataType.Float16).Sum(t => ElementTypes.Count(t.Dims));
    }

    public void Dispose()
    {
        _data.Dispose();
        _model.Dispose();
    }

    private void Build(int layers)
    {
        Input("ids", DataType.Int64, "batch", "seq");
        Input("positions", DataType.Int64, "batch", "seq");
        Input("mask", DataType.Float16, "batch", "one", "seq", "seq");
        Weight("table", Words, Hidden);
        Weight("head", Hidden, Words);
        Weight("cos", Positions, Hidden / Heads);
        Weight("sin", Positions, Hidden / Heads);
        Initializer(_model.CreateTensor("split", 0, 0, Heads, Hidden / Heads), _model.CreateTensor("join", 0, 0, Hidden), _model.CreateTensor("half", Hidden / Heads / 2),
            _model.CreateTensor("zero", 0), _model.CreateTensor("end", Hidden / Heads), _model.CreateTensor("last", -1), _model.CreateTensor("one", 1),
            _model.CreateTensor("epsilon", [], 1e-5f), _model.CreateTensor("two", [], 2f), Scalar("scale", (Half)(1 / Math.Sqrt(Hidden / Heads))));
        var (cos, sin) = (Node("Unsqueeze", Node("Gather", "cos", "positions"), "one"), Node("Unsqueeze", Node("Gather", "sin", "positions"), "one"));
        var x = Node("Gather", "table", "ids");
        for (var i = 0; i < layers; i++)
            x = Layer($"layers.{i}.", x, cos, sin);
        var head = GraphExtensions.Node("MatMul", [Norm("norm", x), "head"], ["logits"], "lm_head");
        _model.Graph.Node.Add(head);
        _model.Graph.Output.Add(Value("logits", DataType.Float16, "batch", "seq", "words"));
    }

    private string Layer(string name, string x, string cos, string sin)
    {
        var normed = Norm(name + "input_norm", x);
        var (q, k) = (Rotated(Split(name + "q", normed), cos, sin), Rotated(Split(name + "k", normed), cos, sin));
        var scores = Node("Add", Node("Mul", Node("MatMul", q, Turned(k, 0, 1, 3, 2)), "scale"), "mask");
        var mixed = Node("Reshape", Turned(Node("MatMul", Node("Softmax", scores), Split(name + "v", normed)), 0, 2, 1, 3), "join");
        x = Node("Add", x, Linear(name + "o", mixed, Hidden, Hidden));
        normed = Norm(name + "post_norm", x);
        var gate = Linear(name + "gate", normed, Hidden, Feed);
        var gated = Node("Mul", Node("Mul", gate, Node("Sigmoid", gate)), Linear(name + "up", normed, Hidden, Feed));
        return Node("Add", x, Linear(name + "down", gated, Feed, Hidden));
    }

    private string Split(string name, string x) => Turned(Node("Reshape", Linear(name, x, Hidden, Hidden), "split"), 0, 2, 1, 3);

    private string Linear(string name, string x, long inputs, long outputs)
    {
        Weight(name + ".weight", inputs, outputs);
        var output = name + ".out";
        _model.Graph.Node.Add(GraphExtensions.Node("MatMul", [x, name + ".weight"], [output], name));
        return output;
    }

    // In float32, as models are exported.
    private string Norm(string name, string x)
    {
        Weight(name + ".weight", Hidden);
        var wide = Cast(x, DataType.Float);
        var mean = Node("ReduceMean", Node("Pow", wide, "two"), "last");
        var normed = Node("Div", wide, Node("Sqrt", Node("Add", mean, "epsilon")));
        return Node("Mul", Cast(normed, DataType.Float16), name + ".weight");
    }

    private string Rotated(string x, string cos, string sin)
    {
        var (left, right) = (Node("Slice", x, "zero", "half", "last"), Node("Slice", x, "half", "end", "last"));
        var turned = Node("Concat", Node("Neg", right), left);
        _model.Graph.Node[^1].Set("axis", -1);
        return Node("Add", Node("Mul", x, cos), Node("Mul", turned, sin));
    }

    private string Turned(string x, params long[] axes)
    {
        var turned = Node("Transpose", x);
        _model.Graph.Node[^1].Set("perm", axes);
        return turned;
    }

    private string Cast(string x, DataType type)
    {
        var cast = Node("Cast", x);
        _model.Graph.Node[^1].Set("to", (long)type);
        return cast;
    }

    private string Node(string op, params string[] inputs)
    {
        var output = $"v{_next++}";
        _model.Graph.Node.Add(GraphExtensions.Node(op, inputs, [output]));
        return output;
    }

    private void Initializer(params TensorProto[] tensors) => _model.Graph.Initializer.Add(tensors);

    private TensorProto Scalar(string name, Half value) => _model.CreateTensor<Half>(name, DataType.Float16, [], [value]);

    private void Weight(string name, params long[] dims)
    {
        var offset = (_data.Position + Alignment - 1) / Alignment * Alignment;
        _data.Position = offset;
        var left = ElementTypes.Count(dims);
        var tensor = new TensorProto { Name = name, DataType = (int)DataType.Float16, DataLocation = TensorProto.Types.DataLocation.External };
        tensor.Dims.AddRange(dims);
        foreach (var (key, value) in new[] { ("location", Path.GetFileName(_data.Name)), ("offset", $"{offset}"), ("length", $"{2 * left}") })
            tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
        Initializer(tensor);
        // The same for one name in a model of any size.
        for (var at = (int)(Seed(name) % PoolLength); left > 0; at = 0)
        {
            var part = _pool.AsSpan(at, (int)Math.Min(left, PoolLength - at));
            _data.Write(MemoryMarshal.AsBytes(part));
            left -= part.Length;
        }
    }

    private static uint Seed(string name) => name.Aggregate(2166136261u, (hash, c) => (hash ^ c) * 16777619u);

    private void Input(string name, DataType type, params string[] dims) => _model.Graph.Input.Add(Value(name, type, dims));

    private static ValueInfoProto Value(string name, DataType type, params string[] dims)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = new() };
        tensor.Shape.Dim.AddRange(dims.Select(d => new TensorShapeProto.Types.Dimension { DimParam = d }));
        return new ValueInfoProto { Name = name, Type = new() { TensorType = tensor } };
    }
}
