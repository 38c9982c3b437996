using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class EndlessLoopTests
{
    [TestMethod]
    public void A_loop_that_never_ends_is_stopped_with_a_coded_error()
    {
        var body = new GraphProto { Name = "body" };
        body.Input.Add(SmallModel.Value("i", DataType.Int64, []));
        body.Input.Add(SmallModel.Value("go_in", DataType.Bool, []));
        body.Input.Add(SmallModel.Value("v_in", DataType.Float, [1]));
        body.Node.Add(SmallModel.NodeOf("Identity", "go_in", "go_out"));
        body.Node.Add(SmallModel.NodeOf("Add", "v_in,v_in", "v_out"));
        body.Output.Add(SmallModel.Value("go_out", DataType.Bool, []));
        body.Output.Add(SmallModel.Value("v_out", DataType.Float, [1]));
        var small = new SmallModel(17, 8).Input("x", 1).Node("Loop", ",go,x", "y", ("body", body)).Output("y");
        small.Graph.Initializer.Add(small.Model.CreateTensor<byte>("go", DataType.Bool, [], [1]));

        using var session = new Session(small.Model, new SessionSettings { RunLimit = TimeSpan.FromMilliseconds(300) });
        var inputs = new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [1], [1f]) };
        var error = Assert.ThrowsExactly<ModelBuildException>(() => session.Run(inputs));
        Assert.AreEqual(DiagnosticCodes.RunDoesNotEnd, error.First.Code);
    }
}
