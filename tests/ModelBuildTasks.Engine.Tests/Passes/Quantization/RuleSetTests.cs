using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class RuleSetTests
{
    // x - A - B - D - y,  A - C - D,  x - E - z
    private static SmallModel Diamond() => new SmallModel().Input("x", 2, 2)
        .Node("Abs", "x", "a").Node("Neg", "a", "b").Node("Sqrt", "a", "c").Node("Add", "b,c", "y").Node("Neg", "x", "z").Output("y", "z");

    [TestMethod]
    [DataRow("Neg_b", "y", "Neg_b Add_y")]
    [DataRow("a", "y", "Neg_b Sqrt_c Add_y")]
    [DataRow("a", "c", "Sqrt_c")]
    [DataRow("x", "b", "Abs_a Neg_b")]
    [DataRow("c", "b", "")]
    [DataRow("Sqrt_c", null, "Sqrt_c Add_y")]
    [DataRow(null, "b", "Abs_a Neg_b")]
    [DataRow("x", null, "Abs_a Neg_b Sqrt_c Add_y Neg_z")]
    public void A_subgraph_is_all_that_lies_on_paths_between_its_ends(string? from, string? to, string expected)
    {
        var small = Diamond();
        var rules = new RuleSet(small.Model, [new(default, [], null, false) { From = from is null ? [] : [from], To = to is null ? [] : [to] }]);
        Assert.AreEqual(expected, string.Join(' ', small.Graph.Node.Where(n => !rules.MayQuantize(n)).Select(n => n.Name)));
    }

    [TestMethod]
    public void All_conditions_of_a_rule_must_hold_and_the_last_rule_wins()
    {
        var small = Diamond();
        var rules = new RuleSet(small.Model,
        [
            new(default, ["Neg"], null, false),
            new(default, ["Neg", "Add"], null, true) { From = ["a"], Form = QuantizedForm.Weights },
            new(default, [], "Add", true),
        ]);
        var forms = small.Graph.Node.ToDictionary(n => n.Name, rules.Forms);
        CollectionAssert.AreEqual(new[] { QuantizedForm.Weights }, forms["Neg_b"]!.ToArray());
        Assert.IsEmpty(forms["Neg_z"]!);
        Assert.IsNull(forms["Add_y"]);
        Assert.IsNull(forms["Abs_a"]);
    }

    [TestMethod]
    public void An_end_that_is_not_in_the_model_is_an_error_with_the_nearest_name()
    {
        var error = Assert.ThrowsExactly<ModelBuildException>(() => new RuleSet(Diamond().Model, [new(default, [], null, false) { From = ["Sqrt_d"] }]));
        Assert.AreEqual(DiagnosticCodes.UnknownName, error.First.Code);
        StringAssert.Contains(error.Message, "did you mean 'Sqrt_c'?");
    }

    [TestMethod]
    public void A_rule_gives_a_node_another_form_or_says_why_not()
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        RulePlan[] rules =
        [
            new(default, ["Conv"], null, true) { Form = QuantizedForm.Weights },
            new(default, ["Gemm"], null, true) { Form = QuantizedForm.Dynamic },
            new(default, [], "m.6/d", true) { Form = QuantizedForm.Dynamic },
        ];
        var decisions = Quantize.Run(model, QuantizeTests.Plan(), QuantizeTests.Context(ListDataset.Random(model, 2)) with { Rules = rules }).Decisions;
        Assert.AreEqual("int8 dynamic", decisions.Single(d => d.Op == "Gemm").What);
        Assert.IsTrue(decisions.Where(d => d.Op == "Conv").All(d => d.What is "int8 weights" or "left"));
        StringAssert.Contains(decisions.Single(d => d.Name.Contains("m.6/d", StringComparison.Ordinal)).Reason, "no form of Conv that the rule asks for");
    }

    [TestMethod]
    public void A_fixed_range_overrules_the_calibrator()
    {
        var small = QuantizeTests.ConvChain("Sigmoid");
        var index = new GraphIndex(small.Model, small.Graph);
        var part = new StaticGraph(small.Model, index, RuntimePolicies.Get("ort-cpu"), small.Graph.Node.Where(n => n.OpType == "Conv"));
        string[] names = ["x", "a", "b", "y"];
        var statistics = StatisticsCollector.Collect(small.Model, names, ListDataset.Random(small.Model, 2));
        var rules = new RuleSet(small.Model,
        [
            new(default, [], null, true) { TensorPattern = "^[ab]$", Range = (-4, 1) },
            new(default, [], null, true) { TensorPattern = "^b$", Range = (0.5, 2.55) },
        ]);
        ScaleGroups Groups(RuleSet? given) => new(part, index, statistics, QuantizeTests.Plan(), [], given);
        var groups = Groups(rules);
        Assert.AreEqual(new AffineParameters(5f / 255, 204), groups.Parameters("a"));
        Assert.AreEqual(new AffineParameters(0.01f, 0), groups.Parameters("b"));
        Assert.AreEqual(Groups(null).Parameters("x"), groups.Parameters("x"));
    }

    [TestMethod]
    public void A_fixed_type_gives_single_values_16_bits_and_the_rest_stays_in_8()
    {
        var small = QuantizeTests.ConvChain("Sigmoid");
        var context = QuantizeTests.Context(ListDataset.Random(small.Model, 4)) with { Runtime = RuntimePolicies.Get("qnn") };
        var plan = QuantizeTests.Plan() with { Activations = ActivationMode.Uint8 };
        RulePlan[] rules =
        [
            new(default, [], null, true) { TensorPattern = ".", Type = DataType.Uint16 },
            new(default, [], null, true) { TensorPattern = "^[xa]$", Type = DataType.Uint8 },
        ];
        var eight = Quantize.Run(small.Model, plan, context).Model;
        var mixed = Quantize.Run(small.Model, plan, context with { Rules = rules }).Model;
        static string Types(OnnxModel model) => string.Join(' ', model.Graph.Node.Where(n => n.OpType == "QuantizeLinear")
            .Select(n => (DataType)new GraphIndex(model, model.Graph).Constant(n.Input[2])!.DataType));
        Assert.AreEqual("Uint8 Uint8 Uint8 Uint8", Types(eight));
        Assert.AreEqual("Uint8 Uint8 Uint16 Uint16", Types(mixed));
        Assert.IsEmpty(Engine.Passes.Conformance.Check(mixed, context.Runtime));
        var data = ListDataset.Random(small.Model, 12);
        Assert.IsTrue(QuantizeTests.Sqnr(small.Model, mixed, data) > QuantizeTests.Sqnr(small.Model, eight, data) + 1);
    }
}
