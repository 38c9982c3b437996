using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Removes units that were made dead and compares with the model that still has them.</summary>
internal static class SurgeryProof
{
    /// <summary>Analyses a model, and proves every group of two units and more alone and all of them together.</summary>
    /// <param name="model">The model.</param>
    /// <param name="runs">Inputs of some runs, of different free lengths where there are any.</param>
    public static ChannelAnalysis Check(SmallModel model, params IReadOnlyDictionary<string, Tensor>[] runs)
    {
        var analysis = ChannelAnalysis.Of(model.Model, ValueTypes.Infer(model.Model));
        var groups = analysis.Groups.Where(g => g.Units > 1).ToList();
        foreach (var group in groups)
        {
            Prove(model.Model, analysis, new() { [group.Id] = Odd(group) }, runs, $"{group.Name}, odd units");
            Prove(model.Model, analysis, new() { [group.Id] = [.. Enumerable.Range(0, group.Units - 1)] }, runs, $"{group.Name}, all but the last");
        }

        if (groups.Count > 1)
            Prove(model.Model, analysis, groups.ToDictionary(g => g.Id, Odd), runs, "all groups");
        return analysis;
    }

    /// <summary>Proves one removal.</summary>
    /// <returns>The model without the units.</returns>
    public static OnnxModel Prove(OnnxModel model, ChannelAnalysis analysis, Dictionary<int, IReadOnlyList<int>> removed, IReadOnlyDictionary<string, Tensor>[] runs, string what, bool mayDoNothing = false)
    {
        var (dead, cut) = (model.Clone(), model.Clone());
        UnitMask.Apply(dead, analysis, removed);
        ChannelSurgery.Remove(cut, analysis, removed);
        Assert.IsLessThan(Floats(model), Floats(cut), $"{what}: nothing became smaller");
        using var before = new Session(model, new SessionSettings());
        using var expected = new Session(dead, new SessionSettings());
        using var actual = new Session(cut, new SessionSettings());
        var effect = 0.0;
        foreach (var run in runs)
        {
            var wanted = expected.Run(run);
            effect = Math.Max(effect, Difference(before.Run(run), wanted, what));
            var difference = Difference(wanted, actual.Run(run), what);
            Assert.IsLessThan(2e-5, difference, $"{what}: outputs differ by {difference}");
        }

        if (!mayDoNothing)
            Assert.IsGreaterThan(1e-7, effect, $"{what}: the units did nothing before");
        return cut;
    }

    public static IReadOnlyDictionary<string, Tensor> Inputs(params (string Name, Tensor Value)[] inputs) => inputs.ToDictionary(i => i.Name, i => i.Value);

    private static IReadOnlyList<int> Odd(ChannelGroup group) => [.. Enumerable.Range(0, group.Units).Where(u => u % 2 == 1)];

    private static long Floats(OnnxModel model) => GraphEdit.Indexes(model)
        .Sum(i => GraphEdit.Definitions(i.Graph).Sum(n => i.Constant(n) is { DataType: (int)TensorProto.Types.DataType.Float } tensor ? ElementTypes.Count(tensor.Dims) : 0));

    private static double Difference(IReadOnlyDictionary<string, Tensor> expected, IReadOnlyDictionary<string, Tensor> actual, string what)
    {
        var largest = 0.0;
        foreach (var (name, tensor) in expected)
        {
            CollectionAssert.AreEqual(tensor.Shape, actual[name].Shape, what);
            var (first, second) = (tensor.ToFloats(), actual[name].ToFloats());
            var scale = Math.Max(1e-3, first.Max(Math.Abs));
            Assert.IsTrue(first.All(float.IsFinite), $"{what}: '{name}' is not finite");
            for (var i = 0; i < first.Length; i++)
                largest = Math.Max(largest, float.IsFinite(second[i]) ? Math.Abs((double)first[i] - second[i]) / scale : double.PositiveInfinity);
        }

        return largest;
    }
}
