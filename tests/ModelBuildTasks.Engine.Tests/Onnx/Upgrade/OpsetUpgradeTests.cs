using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Onnx.Upgrade;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx.Upgrade;

[TestClass]
public sealed class OpsetUpgradeTests
{
    // The newest opset that ONNX Runtime runs.
    private const long Runs = 25;

    [TestMethod]
    [DynamicData(nameof(UpgradeCases.Rows), typeof(UpgradeCases))]
    public void An_upgraded_operator_computes_the_same_at_every_opset_on_the_way(string name)
    {
        using var model = UpgradeCases.Build(name);
        var before = model.Proto.ToString();
        for (var target = model.Opset + 1; target <= Runs; target++)
        {
            var result = OpsetUpgrade.Upgrade(model, target);
            if (target >= 22 && result.Reason?.StartsWith("ONNX Runtime has no operator", StringComparison.Ordinal) == true)
            {
                // It is true, and the model stays as it was.
                using var raised = OpsetUpgrade.Upgrade(model, 21).Model.Clone();
                raised.Opset = target;
                Assert.Throws<Exception>(() => new Session(raised.ToBytes()).Dispose());
                Assert.AreSame(model, result.Model);
                break;
            }

            Assert.IsNull(result.Reason, $"to {target}");
            Assert.AreEqual(target, result.To);
            Assert.AreEqual(target, result.Model.Opset);
            SameOutputs(model, result.Model, $"opset {target}");
        }

        Assert.AreEqual(before, model.Proto.ToString(), "the model that was given changed");
    }

    [TestMethod]
    [DynamicData(nameof(RealModels.Rows), typeof(RealModels))]
    public void A_real_model_computes_the_same_at_the_newest_opset(string file)
    {
        using var model = OnnxModel.Load(RealModels.Path(file));
        var result = OpsetUpgrade.Upgrade(model, Runs);

        Assert.IsNull(result.Reason);
        Assert.AreEqual(Math.Max(model.Opset, Runs), result.Model.Opset);
        SameOutputs(model, result.Model, file);
    }

    [TestMethod]
    public void Every_form_change_but_that_of_Scan_has_an_adapter_and_every_adapter_is_a_form_change()
    {
        var changes = OperatorHistory.FormChanges.Except([("Scan", 9)]).Order().ToList();
        var adapters = Adapters.All.Select(a => (a.OpType, a.Opset)).Order().ToList();

        CollectionAssert.AreEqual(changes, adapters);
    }

    [TestMethod]
    public void Every_adapter_is_used_by_a_case()
    {
        var used = new HashSet<string>();
        foreach (var build in UpgradeCases.Rows.Select(r => (Func<OnnxModel>)(() => UpgradeCases.Build((string)r[0]))).Append(UpgradeCases.EmptyOutputs))
        {
            using var model = build();
            used.UnionWith(OpsetUpgrade.Upgrade(model, 21).Changes.Where(c => c.Contains(" (opset ")).Select(c => c[..c.LastIndexOf(',')]));
        }

        foreach (var adapter in Adapters.All)
            Assert.Contains($"{adapter.OpType}: {adapter.Change} (opset {adapter.Opset}", used);
    }

    [TestMethod]
    public void A_model_at_or_beyond_the_target_is_given_back_itself()
    {
        using var model = new SmallModel(18).Input("x", 2).Node("Relu", "x", "y").Output("y").Model;
        var result = OpsetUpgrade.Upgrade(model, 17);

        Assert.AreSame(model, result.Model);
        Assert.IsNull(result.Reason);
        Assert.AreEqual(18, result.To);
        Assert.IsEmpty(result.Changes);
    }

    [TestMethod]
    public void A_model_without_the_default_operator_set_is_given_back_itself()
    {
        using var model = new SmallModel(9).Input("x", 2).Node("Gelu", "x", "y").Output("y").Model;
        model.Proto.OpsetImport[0].Domain = "com.microsoft";

        Assert.AreSame(model, OpsetUpgrade.Upgrade(model, 17).Model);
    }

    [TestMethod]
    [DataRow("unknown operator", "operator Affine (node 'Affine_y') is no operator of opset 9")]
    [DataRow("Scan 8", "operator Scan (node 'Scan_y') changed in opset 9 in a way that cannot be followed")]
    [DataRow("old opset", "opset 6 is older than 7, the first that can be upgraded")]
    [DataRow("functions", "the model defines functions of its own ('F')")]
    [DataRow("mask", "operator Dropout (node 'Dropout_y'): its mask is used (opset 10)")]
    [DataRow("training", "operator BatchNormalization (node 'BatchNormalization_y'): it normalizes as in training (opset 14)")]
    [DataRow("no input", "operator Softmax (node 'Softmax_y'): it has no input or no output (opset 13)")]
    [DataRow("mixed resize", "operator Resize (node 'Resize_y'): it enlarges one axis and shrinks another (opset 11)")]
    [DataRow("computed resize", "operator Resize (node 'Resize_y'): whether it enlarges or shrinks is not known before it runs (opset 11)")]
    [DataRow("two versions", "the model imports the default operator set in two versions")]
    public void What_cannot_be_followed_leaves_the_model_where_it_is_and_says_why(string what, string reason)
    {
        using var model = What(what);
        var before = model.Proto.ToString();
        var result = OpsetUpgrade.Upgrade(model, 17);

        Assert.AreEqual(reason, result.Reason);
        Assert.AreSame(model, result.Model);
        Assert.AreEqual(result.From, result.To);
        Assert.IsEmpty(result.Changes);
        Assert.AreEqual(before, model.Proto.ToString());
    }

    [TestMethod]
    public void A_target_beyond_the_table_is_a_reason()
    {
        using var model = new SmallModel(13).Input("x", 2).Node("Relu", "x", "y").Output("y").Model;

        Assert.AreEqual("opset 26 is newer than 25, the last that models can be upgraded to", OpsetUpgrade.Upgrade(model, 26).Reason);
    }

    [TestMethod]
    public void Weights_of_IR_3_stay_constant_when_the_format_is_raised()
    {
        using var model = UpgradeCases.Build("Weights that are listed as inputs (opset 8)");
        var upgraded = OpsetUpgrade.Upgrade(model, 17).Model;

        Assert.AreEqual(8, upgraded.Proto.IrVersion);
        CollectionAssert.AreEqual(new[] { "x" }, upgraded.Graph.Input.Select(i => i.Name).ToArray());
    }

    [TestMethod]
    public void Weights_that_a_caller_may_replace_stay_inputs()
    {
        using var model = new SmallModel(11).Input("x", 2).Input("w", 2).Floats("w", [2], 1, 2).Node("Add", "x,w", "y").Output("y").Model;
        var upgraded = OpsetUpgrade.Upgrade(model, 17).Model;

        CollectionAssert.AreEqual(new[] { "x", "w" }, upgraded.Graph.Input.Select(i => i.Name).ToArray());
    }

    [TestMethod]
    public void Equal_constants_of_a_graph_are_made_once()
    {
        using var model = new SmallModel(11).Input("x", 2, 2).Node("Unsqueeze", "x", "a", ("axes", new long[] { 0 })).Node("Unsqueeze", "a", "y", ("axes", new long[] { 0 })).Output("y").Model;

        Assert.HasCount(1, OpsetUpgrade.Upgrade(model, 17).Model.Graph.Initializer);
    }

    [TestMethod]
    public void A_Softmax_over_one_long_axis_needs_no_other_nodes()
    {
        using var model = UpgradeCases.Build("Softmax over channels of one pixel (opset 8)");

        Assert.HasCount(1, OpsetUpgrade.Upgrade(model, 17).Model.Graph.Node);
    }

    [TestMethod]
    public void Empty_outputs_of_training_are_left_out()
    {
        using var model = UpgradeCases.EmptyOutputs();

        CollectionAssert.AreEqual(new[] { "y" }, OpsetUpgrade.Upgrade(model, 17).Model.Graph.Node[0].Output.ToArray());
    }

    [TestMethod]
    public void What_stays_as_it_was_is_not_reported_as_a_change()
    {
        using var model = UpgradeCases.Build("BatchNormalization (opset 9)");

        Assert.IsEmpty(OpsetUpgrade.Upgrade(model, 17).Changes);
    }

    private static OnnxModel What(string what)
    {
        switch (what)
        {
            case "unknown operator":
                return new SmallModel(9).Input("x", 2).Node("Affine", "x", "y").Output("y").Model;
            case "Scan 8":
                return new SmallModel(8).Input("x", 1, 2).Node("Scan", ",x", "y", ("num_scan_inputs", 1), ("body", new GraphProto())).Output("y").Model;
            case "old opset":
                return new SmallModel(6).Input("x", 2).Node("Relu", "x", "y").Output("y").Model;
            case "functions":
                var model = new SmallModel(9).Input("x", 2).Node("Relu", "x", "y").Output("y").Model;
                model.Proto.Functions.Add(new FunctionProto { Name = "F" });
                return model;
            case "mask":
                return new SmallModel(7).Input("x", 2).Node("Dropout", "x", "y,mask").Output("y", "mask").Model;
            case "training":
                return new SmallModel(9).Input("x", 2, 1).Floats("s", [1], 1).Node("BatchNormalization", "x,s,s,s,s", "y,m,v").Output("y").Model;
            case "no input":
                return new SmallModel(11).Input("x", 2).Node("Softmax", "", "y").Output("y").Model;
            case "mixed resize":
                return new SmallModel(10).Input("x", 4, 4).Floats("s", [2], 2, 0.5f).Node("Resize", "x,s", "y").Output("y").Model;
            case "computed resize":
                return new SmallModel(10).Input("x", 4, 4).Input("s", 2).Node("Resize", "x,s", "y").Output("y").Model;
            default:
                var twice = new SmallModel(9).Input("x", 2).Node("Relu", "x", "y").Output("y").Model;
                twice.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "ai.onnx", Version = 11 });
                return twice;
        }
    }

    private static void SameOutputs(OnnxModel old, OnnxModel upgraded, string what)
    {
        var inputs = RandomInputs.For(old);
        if (inputs.ContainsKey("shape"))
            inputs["shape"] = Tensor.Of<long>(DataType.Int64, [3], [2, 3, 4]);
        using var first = new Session(old.ToBytes());
        using var second = new Session(upgraded.ToBytes());
        CollectionAssert.AreEqual(first.Inputs.Select(i => i.Name).ToArray(), second.Inputs.Select(i => i.Name).ToArray(), what);
        var expected = first.Run(inputs);
        var actual = second.Run(inputs);
        CollectionAssert.AreEquivalent(expected.Keys.ToArray(), actual.Keys.ToArray(), what);
        foreach (var (name, tensor) in expected)
        {
            Assert.AreEqual(tensor.Type, actual[name].Type, $"{what}: {name}");
            CollectionAssert.AreEqual(tensor.Shape, actual[name].Shape, $"{what}: {name}");
            var (a, b) = (tensor.ToFloats(), actual[name].ToFloats());
            for (var i = 0; i < a.Length; i++)
                Assert.IsTrue(a[i].Equals(b[i]) || Math.Abs(a[i] - b[i]) <= 1e-6 * Math.Max(1, Math.Abs(a[i])), $"{what}: {name}[{i}] was {a[i]} and is {b[i]}");
        }
    }
}
