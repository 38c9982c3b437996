using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

/// <summary>
/// Holds gradients against central differences of the model itself, run as it stands. The loss is the squared distance of all float outputs from
/// seeded targets, summed in double, so that only the rounding of single outputs disturbs the differences.
/// </summary>
internal static class GradientCheck
{
    private const double Step = 1e-2;

    /// <summary>Checks the gradients of all float initializers.</summary>
    public static void All(SmallModel small, double tolerance = 2e-3, double step = Step) =>
        Of(small.Model, [.. small.Graph.Initializer.Where(t => t.DataType == (int)DataType.Float && !t.Name.StartsWith("fixed", StringComparison.Ordinal)).Select(t => t.Name)], new Dictionary<string, Tensor>(), tolerance, step);

    /// <summary>Checks the gradients of some weights on one batch.</summary>
    public static void Of(OnnxModel model, IReadOnlyList<string> weights, IReadOnlyDictionary<string, Tensor> sample, double tolerance = 2e-3, double step = Step)
    {
        using var free = new Session(Freed(model, weights), new SessionSettings(Optimize: false));
        var values = model.Graph.Initializer.Where(t => weights.Contains(t.Name)).ToDictionary(t => t.Name, t => Tensor.Of<float>(DataType.Float, [.. t.Dims], model.ReadFloats(t)));
        var outputs = free.Run(With(sample, values)).Where(o => o.Value.Type == DataType.Float).ToDictionary();
        var targets = outputs.ToDictionary(o => o.Key, o => SmallModel.Tensor(o.Key.Length, o.Value.Shape));

        var request = new GradientRequest(weights, [.. outputs.Keys.Select(o => new LossTerm(LossKind.SquaredError, o))], sample);
        var gradients = Gradients.Build(model, request);
        var inputs = With(sample, values);
        foreach (var (output, input) in outputs.Keys.Zip(gradients.Targets))
            inputs[input] = targets[output];
        using var session = new Session(gradients.Model, new SessionSettings());
        var results = session.Run(inputs);

        Assert.AreEqual(Loss(outputs, targets), results[gradients.Loss].As<float>()[0], 1e-4 * (1 + Loss(outputs, targets)), "loss");
        foreach (var weight in weights)
        {
            Assert.IsTrue(gradients.Outputs.ContainsKey(weight), $"{weight} has no gradient");
            var gradient = results[gradients.Outputs[weight]];
            CollectionAssert.AreEqual(values[weight].Shape, gradient.Shape, weight);
            var (direction, expected) = Direction(gradient.ToFloats(), weight.Length);
            var difference = (Moved(free, sample, values, targets, weight, direction, step) - Moved(free, sample, values, targets, weight, direction, -step)) / (2 * step);
            var size = Math.Max(Math.Abs(expected), 1e-2);
            Assert.AreEqual(expected, difference, tolerance * size, $"{weight}: gradient {expected}, difference {difference}");
        }
    }

    /// <summary>Partly the gradient itself, so that the derivative is not small, and partly random, so that no wrong part of it goes unseen.</summary>
    private static (float[] Direction, double Slope) Direction(float[] gradient, int seed)
    {
        var random = SmallModel.Values(seed + 77, gradient.Length);
        var (g, r) = (Norm(gradient), Norm(random));
        float[] direction = [.. gradient.Zip(random, (a, b) => (float)((0.7 * a / Math.Max(g, 1e-20)) + (0.5 * b / r)))];
        return (direction, gradient.Zip(direction, (a, b) => (double)a * b).Sum());
    }

    private static double Norm(float[] values) => Math.Sqrt(values.Sum(v => (double)v * v));

    private static double Moved(
        Session session, IReadOnlyDictionary<string, Tensor> sample, Dictionary<string, Tensor> values, Dictionary<string, Tensor> targets, string weight, float[] direction, double step)
    {
        var moved = new Dictionary<string, Tensor>(values);
        float[] at = [.. values[weight].ToFloats().Zip(direction, (v, d) => (float)(v + (step * d)))];
        moved[weight] = Tensor.Of<float>(DataType.Float, values[weight].Shape, at);
        return Loss(session.Run(With(sample, moved), targets.Keys), targets);
    }

    private static double Loss(IReadOnlyDictionary<string, Tensor> outputs, Dictionary<string, Tensor> targets) =>
        targets.Sum(t => outputs[t.Key].ToFloats().Zip(t.Value.ToFloats(), (y, z) => ((double)y - z) * ((double)y - z)).Average());

    private static Dictionary<string, Tensor> With(IReadOnlyDictionary<string, Tensor> sample, Dictionary<string, Tensor> values) => sample.Concat(values).ToDictionary();

    private static byte[] Freed(OnnxModel model, IReadOnlyList<string> weights)
    {
        var clone = model.Clone();
        foreach (var tensor in clone.Graph.Initializer.Where(t => weights.Contains(t.Name)).ToList())
        {
            clone.Graph.Initializer.Remove(tensor);
            clone.Graph.Input.Add(SmallModel.Value(tensor.Name, DataType.Float, [.. tensor.Dims]));
        }

        return clone.ToBytes();
    }
}
