using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using static ModelBuildTasks.Engine.Tests.Passes.Distillation.DistillNetworks;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class HiddenProjectionTests
{
    private static readonly DistillPlan _plan = new(new SourceLocation("compression.yaml", 7, 9)) { Epochs = 8, Batch = 16, LearningRate = 0.02, Patience = 20, Temperature = 1 };

    [TestMethod]
    public void The_matrix_begins_as_the_least_squares_fit()
    {
        using var teacher = Network(1, 6);
        using var student = Network(9, 3);
        var data = new RandomSamples(6, 4);
        var projections = HiddenProjections.Attach(student, teacher, [new(LossKind.SquaredError, "d")], data);
        Assert.AreEqual(1, projections.Count);
        var weight = projections.Student.Graph.Initializer.Single(t => student.Graph.Initializer.All(s => s.Name != t.Name));
        CollectionAssert.AreEqual(new long[] { 3, 6 }, weight.Dims.ToArray());
        // Σ x (xP - y) = 0: what is left over is orthogonal to the student's values.
        var (x, y) = (Values(student, data), Values(teacher, data));
        var p = projections.Student.ReadFloats(weight);
        for (var i = 0; i < 3; i++)
        {
            for (var j = 0; j < 6; j++)
                Assert.AreEqual(0, x.Zip(y).Sum(r => r.First[i] * (Enumerable.Range(0, 3).Sum(k => r.First[k] * p[(k * 6) + j]) - r.Second[j])), 1e-4);
        }
    }

    [TestMethod]
    public void Values_of_another_width_are_compared_behind_a_matrix_that_goes_with_the_training()
    {
        using var teacher = Network(1, 6);
        using var student = Network(9, 3);
        var context = Context(teacher, new RandomSamples(300, 4));
        var plain = Distill.Run(student, _plan, context).Model;
        foreach (var hidden in new[] { _plan with { Hidden = [new("d")] }, _plan with { Hidden = [new("d", "c")] }, _plan with { HiddenAuto = true } })
        {
            var trained = Distill.Run(student, hidden with { HiddenWeight = 100 }, context).Model;
            CollectionAssert.AreEqual(student.Graph.Initializer.Select(t => t.Name).ToArray(), trained.Graph.Initializer.Select(t => t.Name).ToArray());
            CollectionAssert.AreEqual(new[] { "y" }, trained.Graph.Output.Select(o => o.Name).ToArray());
            Assert.HasCount(student.Graph.Node.Count, trained.Graph.Node);
            // It has an effect: what the teacher has inside can be told better from what the student has.
            var value = hidden.Hidden is [{ Teacher: "c" }] ? "c" : "d";
            Assert.IsLessThan(0.95 * Unexplained(plain, teacher, value), Unexplained(trained, teacher, value), value);
        }
    }

    [TestMethod]
    public void Channels_in_front_of_places_are_projected_in_their_place()
    {
        using var teacher = Convolutions(1, 6);
        using var student = Convolutions(9, 3);
        var context = Context(teacher, new RandomSamples(60, 2, 4, 4));
        var plan = _plan with { Hidden = [new("d")], Epochs = 2 };
        Assert.AreEqual("trained", Distill.Run(student, plan, context).Decisions[0].What);
        // Shapes that differ in more, or in places, have no matrix between them.
        using var strided = Convolutions(9, 3, stride: 2);
        Refused(DiagnosticCodes.HiddenShapes, () => Distill.Run(strided, plan, context));
        Refused(DiagnosticCodes.HiddenShapes, () => Distill.Run(student, plan with { Hidden = [new("d", "y")] }, context));
        Refused(DiagnosticCodes.StudentDoesNotMatch, () => Distill.Run(student, plan with { Hidden = [new("d", "nothing")] }, context));
        Refused(DiagnosticCodes.StudentDoesNotMatch, () => Distill.Run(student, plan with { Hidden = [new("y", "d")] }, context));
    }

    private static OnnxModel Network(int seed, int hidden) => new SmallModel().Input("x", -1, 4)
        .Random("w", seed, 4, hidden).Random("b", seed + 1, hidden).Random("v", seed + 2, hidden, 3)
        .Node("MatMul", "x,w", "a").Node("Add", "a,b", "c").Node("Tanh", "c", "d").Node("MatMul", "d,v", "y").Output("y").Model;

    private static OnnxModel Convolutions(int seed, int hidden, int stride = 1) => new SmallModel().Input("x", -1, 2, 4, 4)
        .Random("w", seed, hidden, 2, 3, 3).Random("v", seed + 2, 3, hidden, 1, 1)
        .Node("Conv", "x,w", "c", ("pads", new long[] { 1, 1, 1, 1 }), ("strides", new long[] { stride, stride })).Node("Tanh", "c", "d").Node("Conv", "d,v", "e").Node("GlobalAveragePool", "e", "y").Output("y").Model;

    private static List<float[]> Values(OnnxModel model, RandomSamples data, string value = "d")
    {
        var clone = model.Clone();
        clone.Graph.Output.Add(new ValueInfoProto { Name = value });
        using var session = new Session(clone, new SessionSettings());
        return [.. data.Batches().Select(b => session.Run(b.Inputs)[value].ToFloats())];
    }

    /// <summary>What is left of the teacher's values behind the best matrix from the student's, on other samples.</summary>
    private static double Unexplained(OnnxModel student, OnnxModel teacher, string value)
    {
        var data = new RandomSamples(600, 4);
        var (x, y) = (Values(student, data), Values(teacher, data, value));
        // Normal equations, solved by Gauss.
        double[,] gram = new double[3, 9];
        foreach (var (a, b) in x.Zip(y))
        {
            for (var i = 0; i < 3; i++)
            {
                for (var j = 0; j < 9; j++)
                    gram[i, j] += a[i] * (j < 3 ? a[j] : b[j - 3]);
            }
        }

        for (var i = 0; i < 3; i++)
        {
            for (var k = 0; k < 3; k++)
            {
                var factor = k == i ? 0 : gram[k, i] / gram[i, i];
                for (var j = 0; j < 9; j++)
                    gram[k, j] -= factor * gram[i, j];
            }
        }

        return x.Zip(y).Sum(r => Enumerable.Range(0, 6).Sum(j => Math.Pow(Enumerable.Range(0, 3).Sum(k => r.First[k] * gram[k, j + 3] / gram[k, k]) - r.Second[j], 2)));
    }
}
