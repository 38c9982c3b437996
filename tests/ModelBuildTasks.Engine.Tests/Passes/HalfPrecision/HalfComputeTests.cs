using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.HalfPrecision;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.HalfPrecision;

[TestClass]
public sealed class HalfComputeTests
{
    private static readonly Float16Plan Plan = new(new("test"));
    private static readonly PassContext Context = new(RuntimePolicies.Get("tensorrt"), []);

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx", 50, 1.0)]
    [DataRow("gtcrn/gtcrn_simple.onnx", 30, 0.5)]
    [DataRow("iris/iris_network.onnx", 50, 1.0)]
    [DataRow("llama-aidreams/aidreams260k.onnx", 50, 0.6)]
    [DataRow("mnist/mnist.onnx", 50, 1.0)]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx", 40, 0.2)]
    [DataRow("yunet/yunet_s_dynamic.onnx", 50, 0.9)]
    public void A_real_model_computes_in_float16_and_answers_alike(string file, double least, double share)
    {
        using var model = OnnxModel.Load(TestData.Path(file));
        var clean = Cleanup.Run(model, Context).Model;
        var before = clean.ToBytes();
        var result = Float16Pass.Run(clean, Plan, Context);
        AssertAlike(clean, result, least);
        Assert.IsGreaterThanOrEqualTo(share * result.Decisions.Count, result.Decisions.Count(d => d.What == "float16"), result.Summary);
        CollectionAssert.AreEqual(before, clean.ToBytes(), "the model was changed");
        CollectionAssert.AreEqual(result.Model.ToBytes(), Float16Pass.Run(clean, Plan, Context with { Threads = 8 }).Model.ToBytes());
    }

    [TestMethod]
    public void A_graph_whose_types_contradict_each_other_is_refused_with_the_runtimes_words()
    {
        var original = new SmallModel().Input("x", 4).Floats("w", [4], 1, 2, 3, 4).Node("Add", "x,w", "y").Output("y").Model;
        var made = original.Clone();
        made.Graph.Initializer[0] = made.CreateTensor<Half>("w", DataType.Float16, [4], [(Half)1, (Half)2, (Half)3, (Half)4]);
        var error = Assert.ThrowsExactly<ModelBuildException>(() => HalfCompute.Check(original, made));
        Assert.AreEqual("MBT2033", error.Diagnostics[0].Code);
        StringAssert.Contains(error.Message, "Add");
        HalfCompute.Check(original, original.Clone());
        // A model that did not load before is not the pass's fault: what is wrong with it is said elsewhere.
        HalfCompute.Check(made, made.Clone());
    }

    [TestMethod]
    public void Any_network_loads_and_answers_alike() => RandomGraphTests.Sample(small =>
        AssertAlike(small.Model, Float16Pass.Run(Cleanup.Run(small.Model, Context).Model, Plan, Context), 50), 60);

    [TestMethod]
    public void Any_quantized_network_keeps_its_quantized_part_and_computes_the_rest_in_float16() => RandomGraphTests.Sample(small =>
    {
        var data = ListDataset.Random(small.Model, 3);
        var clean = Cleanup.Run(small.Model, Context).Model;
        var context = Context with { Calibration = data };
        var quantized = Quantize.Run(clean, QuantizeTests.Plan(ActivationMode.Uint8), context);
        var result = Float16Pass.Run(quantized.Model, Plan, context);
        Assert.AreEqual("", string.Join("; ", Engine.Passes.Conformance.Check(result.Model, context.Runtime)));
        Assert.IsGreaterThan(30, QuantizeTests.Sqnr(quantized.Model, result.Model, data), result.Summary);
    });

    [TestMethod]
    [DataRow(1, 0, 2)]
    [DataRow(1, 2, 0)]
    [DataRow(0, 2, 1)]
    public void A_transposition_in_front_of_a_product_does_not_end_the_process(int a, int b, int c)
    {
        // Where the first axis comes beside the last, ONNX Runtime ends the process on float16: this test would not come back.
        var small = new SmallModel().Input("x", 8, 8, 8).Random("w", 1, 8, 8)
            .Node("Relu", "x", "r").Node("Transpose", "r", "t", ("perm", new long[] { a, b, c })).Node("MatMul", "t,w", "y").Output("y", DataType.Float);
        AssertAlike(small.Model, Float16Pass.Run(small.Model, Plan, Context), 50);
    }

    [TestMethod]
    public void What_has_no_safe_float16_form_stays_float32_with_one_Cast_at_each_border()
    {
        // The variance of a layer norm in single operators.
        var small = new SmallModel().Input("x", 2, 64).Random("w", 1, 64, 64).Floats("two", [], 2).Floats("eps", [], 1e-12f)
            .Node("MatMul", "x,w", "h").Node("ReduceMean", "h", "m", ("axes", new[] { 1 })).Node("Sub", "h,m", "d").Node("Pow", "d,two", "s")
            .Node("ReduceMean", "s", "v", ("axes", new[] { 1 })).Node("Add", "v,eps", "e").Node("Sqrt", "e", "r").Node("Div", "d,r", "n").Node("MatMul", "n,w", "y").Output("y", DataType.Float);
        var result = Float16Pass.Run(small.Model, Plan, Context);
        AssertAlike(small.Model, result, 50);
        Assert.AreEqual("powers leave float16's range", Reason(result, "Pow_s"));
        StringAssert.Contains(Reason(result, "Add_e"), "its constant 'eps' cannot be float16");
        Assert.AreEqual("fewer Casts are needed so", Reason(result, "ReduceMean_v"));
        StringAssert.Contains(Reason(result, "Sqrt_r"), "of variances");
        Assert.AreEqual("computes in float16", Reason(result, "MatMul_h"));
        // In, behind the first product, in front of the second, out.
        Assert.AreEqual(4, result.Model.Graph.Node.Count(n => n.OpType == "Cast"), result.Summary);
    }

    [TestMethod]
    public void Masks_and_positions_stay_float32_until_something_bounds_them()
    {
        var small = new SmallModel().Input("ids", DataType.Int64, 1, 16).Input("x", 1, 16, 16).Random("w", 1, 16, 16).Floats("one", [], 1).Floats("least", [], -1e9f).Floats("f", [], 0.01f)
            .Node("Cast", "ids", "c", ("to", 1)).Node("Sub", "one,c", "o").Node("Mul", "o,least", "mask").Node("MatMul", "x,w", "s").Node("Add", "s,mask", "a").Node("Softmax", "a", "p")
            .Node("MatMul", "p,x", "q").Node("Mul", "c,f", "angle").Node("Sin", "angle", "z").Node("Add", "q,z", "y").Output("y", DataType.Float);
        var result = Float16Pass.Run(small.Model, Plan, Context);
        AssertAlike(small.Model, result, 50);
        StringAssert.Contains(Reason(result, "Cast_c"), "its input may be larger");
        StringAssert.Contains(Reason(result, "Mul_mask"), "beyond float16's range");
        StringAssert.Contains(Reason(result, "Add_a"), "beyond float16's range went into");
        StringAssert.Contains(Reason(result, "Sin_z"), "made of integers");
        Assert.AreEqual("computes in float16", Reason(result, "MatMul_q"));
    }

    [TestMethod]
    public void Values_that_calibration_data_drives_beyond_the_range_stay_float32()
    {
        var small = new SmallModel().Input("x", 4, 64).Random("a", 1, 64, 64).Random("b", 2, 64, 64).Floats("k", [], 60000).Floats("t", [], 1e-3f)
            .Node("MatMul", "x,a", "p").Node("Mul", "p,k", "q").Node("Mul", "q,t", "r").Node("MatMul", "r,b", "y").Output("y", DataType.Float);
        var without = Float16Pass.Run(small.Model, Plan, Context);
        Assert.IsTrue(without.Decisions.All(d => d.What == "float16"), without.Summary);
        StringAssert.Contains(without.Summary, "without calibration data only constants were checked");
        var with = Float16Pass.Run(small.Model, Plan, Context with { Calibration = ListDataset.Random(small.Model, 3) });
        CollectionAssert.AreEqual(new[] { "float16", "left", "left", "float16" }, with.Decisions.Select(d => d.What).ToArray());
        StringAssert.Contains(Reason(with, "Mul_q"), "'q' was seen to reach");
        AssertAlike(small.Model, with, 50);
    }

    [TestMethod]
    public void Inputs_and_outputs_become_float16_on_request_and_the_model_takes_float32_data_all_the_same()
    {
        var small = new SmallModel().Input("x", 4, 64).Random("a", 1, 64, 64).Node("MatMul", "x,a", "p").Node("Exp", "p", "y").Output("y", DataType.Float).Output("p", DataType.Float);
        var result = Float16Pass.Run(small.Model, Plan with { KeepIo = false }, Context);
        CollectionAssert.AreEqual(new[] { DataType.Float16, DataType.Float16, DataType.Float16 }, result.Model.Inputs.Concat(result.Model.Outputs).Select(v => v.Type).ToArray());
        CollectionAssert.AreEqual(new[] { "x", "y", "p" }, result.Model.Inputs.Concat(result.Model.Outputs).Select(v => v.Name).ToArray());
        Assert.IsGreaterThan(50, QuantizeTests.Sqnr(small.Model, result.Model, ListDataset.Random(small.Model, 3)));
        var kept = Float16Pass.Run(small.Model, Plan, Context).Model;
        Assert.IsTrue(kept.Inputs.Concat(kept.Outputs).All(v => v.Type == DataType.Float));
    }

    [TestMethod]
    public void Bodies_compute_in_float16_with_names_that_repeat_and_values_from_outside()
    {
        var small = new SmallModel().Input("x", 4, 24).Input("c", DataType.Bool, 1).Random("w", 1, 24, 24).Node("Relu", "x", "r")
            .Node("If", "c", "i", ("then_branch", Branch("Sigmoid")), ("else_branch", Branch("Exp"))).Node("MatMul", "i,w", "y").Output("y", DataType.Float);
        var result = Float16Pass.Run(small.Model, Plan, Context);
        AssertAlike(small.Model, result, 50);
        var bodies = result.Model.Graph.WithBodies().Skip(1).ToList();
        Assert.IsTrue(bodies.All(b => b.Node.Any(n => n.OpType == "MatMul")));
        Assert.AreEqual(3, result.Decisions.Count(d => d is { Op: "MatMul", What: "float16" }));
        Assert.IsTrue(result.Model.Graph.Initializer.All(t => (DataType)t.DataType == DataType.Float16));

        static GraphProto Branch(string op)
        {
            var body = new GraphProto { Name = op };
            body.Node.Add(GraphExtensions.Node("MatMul", ["r", "w"], ["same"]));
            body.Node.Add(GraphExtensions.Node(op, ["same"], ["out"]));
            body.Output.Add(new ValueInfoProto { Name = "out" });
            return body;
        }
    }

    [TestMethod]
    public void A_loop_carries_float32_and_computes_in_float16()
    {
        var body = new GraphProto { Name = "body" };
        body.Input.Add([SmallModel.Value("i", DataType.Int64), SmallModel.Value("go", DataType.Bool), SmallModel.Value("s", DataType.Float, 4, 24)]);
        body.Node.Add(GraphExtensions.Node("MatMul", ["s", "w"], ["p"]));
        body.Node.Add(GraphExtensions.Node("Tanh", ["p"], ["t"]));
        body.Node.Add(GraphExtensions.Node("Identity", ["go"], ["again"]));
        body.Output.Add([SmallModel.Value("again", DataType.Bool), SmallModel.Value("t", DataType.Float, 4, 24)]);
        var small = new SmallModel().Input("x", 4, 24).Random("w", 1, 24, 24).Longs("n", [], 3).Floats("fill", [1], 0.5f)
            .Node("Shape", "x", "shape").Node("ConstantOfShape", "shape", "half", ("value", new SmallModel().Model.CreateTensor("", [1], 0)));
        small.Graph.Node[^1].Set("value", small.Model.CreateTensor("", [1], 0.5f));
        small.Node("Mul", "x,half", "z").Node("MatMul", "z,w", "m").Node("Loop", "n,,m", "l", ("body", body)).Node("MatMul", "l,w", "y").Output("y", DataType.Float);
        var result = Float16Pass.Run(small.Model, Plan, Context);
        AssertAlike(small.Model, result, 50);
        Assert.AreEqual(1, result.Model.Graph.Initializer.Count(t => (DataType)t.DataType == DataType.Float16 && t.Dims.Count == 2));
        Assert.AreEqual("computes in float16", Reason(result, "ConstantOfShape_half"));
        Assert.AreEqual(3, result.Decisions.Count(d => d is { Op: "MatMul", What: "float16" }));
    }

    [TestMethod]
    public void A_rule_and_the_policy_keep_operators_in_float32()
    {
        var small = new SmallModel().Input("x", 4, 64).Random("a", 1, 64, 64).Random("b", 2, 64, 64).Node("MatMul", "x,a", "p").Node("Softmax", "p", "s").Node("MatMul", "s,b", "y").Output("y", DataType.Float);
        RulePlan[] rules = [new(default, [], "_y$", false)];
        var policy = RuntimePolicies.ReadText("name: mine\nextends: tensorrt\nfloat16: { compute: true, float32: [Softmax] }", "mine.yaml");
        var result = Float16Pass.Run(small.Model, Plan, new(policy, rules));
        Assert.AreEqual("a rule leaves it in float32", Reason(result, "MatMul_y"));
        StringAssert.Contains(Reason(result, "Softmax_s"), "mine has no Softmax in float16");
        Assert.AreEqual("computes in float16", Reason(result, "MatMul_p"));
        AssertAlike(small.Model, result, 50);
    }

    [TestMethod]
    public void Arithmetic_in_float16_on_a_processor_that_has_none_is_warned_of()
    {
        using var model = OnnxModel.Load(TestData.Path("iris/iris_network.onnx"));
        var result = Float16Pass.Run(model, Plan with { Compute = true }, QuantizeTests.Context());
        Assert.AreEqual(DiagnosticCodes.SlowHalfArithmetic, result.Warnings.Single().Code);
        Assert.IsEmpty(Float16Pass.Run(model, Plan, Context).Warnings);
        Assert.AreEqual("float16 weights", Float16Pass.Run(model, Plan, QuantizeTests.Context()).Decisions[0].What);
    }

    private static string Reason(PassResult result, string name) => result.Decisions.Single(d => d.Name == name).Reason;

    /// <summary>The result loads, answers alike, and has no Cast that another one makes needless.</summary>
    private static void AssertAlike(OnnxModel original, PassResult result, double least)
    {
        Assert.IsGreaterThan(least, QuantizeTests.Sqnr(original, result.Model, ListDataset.Random(original, 3)), result.Summary);
        using (new Session(result.Model))
        {
        }

        foreach (var graph in result.Model.Graph.WithBodies())
        {
            var casts = graph.Node.Where(n => n.OpType == "Cast" && n.Int("to") is (long)DataType.Float or (long)DataType.Float16).ToList();
            var halves = casts.Where(n => n.Int("to") == (long)DataType.Float16).SelectMany(n => n.Output).ToHashSet();
            Assert.IsFalse(casts.Any(n => n.Int("to") == (long)DataType.Float && halves.Contains(n.Input[0])), "a Cast back");
            Assert.AreEqual(casts.Count, casts.Select(n => (n.Input[0], n.Int("to"))).Distinct().Count(), "one value is cast twice");
        }
    }
}
