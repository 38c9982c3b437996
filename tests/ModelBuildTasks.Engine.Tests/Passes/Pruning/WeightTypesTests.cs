using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

/// <summary>Weights that are no float32.</summary>
[TestClass]
public sealed class WeightTypesTests
{
    private static readonly SourceLocation At = new("test");

    [TestMethod]
    public void What_needs_float32_is_refused_for_other_types()
    {
        var small = new SmallModel().Input("x", DataType.Double, 4, 8).Node("MatMul", "x,w", "y").Output("y", DataType.Double);
        small.Graph.Initializer.Add(small.Model.CreateTensor<double>("w", DataType.Double, [8, 8], [.. SmallModel.Values(1, 64).Select(v => (double)v)]));
        var half = Half(DataType.Float16);
        foreach (var plan in new[] { new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt }, new PrunePlan(At, 0.5) { Repair = PruneRepair.Refit } })
            Assert.AreEqual(DiagnosticCodes.PrunedInFloat32, Assert.ThrowsExactly<ModelBuildException>(() => Prune.Run(small.Model, plan, QuantizeTests.Context(ListDataset.Random(half, 4)))).First.Code);
        foreach (var plan in new[] { new PrunePlan(At, 0.5) { Structure = PruneStructure.Channels }, new PrunePlan(At, 0.5) { Quantize = new QuantizePlan(At) } })
            Assert.AreEqual(DiagnosticCodes.PrunedInFloat32, Assert.ThrowsExactly<ModelBuildException>(() => Prune.Run(half, plan, QuantizeTests.Context(ListDataset.Random(half, 4)))).First.Code);
        Assert.AreEqual(32, UnusualWeightsTests.Values(Prune.Run(small.Model, new PrunePlan(At, 0.5), QuantizeTests.Context(null)).Model, "w").Count(v => v == 0));
    }

    [TestMethod]
    [DataRow(DataType.Float16)]
    [DataRow(DataType.Float)]
    public void A_float16_model_is_pruned_as_its_float32_form_and_stays_float16(DataType input)
    {
        var half = Half(input);
        var data = ListDataset.Random(half, 40);
        OnnxModel pruned(PruneMethod method) => Prune.Run(half, new PrunePlan(At, 0.5) { Method = method, Allocation = PruneAllocation.Uniform }, QuantizeTests.Context(data)).Model;

        var (fitted, plain) = (pruned(PruneMethod.Auto), pruned(PruneMethod.Magnitude));

        CollectionAssert.AreEqual(half.Graph.Node.Select(n => n.OpType).ToList(), fitted.Graph.Node.Select(n => n.OpType).ToList());
        Assert.IsTrue(fitted.Graph.Initializer.All(t => (DataType)t.DataType == DataType.Float16));
        foreach (var model in new[] { fitted, plain })
            Assert.AreEqual((16 * 24 / 2) + (24 * 8 / 2), model.Graph.Initializer.Where(t => t.Dims.Count == 2).Sum(t => model.ReadFloats(t).Count(v => v == 0)));
        Assert.IsLessThan(0.7 * UnusualWeightsTests.Distance(half, plain, data), UnusualWeightsTests.Distance(half, fitted, data));
        var row = Prune.Run(half, new PrunePlan(At, 0.5), QuantizeTests.Context(data)).Decisions[0];
        Assert.AreEqual(2 * 16 * 24, row.BytesBefore);
    }

    [TestMethod]
    public void Weights_of_several_types_in_one_model_are_all_pruned_and_keep_their_types()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 8, 16).Random("v", 3, 24, 8).Random("c", 4, 8);
        foreach (var (name, dims, seed) in new[] { ("u", new long[] { 16, 24 }, 1), ("b", [24], 2) })
            small.Graph.Initializer.Add(small.Model.CreateTensor<Half>(name, DataType.Float16, dims, [.. SmallModel.Values(seed, (int)ElementTypes.Count(dims)).Select(v => (Half)v)]));
        var model = small.Node("Gemm", "x,u,b", "a").Node("Cast", ["a"], ["f"], n => n.Set("to", (long)DataType.Float)).Node("Relu", "f", "r").Node("Gemm", "r,v,c", "y").Output("y").Model;
        var data = ListDataset.Random(model, 40);
        var pruned = Prune.Run(model, new PrunePlan(At, 0.5) { Allocation = PruneAllocation.Uniform }, QuantizeTests.Context(data)).Model;

        foreach (var (name, type) in new[] { ("u", DataType.Float16), ("v", DataType.Float) })
        {
            Assert.AreEqual(type, (DataType)pruned.Graph.Initializer.Single(t => t.Name == name).DataType);
            Assert.AreEqual(0.5, UnusualWeightsTests.Values(pruned, name).Average(v => v == 0 ? 1.0 : 0), name);
        }

        using var session = new Session(pruned, new SessionSettings());
        Assert.HasCount(1, session.Outputs);
    }

    private static OnnxModel Half(DataType input)
    {
        var small = new SmallModel().Input("x", input, 8, 16);
        foreach (var (name, dims, seed) in new[] { ("u", new long[] { 16, 24 }, 1), ("b", [24], 2), ("v", [24, 8], 3), ("c", [8], 4) })
            small.Graph.Initializer.Add(small.Model.CreateTensor<Half>(name, DataType.Float16, dims, [.. SmallModel.Values(seed, (int)ElementTypes.Count(dims)).Select(v => (Half)v)]));
        if (input == DataType.Float)
            small.Node("Cast", ["x"], ["h"], n => n.Set("to", (long)DataType.Float16));
        return small.Node("Gemm", $"{(input == DataType.Float ? "h" : "x")},u,b", "a").Node("Relu", "a", "r").Node("Gemm", "r,v,c", "y").Output("y", DataType.Float16).Model;
    }
}
