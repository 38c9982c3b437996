using Google.Protobuf;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests.Onnx;

[TestClass]
public sealed class RoundTripTests
{
    [TestMethod]
    [DataRow("mnist/mnist.onnx")]
    [DataRow("iris/iris_network.onnx")]
    public void A_model_that_was_read_and_written_has_the_same_graph_and_the_same_weights(string file)
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(TestData.Path(file));
        model.Save(folder.File("copy.onnx"));
        using var copy = OnnxModel.Load(folder.File("copy.onnx"));

        Assert.AreEqual(Skeleton(model), Skeleton(copy));
        var before = TensorWalk.All(model.Proto).Select(model.ReadBytes).ToList();
        var after = TensorWalk.All(copy.Proto).Select(copy.ReadBytes).ToList();
        Assert.HasCount(before.Count, after);
        Assert.IsGreaterThan(0, before.Count);
        for (var i = 0; i < before.Count; i++)
            CollectionAssert.AreEqual(before[i], after[i]);
        using var session = new Engine.Execution.Session(folder.File("copy.onnx"));
        Assert.HasCount(1, session.Outputs);
    }

    private static string Skeleton(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        foreach (var tensor in TensorWalk.All(proto))
            tensor.ClearPayloadRef();
        return proto.ToByteString().ToBase64();
    }
}
