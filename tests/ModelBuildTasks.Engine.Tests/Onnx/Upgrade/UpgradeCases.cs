using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx.Upgrade;

/// <summary>Small models in old forms. Every form change of the operator table occurs here, with the corners of its attributes.</summary>
internal static class UpgradeCases
{
    private static readonly Dictionary<string, Func<OnnxModel>> _cases = new();

    static UpgradeCases()
    {
        Slices();
        Pads();
        Clips();
        Axes();
        Softmaxes();
        Resizes();
        Normalizations();
        Others();
        Bodies();
        FromSeventeen();
    }

    public static IEnumerable<object[]> Rows => _cases.Keys.Select(name => new object[] { name });

    public static OnnxModel Build(string name) => _cases[name]();

    /// <summary>A form that ONNX Runtime does not survive: it is not run.</summary>
    public static OnnxModel EmptyOutputs() =>
        Statistics(new SmallModel(13).Input("x", 2, 3, 4), 3).Node("BatchNormalization", "x,s,b,m,v", "y,,,,").Output("y").Model;

    private static void Add(string name, long opset, Func<SmallModel, SmallModel> build, long ir = 6) =>
        _cases.Add($"{name} (opset {opset})", () => build(new SmallModel(opset, ir)).Output("y").Model);

    /// <summary>A model of one node from x to y.</summary>
    private static void One(string name, long opset, string op, long[] shape, params (string, object)[] attributes) =>
        Add(name, opset, m => m.Input("x", shape).Node(op, "x", "y", attributes));

    private static void Slices()
    {
        One("Slice with axes", 7, "Slice", [4, 5, 6], ("starts", new long[] { 1, 0 }), ("ends", new long[] { 3, 4 }), ("axes", new long[] { 2, 0 }));
        One("Slice without axes, from the end", 9, "Slice", [4, 5], ("starts", new long[] { -3, 1 }), ("ends", new[] { -1L, int.MaxValue }));
        One("Slice to an end beyond all", 9, "Slice", [4, 5], ("starts", new long[] { 2 }), ("ends", new[] { long.MaxValue }), ("axes", new long[] { 1 }));
        Add("Slice of integers", 8, m => m.Input("x", DataType.Int64, 6)
            .Node("Slice", "x", "y", ("starts", new long[] { 1 }), ("ends", new long[] { 5 }), ("axes", new long[] { 0 })));
    }

    private static void Pads()
    {
        One("Pad with zeros", 7, "Pad", [2, 3], ("pads", new long[] { 0, 1, 2, 0 }));
        One("Pad with a value", 10, "Pad", [2, 3], ("pads", new long[] { 1, 1, 0, 0 }), ("value", 2.5));
        One("Pad that crops", 9, "Pad", [4, 5], ("pads", new long[] { -1, 0, 0, -2 }));
        One("Pad by reflection", 8, "Pad", [1, 4, 5], ("pads", new long[] { 0, 1, 2, 0, 2, 1 }), ("mode", "reflect"), ("value", 3.0));
        One("Pad with the edge", 10, "Pad", [4, 5], ("pads", new long[] { 2, 1, 0, 3 }), ("mode", "edge"));
        Add("Pad of doubles with a value", 10, m => m.Input("x", DataType.Double, 2, 3)
            .Node("Pad", "x", "y", ("pads", new long[] { 1, 1, 0, 0 }), ("value", -1.5)));
    }

    private static void Clips()
    {
        One("Clip on both sides", 7, "Clip", [3, 7], ("min", -0.25), ("max", 0.5));
        One("Clip above", 10, "Clip", [9], ("max", 0.0));
        One("Clip below", 9, "Clip", [9], ("min", 0.1));
        One("Clip without limits", 6 + 1, "Clip", [9]);
        Add("Clip of half floats", 10, m => m.Input("x", DataType.Float16, 3, 7).Node("Clip", "x", "y", ("min", -0.25), ("max", 0.5)));
        Add("Two Clips with one limit", 10, m => m.Input("x", 9).Node("Clip", "x", "a", ("min", 0.25)).Node("Clip", "a", "y", ("min", 0.25), ("max", 0.75)));
    }

    private static void Axes()
    {
        One("Squeeze of named axes", 7, "Squeeze", [1, 3, 1, 4], ("axes", new long[] { 0, 2 }));
        One("Squeeze from the end", 11, "Squeeze", [1, 3, 1, 4], ("axes", new long[] { -2 }));
        One("Squeeze of all", 12, "Squeeze", [1, 3, 1, 4]);
        One("Unsqueeze", 7, "Unsqueeze", [3, 4], ("axes", new long[] { 0, 3 }));
        One("Unsqueeze from the end", 12, "Unsqueeze", [3, 4], ("axes", new long[] { -1, 0 }));
        One("ReduceSum of one axis", 7, "ReduceSum", [2, 3, 4], ("axes", new long[] { 1 }));
        One("ReduceSum from the end without keeping", 11, "ReduceSum", [2, 3, 4], ("axes", new long[] { -1, 0 }), ("keepdims", 0));
        One("ReduceSum of all", 12, "ReduceSum", [2, 3, 4]);
        One("ReduceSum of all without keeping", 8, "ReduceSum", [2, 3, 4], ("keepdims", 0));
        One("ReduceMean keeps its attribute", 7, "ReduceMean", [2, 3, 4], ("axes", new long[] { 1, 2 }), ("keepdims", 0));
        One("ReduceMax from the end", 11, "ReduceMax", [2, 3, 4], ("axes", new long[] { -2 }));
        Add("Split in named parts", 7, m => m.Input("x", 2, 6).Node("Split", "x", "y,b,c", ("axis", 1), ("split", new long[] { 1, 2, 3 })).Output("b", "c"));
        Add("Split in equal parts", 12, m => m.Input("x", 6, 2).Node("Split", "x", "y,b").Output("b"));
        Add("Split from the end", 11, m => m.Input("x", 2, 6).Node("Split", "x", "y,b", ("axis", -1), ("split", new long[] { 4, 2 })).Output("b"));
        Add("TopK", 7, m => m.Input("x", 3, 8).Node("TopK", "x", "y,i", ("k", 3)).Output("i"));
        Add("TopK along the first axis", 9, m => m.Input("x", 8, 3).Node("TopK", "x", "y,i", ("k", 2), ("axis", 0)).Output("i"));
        Add("TopK with k as input", 10, m => m.Input("x", 3, 8).Ints("k", 4).Node("TopK", "x,k", "y,i", ("axis", -1)).Output("i"));
        Add("Scatter", 9, m => m.Input("x", 3, 4).Input("u", 1, 2)
            .Node("Constant", "", "i", ("value", m.Model.CreateTensor<long>("", DataType.Int64, [1, 2], [2, 0]))).Node("Scatter", "x,i,u", "y", ("axis", 1)));
        Add("Scatter along the first axis", 10, m => m.Input("x", 3, 4).Input("u", 1, 2)
            .Node("Constant", "", "i", ("value", m.Model.CreateTensor<long>("", DataType.Int64, [1, 2], [2, 0]))).Node("Scatter", "x,i,u", "y"));
    }

    private static void Softmaxes()
    {
        foreach (var op in new[] { "Softmax", "LogSoftmax", "Hardmax" })
        {
            One($"{op} of a matrix", 7, op, [3, 5]);
            One($"{op} along the last axis", 11, op, [2, 3, 5], ("axis", 2));
            One($"{op} from the end", 12, op, [2, 3, 5], ("axis", -1));
            One($"{op} over two axes", 9, op, [2, 3, 5]);
            One($"{op} over all", 10, op, [2, 3, 5], ("axis", 0));
            One($"{op} over two axes from the end", 11, op, [2, 3, 5], ("axis", -2));
            One($"{op} over channels of one pixel", 8, op, [1, 6, 1, 1]);
            One($"{op} over all of one row", 9, op, [1, 1, 5], ("axis", 0));
            Add($"{op} of unknown rank", 9, m => m.Input("x", 4, 6).Input("shape", DataType.Int64, -1).Node("Reshape", "x,shape", "r").Node(op, "r", "y"));
            Add($"{op} of a free axis", 9, m => m.Input("x", -1, -2, 5).Node(op, "x", "y"));
        }
    }

    private static void Resizes()
    {
        One("Upsample of nearest", 7, "Upsample", [1, 2, 3, 4], ("scales", new[] { 1f, 1f, 2f, 3f }));
        One("Upsample by a fraction", 8, "Upsample", [1, 2, 5, 4], ("scales", new[] { 1f, 1f, 1.5f, 1.3f }), ("mode", "nearest"));
        One("Upsample linear", 7, "Upsample", [1, 2, 3, 4], ("scales", new[] { 1f, 1f, 2f, 1.5f }), ("mode", "linear"));
        Add("Upsample with scales as input", 9, m => m.Input("x", 1, 2, 3, 4).Floats("s", [4], 1, 1, 2.5f, 2).Node("Upsample", "x,s", "y"));
        Add("Upsample with computed scales", 9, m => m.Input("x", 1, 2, 3, 4).Floats("a", [2], 1, 1).Floats("b", [2], 2, 1.5f)
            .Node("Concat", "a,b", "s", ("axis", 0)).Node("Upsample", "x,s", "y"));
        Add("Upsample linear with scales as input", 9, m => m.Input("x", 1, 1, 6, 5).Floats("s", [4], 1, 1, 2.5f, 2)
            .Node("Upsample", "x,s", "y", ("mode", "linear")));
        foreach (var mode in new[] { "nearest", "linear" })
        {
            Add($"Resize {mode} up", 10, m => m.Input("x", 1, 2, 3, 4).Floats("s", [4], 1, 1, 2, 2.5f).Node("Resize", "x,s", "y", ("mode", mode)));
            Add($"Resize {mode} down", 10, m => m.Input("x", 1, 2, 9, 10).Floats("s", [4], 1, 1, 0.5f, 0.7f).Node("Resize", "x,s", "y", ("mode", mode)));
        }

        Add("Resize linear up and down", 10, m => m.Input("x", 1, 2, 9, 4).Floats("s", [4], 1, 1, 0.5f, 1.7f).Node("Resize", "x,s", "y", ("mode", "linear")));
        Add("Resize by sizes", 11, m => m.Input("x", 1, 1, 3, 4).Floats("none", [0]).Ints("size", 1, 1, 6, 9)
            .Node("Resize", "x,none,none,size", "y", ("mode", "linear"), ("coordinate_transformation_mode", "pytorch_half_pixel")));
        Add("Resize by scales of opset 11", 11, m => m.Input("x", 1, 1, 3, 4).Floats("none", [0]).Floats("s", [4], 1, 1, 2, 3)
            .Node("Resize", "x,none,s", "y", ("mode", "cubic"), ("cubic_coeff_a", -0.5)));
        Add("Resize of a region", 12, m => m.Input("x", 1, 1, 6, 6).Floats("roi", [8], 0, 0, 0.1f, 0.2f, 1, 1, 0.8f, 0.9f).Floats("none", [0]).Ints("size", 1, 1, 4, 4)
            .Node("Resize", "x,roi,none,size", "y", ("mode", "linear"), ("coordinate_transformation_mode", "tf_crop_and_resize")));
        foreach (var mode in new[] { "avg", "max" })
        {
            Add($"RoiAlign {mode}", 10, m => m.Input("x", 1, 2, 9, 9).Floats("rois", [2, 4], 0.3f, 1.2f, 6, 7, 2, 2, 5.5f, 4.1f).Ints("b", 0, 0)
                .Node("RoiAlign", "x,rois,b", "y", ("mode", mode), ("output_height", 3), ("output_width", 2), ("sampling_ratio", 2), ("spatial_scale", 0.9)));
        }
    }

    private static void Normalizations()
    {
        foreach (var opset in new long[] { 7, 8, 9, 13, 14 })
        {
            Add("BatchNormalization", opset, m => Statistics(m.Input("x", 2, 3, 4, 4), 3)
                .Node("BatchNormalization", "x,s,b,m,v", "y", ("epsilon", 1e-3)));
        }

        Add("BatchNormalization of a matrix by feature", 7, m => Statistics(m.Input("x", 2, 3), 3).Node("BatchNormalization", "x,s,b,m,v", "y", ("spatial", 0)));
        Add("BatchNormalization by feature", 8, m => Statistics(m.Input("x", 2, 3, 2), 3, 2)
            .Node("BatchNormalization", "x,s,b,m,v", "y", ("spatial", 0), ("epsilon", 1e-2)));
        One("Dropout", 7, "Dropout", [3, 4], ("ratio", 0.3));
        One("Dropout by default", 10, "Dropout", [3, 4]);
        One("Dropout with a ratio", 11, "Dropout", [3, 4], ("ratio", 0.3));
        One("Dropout with a ratio as input", 12, "Dropout", [3, 4]);
        Add("Dropout with an idle mask", 7, m =>
        {
            m.Graph.ValueInfo.Add(SmallModel.Value("mask", DataType.Float, [3, 4]));
            return m.Input("x", 3, 4).Node("Dropout", "x", "y,mask");
        });
        One("LpNormalization is as before", 7, "LpNormalization", [3, 4], ("axis", 1));
    }

    private static SmallModel Statistics(SmallModel model, params long[] shape)
    {
        var random = new Random(7);
        var count = (int)ElementTypes.Count(shape);
        foreach (var name in new[] { "s", "b", "m", "v" })
            model.Floats(name, shape, [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() + 0.5f)]);
        return model;
    }

    private static void FromSeventeen()
    {
        foreach (var op in new[] { "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare" })
        {
            Add($"{op} of axes", 13, m => m.Input("x", 2, 3, 4).Node("Abs", "x", "a").Node(op, "a", "y", ("axes", new long[] { -1, 0 }), ("keepdims", 0)));
            Add($"{op} of all", 17, m => m.Input("x", 2, 3, 4).Node("Abs", "x", "a").Node(op, "a", "y"));
        }

        Add("Split in equal parts along an axis", 13, m => m.Input("x", 2, 6).Node("Split", "x", "y,b,c", ("axis", 1)).Output("b", "c"));
        Add("Split by an input", 17, m => m.Input("x", 2, 6).Ints("parts", 4, 2).Node("Split", "x,parts", "y,b", ("axis", 1)).Output("b"));
        Add("DFT", 17, m => m.Input("x", 2, 8, 1).Node("DFT", "x", "y"));
        Add("DFT along an axis, backwards", 17, m => m.Input("x", 2, 3, 8, 2).Node("DFT", "x", "y", ("axis", 2), ("inverse", 1)));
        Add("DFT of one side", 17, m => m.Input("x", 2, 8, 1).Node("DFT", "x", "y", ("onesided", 1)));
        foreach (var mode in new[] { "bilinear", "bicubic", "nearest" })
            Add($"GridSample {mode}", 16, m => m.Input("x", 1, 2, 5, 5).Input("g", 1, 3, 4, 2).Node("GridSample", "x,g", "y", ("mode", mode), ("padding_mode", "border")));
        Add("GridSample by default", 16, m => m.Input("x", 1, 2, 5, 5).Input("g", 1, 3, 4, 2).Node("GridSample", "x,g", "y", ("align_corners", 1)));
        Add("GroupNormalization", 18, m => m.Input("x", 2, 6, 4, 4).Floats("s", [3], 1, 2, 0.5f).Floats("b", [3], 0.1f, 0, -1)
            .Node("GroupNormalization", "x,s,b", "y", ("num_groups", 3), ("epsilon", 1e-3)));
        foreach (var (name, ceil, include) in new[] { ("", 0, 1), (" rounded up", 1, 0), (" rounded up with padding", 1, 1) })
        {
            One($"AveragePool{name}", 11, "AveragePool", [1, 2, 7, 8], ("kernel_shape", new long[] { 3, 3 }), ("strides", new long[] { 2, 2 }), ("pads", new long[] { 1, 1, 1, 1 }),
                ("ceil_mode", ceil), ("count_include_pad", include));
        }

        One("LpPool", 11, "LpPool", [1, 2, 7, 8], ("kernel_shape", new long[] { 3, 3 }), ("strides", new long[] { 2, 2 }), ("pads", new long[] { 1, 1, 1, 1 }), ("p", 1));
        One("GlobalLpPool", 7, "GlobalLpPool", [1, 2, 7, 8]);
        One("MaxPool rounded up", 12, "MaxPool", [1, 2, 7, 8], ("kernel_shape", new long[] { 3, 2 }), ("strides", new long[] { 2, 2 }), ("ceil_mode", 1));
        foreach (var mode in new[] { "constant", "reflect", "edge" })
            Add($"Pad by {mode} with inputs", 13, m => m.Input("x", 1, 4, 5).Ints("p", 0, 1, 2, 0, 2, 1).Floats("v", [], 0.5f).Node("Pad", mode == "constant" ? "x,p,v" : "x,p", "y", ("mode", mode)));
        foreach (var transformation in new[] { "half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel" })
        {
            foreach (var mode in new[] { "nearest", "linear", "cubic" })
            {
                Add($"Resize {mode} {transformation} of opset 13", 13, m => m.Input("x", 1, 1, 5, 6).Floats("s", [4], 1, 1, 1.6f, 0.7f)
                    .Node("Resize", "x,,s", "y", ("mode", mode), ("coordinate_transformation_mode", transformation)));
            }
        }

        Add("ScatterND", 16, m => m.Input("x", 4, 3).Input("u", 1, 3).Longs("i", [1, 1], 2).Node("ScatterND", "x,i,u", "y"));
        Add("ScatterElements that adds", 16, m => m.Input("x", 3, 4).Input("u", 1, 2).Longs("i", [1, 2], 2, 0).Node("ScatterElements", "x,i,u", "y", ("axis", 1), ("reduction", "add")));
        Add("LayerNormalization", 17, m => m.Input("x", 2, 3, 8).Input("s", 8).Input("b", 8).Node("LayerNormalization", "x,s,b", "y"));
        Add("InstanceNormalization", 7, m => Statistics(m.Input("x", 2, 3, 4, 4), 3).Node("InstanceNormalization", "x,s,b", "y"));
        Add("Equal, Cast and Where", 13, m => m.Input("x", 3, 4).Node("Floor", "x", "f").Node("Equal", "f,f", "e").Node("Cast", "e", "c", ("to", 1L)).Node("Where", "e,x,c", "y"));
        Add("Shape, Size, Reshape and Transpose", 15, m => m.Input("x", 2, 3, 4).Node("Transpose", "x", "t").Node("Shape", "t", "s").Node("Reshape", "x,s", "r").Node("Identity", "r", "y"));
        Add("IsInf and IsNaN", 13, m => m.Input("x", 3, 4).Node("IsNaN", "x", "n").Node("IsInf", "x", "i").Node("Or", "n,i", "o").Node("Cast", "o", "c", ("to", 1L)).Node("Add", "c,x", "y"));
        Add("ConstantOfShape", 9, m => m.Input("x", 2, 3).Node("Shape", "x", "s").Node("ConstantOfShape", "s", "c").Node("Add", "x,c", "y"));
        foreach (var op in new[] { "Elu", "Selu", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "ThresholdedRelu", "Sin", "Cosh", "Atan", "Round", "GlobalAveragePool", "GlobalMaxPool" })
            One($"{op} is as before", 14, op, [1, 3, 4, 4]);
        Add("RNN", 14, m => m.Input("x", 3, 2, 4).Input("w", 1, 3, 4).Input("r", 1, 3, 3).Node("RNN", "x,w,r", "y,h", ("hidden_size", 3)).Output("h"));
    }

    private static void Others()
    {
        One("AveragePool with padding", 7, "AveragePool", [1, 2, 7, 7], ("kernel_shape", new long[] { 3, 3 }), ("auto_pad", "SAME_UPPER"), ("strides", new long[] { 2, 2 }));
        One("MaxPool with padding", 7, "MaxPool", [1, 2, 7, 7], ("kernel_shape", new long[] { 2, 3 }), ("pads", new long[] { 1, 1, 0, 1 }), ("strides", new long[] { 2, 1 }));
        One("DepthToSpace", 7, "DepthToSpace", [1, 8, 2, 3], ("blocksize", 2));
        Add("ConvTranspose with an output shape", 7, m => m.Input("x", 1, 1, 4, 4).Input("w", 1, 1, 3, 3)
            .Node("ConvTranspose", "x,w", "y", ("output_shape", new long[] { 8, 8 }), ("strides", new long[] { 2, 2 })));
        Add("ConvTranspose with padding", 7, m => m.Input("x", 1, 1, 4, 4).Input("w", 1, 1, 3, 3)
            .Node("ConvTranspose", "x,w", "y", ("auto_pad", "SAME_UPPER"), ("strides", new long[] { 2, 2 })));
        Add("OneHot of negative indices", 9, m => m.Input("x", 5).Ints("i", -1, 0, 2, 5, -4).Ints("d", 4).Floats("v", [2], 0, 1).Node("OneHot", "i,d,v", "h")
            .Node("MatMul", "x,h", "y"));
        Add("Gemm with a bias", 7, m => m.Input("x", 2, 3).Input("w", 4, 3).Input("c", 4).Node("Gemm", "x,w,c", "y", ("transB", 1), ("beta", 0.5)));
        Add("Flatten and Reshape", 7, m => m.Input("x", 2, 3, 4).Ints("s", 0, -1, 2).Node("Flatten", "x", "f").Node("Reshape", "f,s", "y"));
        Add("LSTM", 7, m => m.Input("x", 3, 2, 4).Input("w", 1, 12, 4).Input("r", 1, 12, 3).Node("LSTM", "x,w,r", "y,h", ("hidden_size", 3)).Output("h"));
        Add("GRU", 7, m => m.Input("x", 3, 2, 4).Input("w", 1, 9, 4).Input("r", 1, 9, 3).Node("GRU", "x,w,r", "y,h", ("hidden_size", 3)).Output("h"));
        Add("QuantizeLinear and back", 10, m => m.Input("x", 3, 4).Floats("s", [], 0.01f)
            .Node("Constant", "", "z", ("value", m.Model.CreateTensor<byte>("", DataType.Uint8, [], [128]))).Node("QuantizeLinear", "x,s,z", "q").Node("DequantizeLinear", "q,s,z", "y"));
        Add("ArgMax with ties", 7, m => m.Input("x", 3, 4).Node("Floor", "x", "f").Node("ArgMax", "f", "y", ("axis", 1), ("keepdims", 0)));
        Add("NonMaxSuppression", 10, m => m.Input("x", 1, 6, 4).Input("scores", 1, 2, 6).Ints("n", 3).Floats("t", [1], 0.5f).Node("NonMaxSuppression", "x,scores,n,t", "y"));
        Add("Weights that are listed as inputs", 8, m => m.Input("x", 2, 3).Input("w", 3, 4).Floats("w", [3, 4], [.. Enumerable.Range(0, 12).Select(i => i / 7f)])
            .Node("MatMul", "x,w", "p").Node("Clip", "p", "y", ("max", 0.5)), ir: 3);
        Add("Resize with scales listed as inputs", 10, m => m.Input("x", 1, 1, 2, 2).Input("s", 4).Floats("s", [4], 1, 1, 2, 2).Node("Resize", "x,s", "y"), ir: 3);
        Add("Foreign operators beside", 11, m =>
        {
            m.Model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 });
            m.Input("x", 2, 3).Node("Gelu", "x", "g").Node("Unsqueeze", "g", "y", ("axes", new long[] { 0 }));
            m.Graph.Node[0].Domain = "com.microsoft";
            return m;
        });
    }

    private static void Bodies()
    {
        Add("If with old forms in its branches", 9, m => m.Input("x", 2, 3, 4).Input("c", DataType.Bool)
            .Node("If", "c", "y", ("then_branch", Body("then", "t", SmallModel.NodeOf("Clip", "x", "a", ("min", 0.2)), SmallModel.NodeOf("Softmax", "a", "t"))),
                ("else_branch", Body("else", "e", SmallModel.NodeOf("Slice", "x", "b", ("starts", new long[] { 1 }), ("ends", new long[] { 4 }), ("axes", new long[] { 2 })),
                    SmallModel.NodeOf("Pad", "b", "e", ("pads", new long[] { 0, 0, 0, 0, 0, 1 }), ("value", 2.0))))));
        Add("Loop with an old form in its body", 10, m =>
        {
            var body = Body("body", "keep_out", SmallModel.NodeOf("Identity", "keep", "keep_out"), SmallModel.NodeOf("Squeeze", "s", "q", ("axes", new long[] { 0 })),
                SmallModel.NodeOf("Unsqueeze", "q", "u", ("axes", new long[] { 0 })), SmallModel.NodeOf("Add", "u", "t"));
            body.Node[^1].Input.Add("x");
            body.Input.Add(SmallModel.Value("i", DataType.Int64, []));
            body.Input.Add(SmallModel.Value("keep", DataType.Bool, []));
            body.Input.Add(SmallModel.Value("s", DataType.Float, [1, 3]));
            body.Output.Add(SmallModel.Value("t", DataType.Float, [1, 3]));
            body.Output[0] = SmallModel.Value("keep_out", DataType.Bool, []);
            m.Graph.Initializer.Add(m.Model.CreateTensor<long>("n", DataType.Int64, [], [3]));
            return m.Input("x", 1, 3).Node("Loop", "n,,x", "y", ("body", body));
        });
    }

    private static GraphProto Body(string name, string output, params NodeProto[] nodes)
    {
        var body = new GraphProto { Name = name };
        body.Node.AddRange(nodes);
        body.Output.Add(new ValueInfoProto { Name = output });
        return body;
    }
}
