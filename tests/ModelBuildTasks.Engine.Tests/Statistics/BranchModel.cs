using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Statistics;

/// <summary>
/// A network in the branches of an If, whose names repeat: w is another weight in each branch, v is one weight of the main graph for both. The
/// network of the else branch is in a second If, of which both branches are alike.
/// </summary>
internal static class BranchModel
{
    /// <summary>Numbers of the graphs, in the order of <see cref="GraphExtensions.WithBodies"/>.</summary>
    public const int Then = 1, Outer = 2, InnerThen = 3, InnerElse = 4;

    public static SmallModel Branching()
    {
        var small = Shared(new SmallModel()).Input("c", DataType.Bool).Input("d", DataType.Bool);
        var outer = new GraphProto { Name = "outer" };
        outer.Node.Add(SmallModel.NodeOf("If", "d", "t", ("then_branch", Body(small, "Tanh", 2)), ("else_branch", Body(small, "Tanh", 2))));
        outer.Output.Add(new ValueInfoProto { Name = "t" });
        return small.Node("If", "c", "y", ("then_branch", Body(small, "Relu", 1)), ("else_branch", outer)).Output("y");
    }

    /// <summary>The network of one branch alone.</summary>
    public static SmallModel Flat(bool then)
    {
        var small = Shared(new SmallModel());
        var body = Body(small, then ? "Relu" : "Tanh", then ? 1 : 2);
        small.Graph.Initializer.AddRange(body.Initializer);
        small.Graph.Node.AddRange(body.Node);
        return small.Output("t");
    }

    /// <summary>Smooth pictures, so that neighbours are alike, and which branches they go through.</summary>
    public static ListDataset Data(int seed, Func<int, (bool C, bool D)?> way, bool flags = true) => new(
    [
        .. Enumerable.Range(0, 24).Where(i => way(i) is not null).Select(i =>
        {
            var random = new Random(seed + i);
            var (a, b, c) = (random.NextDouble(), random.NextDouble(), random.NextDouble() * 6);
            var inputs = new Dictionary<string, Tensor>
            {
                ["x"] = Tensor.Of<float>(DataType.Float, [1, 4, 10, 10], [.. Enumerable.Range(0, 400).Select(p => (float)Math.Sin(a * (p % 10) + b * (p / 10) + c))]),
            };
            if (flags)
            {
                inputs["c"] = Tensor.Of<bool>(DataType.Bool, [], [way(i)!.Value.C]);
                inputs["d"] = Tensor.Of<bool>(DataType.Bool, [], [way(i)!.Value.D]);
            }

            return new Batch(inputs, null, 1);
        }),
    ]);

    /// <summary>The codes of the 8-bit weights of a graph.</summary>
    public static sbyte[] Codes(OnnxModel model, int graph) =>
        [.. model.Graph.WithBodies().ElementAt(graph).Initializer.Where(i => (DataType)i.DataType == DataType.Int8).SelectMany(i => model.ReadBytes(i)).Select(b => (sbyte)b)];

    private static SmallModel Shared(SmallModel small) => small.Input("x", 1, 4, 10, 10).Random("v", 7, 8, 16, 3, 3).Random("e", 8, 8);

    // t = Conv(f(Conv(x, w) + b), v) + e, where the last bias is of the main graph for one branch and a Constant for the other.
    private static GraphProto Body(SmallModel small, string activation, int seed)
    {
        var body = new GraphProto { Name = activation };
        body.Initializer.Add(small.Model.CreateTensor("w", [16, 4, 3, 3], SmallModel.Values(seed, 576)));
        body.Initializer.Add(small.Model.CreateTensor("b", [16], SmallModel.Values(seed + 10, 16)));
        if (seed == 1)
            body.Node.Add(SmallModel.NodeOf("Constant", "", "k", ("value", small.Model.CreateTensor("", [8], SmallModel.Values(3, 8)))));
        body.Node.Add(SmallModel.NodeOf("Conv", "x,w,b", "a", ("pads", new long[] { 1, 1, 1, 1 })));
        body.Node.Add(SmallModel.NodeOf(activation, "a", "r"));
        body.Node.Add(SmallModel.NodeOf("Conv", seed == 1 ? "r,v,k" : "r,v,e", "t"));
        body.Output.Add(new ValueInfoProto { Name = "t" });
        return body;
    }
}
