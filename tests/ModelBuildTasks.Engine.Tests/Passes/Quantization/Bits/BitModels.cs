using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;

/// <summary>Plans, small models, and what weights of few bits stand for.</summary>
internal static class BitModels
{
    public static BitsPlan Bits(string word) => word switch
    {
        "binary" => new(1),
        "binary2" => new(1) { Planes = 2 },
        "binary3" => new(1) { Planes = 3 },
        "binary4" => new(1) { Planes = 4 },
        "ternary" => new(2) { Ternary = true, Symmetric = true },
        _ => new(word[^1] - '0') { Symmetric = word.StartsWith('i') },
    };

    public static QuantizePlan Plan(BitsPlan bits) => QuantizeTests.Plan(ActivationMode.None) with { Bits = bits };

    public static PassResult Run(OnnxModel model, BitsPlan bits, IDataset? data = null, string policy = "ort-cpu") =>
        Quantize.Run(model, Plan(bits), QuantizeTests.Context(data, policy));

    /// <summary>One node of an operator with a weight, large enough to be worth it.</summary>
    public static SmallModel One(string kind, long opset = 17)
    {
        var small = new SmallModel(opset);
        switch (kind)
        {
            case "MatMul": return small.Input("x", 3, 96).Random("w", 1, 96, 64).Node("MatMul", "x,w", "y").Output("y");
            // Three groups of 32 and a rest of 4.
            case "MatMul, K 100": return small.Input("x", 3, 100).Random("w", 1, 100, 40).Node("MatMul", "x,w", "y").Output("y");
            case "MatMul, K 97": return small.Input("x", 3, 97).Random("w", 1, 97, 48).Node("MatMul", "x,w", "y").Output("y");
            case "MatMul, K 512": return small.Input("x", 3, 512).Random("w", 1, 512, 24).Node("MatMul", "x,w", "y").Output("y");
            case "Gemm": return small.Input("x", 3, 96).Random("w", 1, 96, 64).Random("b", 2, 64).Node("Gemm", "x,w,b", "y").Output("y");
            case "Gemm, transB": return small.Input("x", 3, 96).Random("w", 1, 64, 96).Random("b", 2, 64).Node("Gemm", "x,w,b", "y", ("transB", 1)).Output("y");
            case "Gemm, alpha": return small.Input("x", 3, 96).Random("w", 1, 96, 64).Random("b", 2, 64).Node("Gemm", "x,w,b", "y", ("alpha", 0.5f), ("beta", 2f)).Output("y");
            case "Conv": return small.Input("x", 1, 16, 8, 8).Random("w", 1, 40, 16, 3, 3).Random("b", 2, 40).Node("Conv", "x,w,b", "y").Output("y");
            case "Conv, grouped": return small.Input("x", 1, 32, 8, 8).Random("w", 1, 64, 8, 3, 3).Node("Conv", "x,w", "y", ("group", 4)).Output("y");
            case "Conv, depthwise": return small.Input("x", 1, 512, 7, 7).Random("w", 1, 512, 1, 5, 5).Node("Conv", "x,w", "y", ("group", 512)).Output("y");
            case "Conv, line": return small.Input("x", 1, 32, 20).Random("w", 1, 48, 32, 5).Node("Conv", "x,w", "y").Output("y");
            case "Gather": return small.Input("i", DataType.Int64, 7).Random("w", 1, 128, 64).Node("Gather", "w,i", "y").Output("y");
            case "LSTM": return small.Input("x", 4, 1, 32).Random("w", 1, 1, 96, 32).Random("r", 2, 1, 96, 24).Node("LSTM", "x,w,r", "y", ("hidden_size", 24)).Output("y");
            case "Constant":
                small.Input("x", 3, 96);
                return small.Node("Constant", "", "w", ("value", small.Model.CreateTensor("", [96, 64], SmallModel.Values(1, 96 * 64)))).Node("MatMul", "x,w", "y").Output("y");
            case "float16":
                small.Input("x", DataType.Float16, 3, 96).Node("MatMul", "x,w", "y").Output("y", DataType.Float16);
                small.Graph.Initializer.Add(small.Model.CreateTensor<Half>("w", DataType.Float16, [96, 64], [.. SmallModel.Values(1, 96 * 64).Select(v => (Half)v)]));
                return small;
            case "If":
                return small.Input("x", 3, 96).Input("c", DataType.Bool, 1).Random("w", 1, 96, 64)
                    .Node("If", "c", "y", ("then_branch", Branch(small.Model, "Relu", inner: false)), ("else_branch", Branch(small.Model, "Sigmoid", inner: true))).Output("y");
            case "tied": return Tied(small).Node("Transpose", "w", "t", ("perm", new long[] { 1, 0 })).Node("MatMul", "h,t", "y").Output("y");
            case "tied, Gemm": return Tied(small).Node("Gemm", "h,w", "y", ("transB", 1)).Output("y");
            default: throw new NotSupportedException(kind);
        }
    }

    private static SmallModel Tied(SmallModel small) =>
        small.Input("i", DataType.Int64, 7).Random("w", 1, 128, 64).Node("Gather", "w,i", "g").Node("Tanh", "g", "h");

    private static GraphProto Branch(OnnxModel model, string op, bool inner)
    {
        var body = new GraphProto { Name = op };
        var weight = inner ? "v" : "w";
        if (inner)
            body.Initializer.Add(model.CreateTensor(weight, [96, 64], SmallModel.Values(5, 96 * 64)));
        body.Node.Add(SmallModel.NodeOf("MatMul", $"x,{weight}", $"m_{op}"));
        body.Node.Add(SmallModel.NodeOf(op, $"m_{op}", $"y_{op}"));
        body.Output.Add(SmallModel.Value($"y_{op}", DataType.Float, 3, 64));
        return body;
    }

    /// <summary>The float model with the values that the codes of its weights stand for, found without writing any.</summary>
    public static OnnxModel Substituted(OnnxModel model, BitsPlan bits, string policy = "ort-cpu", long opset = 25)
    {
        var context = QuantizeTests.Context(policy: policy);
        var clone = model.Clone();
        var names = new NameAllocator(clone);
        var quantizer = new BitQuantizer(clone, bits, null, new BitForms(context.Runtime.Bits, opset), 1);
        foreach (var choice in new FormSelection(clone, QuantizeTests.Plan(ActivationMode.None), context).Choose().Where(c => c.Form is not null))
        {
            foreach (var weight in choice.Weights)
            {
                var values = bits.Bits == 1 ? quantizer.Planes(weight).Weight.Decode() : quantizer.Quantize(weight).Weight.Decode();
                var name = names.Next("decoded");
                clone.Graph.Initializer.Add(weight.Type == DataType.Float ? clone.CreateTensor(name, weight.Tensor.Dims, values)
                    : clone.CreateTensor<Half>(name, weight.Type, weight.Tensor.Dims, [.. values.Select(v => (Half)v)]));
                choice.Node.Input[weight.Input] = name;
            }
        }

        return clone;
    }
}
