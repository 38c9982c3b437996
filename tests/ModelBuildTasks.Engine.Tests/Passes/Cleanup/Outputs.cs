using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Onnx;

namespace ModelBuildTasks.Engine.Tests.Passes;

/// <summary>Runs two forms of a model on the same seeded inputs.</summary>
internal static class Outputs
{
    public static PassResult Clean(OnnxModel model) =>
        Cleanup.Run(model, new PassContext(new RuntimePolicy("test", (int)model.Opset, new Dictionary<string, OperatorPolicy>()), []));

    /// <summary>The greatest difference of any output, relative to the greatest value of that output; 0 when every byte is the same.</summary>
    public static double Difference(OnnxModel before, OnnxModel after, IReadOnlyDictionary<string, Tensor>? inputs = null)
    {
        using var reference = new Session(before.ToBytes(), new SessionSettings(Optimize: false));
        using var session = new Session(after.ToBytes(), new SessionSettings(Optimize: false));
        // The optimizer has rules of its own about what it accepts.
        using (new Session(after.ToBytes()))
        {
        }

        inputs ??= RandomInputs.For(before);
        var expected = reference.Run(inputs);
        var actual = session.Run(inputs);
        CollectionAssert.AreEqual(expected.Keys.ToList(), actual.Keys.ToList());
        Assert.IsNotEmpty(expected);
        var worst = 0.0;
        foreach (var (name, tensor) in expected)
        {
            Assert.AreEqual(tensor.Type, actual[name].Type);
            CollectionAssert.AreEqual(tensor.Shape, actual[name].Shape);
            if (tensor.Bytes.AsSpan().SequenceEqual(actual[name].Bytes))
                continue;
            var (x, y) = (tensor.ToFloats(), actual[name].ToFloats());
            var scale = Math.Max(x.Max(Math.Abs), 1e-20f);
            worst = Math.Max(worst, x.Zip(y, (a, b) => Math.Abs(a - b) / scale).Max(d => double.IsNaN(d) ? double.PositiveInfinity : d));
        }

        return worst;
    }
}
