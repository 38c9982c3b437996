using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

/// <summary>y = x·W with x [batch, 4] and W [4, 3], and an initializer that nobody reads and that a pass can take away.</summary>
internal static class TinyModel
{
    public const string Ballast = "ballast";

    public static readonly float[] Weights = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0.5f, 0.5f, 0.5f];

    public static OnnxModel Create(int ballast = 1000)
    {
        var graph = new GraphProto { Name = "tiny" };
        graph.Input.Add(Value("x", -1, 4));
        graph.Output.Add(Value("y", -1, 3));
        graph.Node.Add(GraphExtensions.Node("MatMul", ["x", "W"], ["y"], "product"));
        var model = Of(graph);
        graph.Initializer.Add(model.CreateTensor("W", [4, 3], Weights));
        if (ballast > 0)
            graph.Initializer.Add(model.CreateTensor(Ballast, [ballast], new float[ballast]));
        return model;
    }

    /// <summary>A model of one graph at opset 17.</summary>
    public static OnnxModel Of(GraphProto graph)
    {
        var proto = new ModelProto { IrVersion = 8, ProducerName = "tests", Graph = graph };
        proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 17 });
        return new OnnxModel(proto, new PayloadStore());
    }

    /// <summary>A float value; a dimension of -1 is free.</summary>
    public static ValueInfoProto Value(string name, params long[] shape) => Value(name, DataType.Float, shape);

    public static ValueInfoProto Value(string name, DataType type, params long[] shape)
    {
        var dims = new TensorShapeProto();
        foreach (var dim in shape)
            dims.Dim.Add(dim < 0 ? new TensorShapeProto.Types.Dimension { DimParam = "batch" } : new TensorShapeProto.Types.Dimension { DimValue = dim });
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = dims } } };
    }

    /// <summary>The model without its ballast, and with each weight replaced.</summary>
    public static OnnxModel Shrink(OnnxModel model, Func<float, float>? weight = null)
    {
        var clone = model.Clone();
        var initializers = clone.Graph.Initializer;
        if (initializers.FirstOrDefault(t => t.Name == Ballast) is { } ballast)
            initializers.Remove(ballast);
        var old = initializers.Single(t => t.Name == "W");
        var values = clone.ReadFloats(old).Select(weight ?? (w => w)).ToArray();
        initializers[initializers.IndexOf(old)] = clone.CreateTensor("W", [4, 3], values);
        return clone;
    }
}
