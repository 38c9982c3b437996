using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Tests.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class QuantizeTests
{
    [TestMethod]
    public void A_convolutional_network_runs_on_integer_kernels_only()
    {
        using var model = Clean("digits_mobile/digits_mobile.onnx");
        var data = ListDataset.Random(model, 8);
        var result = Quantize.Run(model, Plan(), Context(data));
        Assert.IsTrue(result.Decisions.All(d => d.What == "int8 static"), result.Summary);
        var kernels = Optimized(result.Model);
        Assert.AreEqual(15, kernels.GetValueOrDefault("QLinearConv"));
        foreach (var op in new[] { "Conv", "Clip", "Relu", "FusedConv" })
            Assert.AreEqual(0, kernels.GetValueOrDefault(op), op);
        Assert.IsGreaterThan(25, Sqnr(model, result.Model, data));
    }

    [TestMethod]
    public void Products_with_a_constant_run_on_integers_whose_range_is_found_at_run_time()
    {
        using var model = Clean("llama-aidreams/aidreams260k.onnx");
        var result = Quantize.Run(model, Plan(), Context());
        Assert.AreEqual(29, result.Decisions.Count(d => d.What == "int8 dynamic"));
        Assert.AreEqual(1, result.Decisions.Count(d => d.What == "int8 weights" && d.Op == "Gather"));
        var kernels = Optimized(result.Model);
        Assert.AreEqual(29, kernels.GetValueOrDefault("MatMulIntegerToFloat") + kernels.GetValueOrDefault("DynamicQuantizeMatMul"));
        Assert.IsGreaterThan(20, Sqnr(model, result.Model, ListDataset.Random(model, 2)));
    }

    [TestMethod]
    public void Weights_alone_are_widened_when_the_model_is_loaded_and_nothing_is_left_to_do_at_inference()
    {
        using var model = Clean("digits_mobile/digits_mobile.onnx");
        var result = Quantize.Run(model, Plan(ActivationMode.None), Context());
        Assert.IsTrue(result.Decisions.All(d => d.What == "int8 weights"));
        Assert.IsLessThan(0.35 * model.ToBytes().Length, result.Model.ToBytes().Length);
        var kernels = Optimized(result.Model);
        foreach (var op in new[] { "Cast", "Mul", "DequantizeLinear" })
            Assert.AreEqual(0, kernels.GetValueOrDefault(op), op);
        Assert.IsGreaterThan(35, Sqnr(model, result.Model, ListDataset.Random(model, 4)));
    }

    [TestMethod]
    [DataRow("gtcrn/gtcrn_simple.onnx", "GRU")]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx", "LSTM")]
    public void Recurrent_weights_are_stored_in_8_bits_also_inside_bodies(string file, string op)
    {
        using var model = Clean(file);
        var result = Quantize.Run(model, Plan(), Context());
        Assert.IsTrue(result.Decisions.Where(d => d.Op == op).All(d => d.What == "int8 weights" || d.BytesBefore < 2000), result.Summary);
        Assert.IsTrue(result.Decisions.Any(d => d.Op == op && d.What == "int8 weights"));
        Assert.IsGreaterThan(20, Sqnr(model, result.Model, ListDataset.Random(model, 2)));
    }

    [TestMethod]
    public void Half_precision_weights_are_stored_in_8_bits_and_stay_half_precision_in_the_arithmetic()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 1, 64).Node("MatMul", "x,w", "y").Output("y");
        var random = new Random(3);
        small.Graph.Initializer.Add(small.Model.CreateTensor<Half>("w", DataType.Float16, [64, 32], [.. Enumerable.Range(0, 64 * 32).Select(_ => (Half)(random.NextDouble() - 0.5))]));
        var result = Quantize.Run(small.Model, Plan(), Context(ListDataset.Random(small.Model, 2), "openvino"));
        Assert.AreEqual("int8 weights", result.Decisions.Single().What);
        StringAssert.Contains(result.Decisions.Single().Reason, "float16");
        Assert.IsGreaterThan(35, Sqnr(small.Model, result.Model, ListDataset.Random(small.Model, 2)));
    }

    [TestMethod]
    public void Without_calibration_data_a_convolution_keeps_float_arithmetic_and_says_why()
    {
        using var model = Clean("mnist/mnist.onnx");
        var result = Quantize.Run(model, Plan(), Context());
        var conv = result.Decisions.First(d => d.Op == "Conv" && d.What != "left");
        Assert.AreEqual("int8 weights", conv.What);
        StringAssert.Contains(conv.Reason, "no calibration data");
    }

    [TestMethod]
    public void An_operator_on_constants_alone_needs_no_calibrated_input()
    {
        var small = ConvChain("Relu");
        small.Graph.Initializer.Add(small.Model.CreateTensor("k", [1, 4, 6, 6], [.. Enumerable.Range(0, 144).Select(i => i / 144f)]));
        small.Node("Conv", "k,w1,b1", "fixed").Output("fixed");
        var data = ListDataset.Random(small.Model, 3);
        var result = Quantize.Run(small.Model, Plan(), Context(data));
        StringAssert.Contains(result.Decisions.Single(d => d.Name == "Conv_fixed").Reason, "constant");
        Assert.IsGreaterThan(25, Sqnr(small.Model, result.Model, data));
    }

    [TestMethod]
    [DataRow("Conv", "Conv", "16,8,1,1")]
    [DataRow("MatMul", "MatMul", "24,24")]
    [DataRow("Gemm", "MatMul", "24,24")]
    public void A_weight_that_several_nodes_read_is_stored_once(string first, string second, string dims)
    {
        long[] shape = [.. dims.Split(',').Select(long.Parse)];
        var small = (first == "Conv" ? new SmallModel().Input("x", 1, 8, 6, 6) : new SmallModel().Input("x", 4, 24)).Random("w", 1, shape)
            .Node(first, "x,w", "y").Node("Neg", "x", "n").Node(second, "n,w", "z").Output("y", "z");
        var data = ListDataset.Random(small.Model, 3);
        foreach (var activations in new[] { ActivationMode.Auto, ActivationMode.Uint8, ActivationMode.Dynamic, ActivationMode.None })
        {
            var result = Quantize.Run(small.Model, Plan(activations), Context(data));
            Assert.AreEqual(1, result.Model.Graph.Initializer.Count(i => (DataType)i.DataType == DataType.Int8 && i.Dims.Count == shape.Length), $"{activations}: {result.Summary}");
            Assert.IsGreaterThan(30, Sqnr(small.Model, result.Model, data));
        }
    }

    [TestMethod]
    public void The_last_rule_that_matches_wins()
    {
        using var model = Clean("digits_mobile/digits_mobile.onnx");
        RulePlan[] rules = [new(default, ["Conv"], null, Quantize: false), new(default, [], "/p/", Quantize: true)];
        var result = Quantize.Run(model, Plan(), Context(ListDataset.Random(model, 2)) with { Rules = rules });
        foreach (var decision in result.Decisions.Where(d => d.Op == "Conv"))
            Assert.AreEqual(decision.Name.Contains("/p/", StringComparison.Ordinal), decision.What != "left", decision.Name);
        Assert.IsTrue(result.Decisions.Where(d => d.What == "left").All(d => d.Reason.Contains("rule", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void A_value_that_is_not_finite_on_the_data_keeps_what_touches_it_in_float_arithmetic()
    {
        var small = ConvChain("Log");
        var data = new ListDataset([ListDataset.Batch("x", [1, 4, 6, 6], [.. Enumerable.Repeat(-1f, 144)])]);
        var result = Quantize.Run(small.Model, Plan(), Context(data));
        Assert.AreEqual("int8 static", result.Decisions[0].What);
        Assert.AreEqual("int8 weights", result.Decisions[1].What);
        StringAssert.Contains(result.Decisions[1].Reason, "finite");
    }

    [TestMethod]
    public void A_weight_that_is_not_finite_is_left()
    {
        var values = SmallModel.Values(1, 576);
        (values[5], values[300]) = (float.NaN, float.PositiveInfinity);
        var small = new SmallModel().Input("x", 4, 24).Floats("w", [24, 24], values).Node("MatMul", "x,w", "y").Output("y");
        var decision = Quantize.Run(small.Model, Plan(), Context()).Decisions.Single();
        Assert.AreEqual("left", decision.What);
        StringAssert.Contains(decision.Reason, "not finite");
    }

    [TestMethod]
    public void An_infinite_constant_between_convolutions_stays_in_float()
    {
        var small = new SmallModel().Input("x", 1, 8, 6, 6).Random("w1", 1, 8, 8, 3, 3).Random("w2", 2, 8, 8, 3, 3)
            .Floats("mask", [1, 8, 1, 1], 0, 0, float.NegativeInfinity, 0, 0, 0, 0, 0)
            .Node("Conv", "x,w1", "a").Node("Add", "a,mask", "b").Node("Relu", "b", "c").Node("Conv", "c,w2", "y").Output("y");
        var data = ListDataset.Random(small.Model, 3);
        var result = Quantize.Run(small.Model, Plan(), Context(data));
        Assert.IsTrue(result.Decisions.All(d => d.What == "int8 static"), result.Summary);
        Assert.IsGreaterThan(30, Sqnr(small.Model, result.Model, data));
    }

    [TestMethod]
    public void The_artifact_has_the_same_bytes_for_any_number_of_threads_and_any_split_into_batches()
    {
        using var model = Clean("digits_mobile/digits_mobile.onnx");
        var data = ListDataset.Random(model, 7);
        var one = Quantize.Run(model, Plan(), Context(data)).Model.ToBytes();
        var four = Quantize.Run(model, Plan(), Context(data) with { Threads = 4 }).Model.ToBytes();
        CollectionAssert.AreEqual(one, four);
    }

    [TestMethod]
    public void Other_names_and_another_order_of_nodes_change_no_decision()
    {
        using var model = Clean("digits_mobile/digits_mobile.onnx");
        using var other = Renamed(model);
        var data = ListDataset.Random(model, 3);
        var before = Quantize.Run(model, Plan(), Context(data));
        var after = Quantize.Run(other, Plan(), Context(data));
        CollectionAssert.AreEquivalent(
            before.Decisions.Select(d => (d.Op, d.What, d.Reason, d.Sqnr, d.BytesAfter)).ToList(),
            after.Decisions.Select(d => (d.Op, d.What, d.Reason, d.Sqnr, d.BytesAfter)).ToList());
        var batch = data.Batches().First().Inputs;
        CollectionAssert.AreEqual(Run(before.Model, batch), Run(after.Model, batch));
    }

    [TestMethod]
    public void The_model_given_in_is_unchanged()
    {
        using var model = Clean("digits_mobile/digits_mobile.onnx");
        var before = model.ToBytes();
        Quantize.Run(model, Plan(), Context(ListDataset.Random(model, 1)));
        CollectionAssert.AreEqual(before, model.ToBytes());
    }

    internal static QuantizePlan Plan(ActivationMode activations = ActivationMode.Auto) => new(new SourceLocation("test")) { Activations = activations };

    /// <summary>A policy without its cost table: of models as small as these hardly any part would be faster in 8 bits.</summary>
    internal static RuntimePolicy Policy(string name = "ort-cpu") => RuntimePolicies.Get(name) with { Costs = CostTable.Empty };

    internal static PassContext Context(IDataset? data = null, string policy = "ort-cpu") => new(Policy(policy), []) { Calibration = data };

    /// <summary>Two convolutions with something between them: x [1,4,6,6] -> Conv -> <paramref name="between"/> -> Conv -> y.</summary>
    internal static SmallModel ConvChain(string between)
    {
        var random = new Random(5);
        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.3f)];
        return new SmallModel().Input("x", 1, 4, 6, 6)
            .Floats("w1", [8, 4, 3, 3], Values(288)).Floats("b1", [8], Values(8)).Floats("w2", [8, 8, 3, 3], Values(576))
            .Node("Conv", "x,w1,b1", "a").Node(between, "a", "b").Node("Conv", "b,w2", "y").Output("y");
    }

    internal static Dictionary<string, int> Optimized(OnnxModel model)
    {
        using var folder = new TemporaryFolder();
        using (new Session(model.ToBytes(), new SessionSettings { OptimizedModelPath = folder.File("optimized.onnx") }))
        {
        }

        using var optimized = OnnxModel.Load(folder.File("optimized.onnx"));
        return optimized.Graph.Node.GroupBy(n => n.OpType).ToDictionary(g => g.Key, g => g.Count());
    }

    internal static double Sqnr(OnnxModel reference, OnnxModel compressed, IDataset data)
    {
        using var original = new Session(reference.ToBytes());
        using var artifact = new Session(compressed.ToBytes());
        double signal = 0, noise = 0;
        foreach (var batch in data.Batches())
        {
            var expected = original.Run(batch.Inputs);
            var actual = artifact.Run(batch.Inputs);
            foreach (var (name, tensor) in expected.Where(e => ElementTypes.IsFloat(e.Value.Type)))
            {
                var (a, b) = (tensor.ToFloats(), actual[name].ToFloats());
                signal += a.Sum(v => (double)v * v);
                noise += a.Zip(b, (x, y) => ((double)x - y) * ((double)x - y)).Sum();
            }
        }

        return 10 * Math.Log10(signal / noise);
    }

    internal static OnnxModel Clean(string file)
    {
        using var model = OnnxModel.Load(TestData.Path(file));
        // The clone of a cleaned model lives on in memory: its payloads are not of the closed file.
        var cleaned = Cleanup.Run(model, Context()).Model;
        var path = Path.GetTempFileName();
        File.WriteAllBytes(path, cleaned.ToBytes());
        return OnnxModel.Load(path);
    }

    private static float[] Run(OnnxModel model, IReadOnlyDictionary<string, Tensor> inputs)
    {
        using var session = new Session(model.ToBytes());
        return session.Run(inputs).Values.First().ToFloats();
    }

    /// <summary>The same model with other names inside, its nodes in another topological order.</summary>
    private static OnnxModel Renamed(OnnxModel model)
    {
        var clone = OnnxModel.Load(model.SourcePath!);
        var keep = clone.Graph.Input.Select(i => i.Name).Concat(clone.Graph.Output.Select(o => o.Name)).ToHashSet();
        string Rename(string name) => name.Length == 0 || keep.Contains(name) ? name : $"zz{name.Length}_{string.Concat(name.Reverse())}";
        foreach (var node in clone.Graph.Node)
        {
            node.Name = "";
            for (var i = 0; i < node.Input.Count; i++)
                node.Input[i] = Rename(node.Input[i]);
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = Rename(node.Output[i]);
        }

        foreach (var initializer in clone.Graph.Initializer)
            initializer.Name = Rename(initializer.Name);
        clone.Graph.ValueInfo.Clear();
        var waiting = clone.Graph.Node.Reverse().ToList();
        var made = clone.Graph.Input.Select(i => i.Name).Concat(clone.Graph.Initializer.Select(i => i.Name)).Append("").ToHashSet();
        clone.Graph.Node.Clear();
        while (waiting.Count > 0)
        {
            var next = waiting.First(n => n.Input.All(made.Contains));
            waiting.RemoveAll(n => ReferenceEquals(n, next));
            made.UnionWith(next.Output);
            clone.Graph.Node.Add(next);
        }

        return clone;
    }
}
