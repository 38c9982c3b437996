using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class FakeQuantizerTests
{
    private static readonly string[] _words = ["int8", "int4", "uint4", "int3", "uint3", "int2", "uint2", "ternary", "binary", "binary2"];

    [TestMethod]
    [DataRow("MatMul")]
    [DataRow("MatMul, K 100")]
    [DataRow("MatMul, K 97")]
    [DataRow("Gemm")]
    [DataRow("Gemm, transB")]
    [DataRow("Gemm, alpha")]
    [DataRow("Conv")]
    [DataRow("Conv, grouped")]
    [DataRow("Conv, depthwise")]
    [DataRow("Conv, line")]
    public void Quantize_stores_exactly_the_trained_values(string kind)
    {
        foreach (var word in _words)
        {
            using var model = BitModels.One(kind).Model;
            Exact(model, Plan(word), QuantizeTests.Context(), $"{kind} {word}", seed: 1);
        }
    }

    [TestMethod]
    public void So_it_does_with_calibration_data_other_methods_and_other_groups()
    {
        foreach (var kind in new[] { "MatMul", "Conv" })
        {
            using var model = BitModels.One(kind).Model;
            var data = ListDataset.Random(model, 6);
            foreach (var word in new[] { "int8", "int4", "uint3", "int2", "ternary", "binary" })
            {
                Exact(model, Plan(word), QuantizeTests.Context(data), $"{kind} {word} data", seed: 2);
                if (Plan(word).Bits is not { } bits)
                    continue;
                Exact(model, Plan(word) with { Bits = bits with { Method = BitsMethod.Hqq } }, QuantizeTests.Context(), $"{kind} {word} hqq", seed: 3);
                Exact(model, Plan(word) with { Bits = bits with { Group = 0 } }, QuantizeTests.Context(), $"{kind} {word} rows", seed: 4);
                Exact(model, Plan(word) with { Bits = bits with { Group = 16 } }, QuantizeTests.Context(), $"{kind} {word} 16", seed: 5);
            }
        }
    }

    [TestMethod]
    [DataRow("MatMul", "int4")]
    [DataRow("MatMul", "int2")]
    [DataRow("Conv", "uint3")]
    public void Training_begins_with_the_weights_that_gptq_would_end_with(string kind, string word)
    {
        using var model = BitModels.One(kind).Model;
        var context = QuantizeTests.Context(ListDataset.Random(model, 6));
        float[] start(PassContext with)
        {
            var values = new float[ElementTypes.Count(model.Graph.Initializer.First(t => t.Name == "w").Dims)];
            FakeQuantizer.Of(model, Plan(word), with).Start(["w"])["w"].Write(values);
            return values;
        }

        using var stored = Quantize.Run(model, Plan(word), context).Model;
        var gptq = Decoded(stored, "x");
        CollectionAssert.AreEqual(gptq, start(context));
        CollectionAssert.AreNotEqual(gptq, start(QuantizeTests.Context()));
    }

    [TestMethod]
    public void A_rule_that_says_int8_is_trained_in_8_bits()
    {
        using var model = BitModels.One("MatMul").Model;
        var context = QuantizeTests.Context() with { Rules = [new(default, ["MatMul"], null, true) { Form = QuantizedForm.Weights }] };
        Assert.IsGreaterThan(4, Exact(model, Plan("binary"), context, "rule", seed: 6).Distinct().Count());
        context = context with { Rules = [new(default, ["MatMul"], null, false)] };
        Assert.IsEmpty(FakeQuantizer.Of(model, Plan("binary"), context).Names);
    }

    [TestMethod]
    public void Scales_are_learned_and_what_is_cut_off_rests()
    {
        using var model = BitModels.One("MatMul").Model;
        var quantizer = FakeQuantizer.Of(model, Plan("int2"), QuantizeTests.Context());
        var weight = quantizer.Start(["w"])["w"];
        var (before, after) = (new float[96 * 64], new float[96 * 64]);
        weight.Write(before);
        // Larger values are wanted, where values are large: the scales grow.
        float[] gradient = [.. before.Select(v => -v)];
        var optimizer = new AdamW(new(Decay: 0));
        for (var step = 0; step < 20; step++)
        {
            optimizer.NextStep(0.01f);
            weight.Move(optimizer, gradient);
        }

        weight.Write(after);
        for (var o = 0; o < 64; o++)
            Assert.IsGreaterThan(1.1f, Largest(after, o) / Largest(before, o));
        static float Largest(float[] values, int column) => Enumerable.Range(0, 32).Max(r => Math.Abs(values[(r * 64) + column]));
    }

    [TestMethod]
    public void Training_with_the_rounding_brings_back_what_rounding_takes()
    {
        foreach (var word in new[] { "int4", "ternary", "binary", "binary2" })
        {
            using var teacher = Network();
            var context = QuantizeTests.Context();
            var options = new TrainerOptions { Epochs = 12, Batch = 16, Rate = 0.003f, Patience = 20, Quantizer = FakeQuantizer.Of(teacher, Plan(word), context) };
            CollectionAssert.AreEqual(new[] { "w", "v" }, options.Quantizer.Names.ToArray());
            var result = new Trainer(teacher, teacher, Points.Wide(200), options).Run();
            Assert.IsLessThan(0.8 * result.Before, result.After, word);
            var stored = Quantize.Run(result.Student, Plan(word), context).Model;
            foreach (var name in new[] { "x", "h" })
                CollectionAssert.AreEqual(Weight(result.Student, name == "x" ? "w" : "v"), Decoded(stored, name), word);
            // And the bytes do not depend on threads.
            Assert.IsTrue(new Trainer(teacher, teacher, Points.Wide(200), options with { Epochs = 1, Threads = 3 }).Run().Student.ToBytes().AsSpan()
                .SequenceEqual(new Trainer(teacher, teacher, Points.Wide(200), options with { Epochs = 1, Threads = 1 }).Run().Student.ToBytes()));
        }
    }

    [TestMethod]
    public void Calibration_for_the_rounding_ends_when_it_is_told_to()
    {
        using var teacher = Network();
        using var source = new CancellationTokenSource();
        var read = 0;
        var data = new ListDataset([.. Points.Wide(400).Batches()])
        {
            Read = () =>
            {
                if (++read == 3)
                    source.Cancel();
            },
        };
        Assert.Throws<OperationCanceledException>(() => FakeQuantizer.Of(teacher, Plan("int4"), QuantizeTests.Context(data) with { Cancellation = source.Token }));
        Assert.IsLessThan(100, read);
    }

    [TestMethod]
    public void Weights_that_are_not_trained_are_what_they_will_be_stored_as()
    {
        using var teacher = Network();
        var options = new TrainerOptions { Epochs = 2, Batch = 16, Weights = ["b", "v"], Quantizer = FakeQuantizer.Of(teacher, Plan("binary"), QuantizeTests.Context()) };
        var result = new Trainer(teacher, teacher, Points.Wide(100), options).Run();
        var stored = Quantize.Run(teacher, Plan("binary"), QuantizeTests.Context()).Model;
        CollectionAssert.AreEqual(Decoded(stored, "x"), Weight(result.Student, "w"));
        CollectionAssert.AreNotEqual(Weight(teacher, "w"), Weight(result.Student, "w"));
    }

    [TestMethod]
    public void What_would_not_be_stored_as_trained_is_refused()
    {
        using var model = BitModels.One("MatMul").Model;
        foreach (var bits in new BitsPlan[] { new(4) { Average = 3.5 }, new(4) { Method = BitsMethod.Awq }, BitModels.Bits("binary3") })
        {
            var error = Assert.ThrowsExactly<ModelBuildException>(() => FakeQuantizer.Of(model, BitModels.Plan(bits), QuantizeTests.Context()));
            Assert.AreEqual(DiagnosticCodes.NotTrainedAsStored, error.First.Code);
        }
    }

    private static QuantizePlan Plan(string word) => word == "int8" ? QuantizeTests.Plan(ActivationMode.None) : BitModels.Plan(BitModels.Bits(word));

    /// <summary>Trains a weight on gradients drawn at random and looks at what the written model decodes.</summary>
    private static float[] Exact(OnnxModel model, QuantizePlan plan, PassContext context, string what, int seed)
    {
        var weight = FakeQuantizer.Of(model, plan, context).Start(["w"])["w"];
        var tensor = model.Graph.Initializer.First(t => t.Name == "w");
        var values = new float[ElementTypes.Count(tensor.Dims)];
        var optimizer = new AdamW(new());
        for (var step = 0; step < 5; step++)
        {
            optimizer.NextStep(0.02f);
            weight.Move(optimizer, SmallModel.Values(seed + step, values.Length));
        }

        weight.Write(values);
        CollectionAssert.AreNotEqual(model.ReadFloats(tensor), values, what);
        using var student = model.Clone();
        GraphEdit.ReplaceInitializer(student.Graph, student.Graph.Initializer.First(t => t.Name == "w"), student.CreateTensor("w", tensor.Dims, values));
        using var stored = Quantize.Run(student, plan, context).Model;
        Assert.IsFalse(stored.Graph.Initializer.Any(t => t.Name == "w"), what);
        var decoded = Decoded(stored, "x");
        // A Gemm that reads its weight transposed may become a product that does not.
        if (tensor.Dims.Count == 2 && model.Graph.Node[0].Int("transB") != 0 && stored.Graph.Node.Any(n => n.OpType == "MatMul"))
            decoded = [.. Enumerable.Range(0, decoded.Length).Select(i => decoded[(i % (int)tensor.Dims[1] * (int)tensor.Dims[0]) + (i / (int)tensor.Dims[1])])];
        CollectionAssert.AreEqual(values, decoded, what);
        return values;
    }

    /// <summary>The weight that the runtime computes with, of the node that reads a value.</summary>
    private static float[] Decoded(OnnxModel model, string reads)
    {
        var probe = model.Clone();
        var name = probe.Graph.Node.First(n => n.Input.Count > 1 && n.Input[0] == reads).Input[1];
        probe.Graph.Output.Add(new ValueInfoProto { Name = name });
        using var session = new Session(probe, new SessionSettings());
        var inputs = probe.Inputs.ToDictionary(i => i.Name, i => Tensor.Of<float>(DataType.Float, [.. i.Shape!.Select(d => Math.Max(d, 1))], new float[ElementTypes.Count(i.Shape!.Select(d => Math.Max(d, 1)))]));
        return session.Run(inputs)[name].ToFloats();
    }

    private static OnnxModel Network() => new SmallModel().Input("x", -1, 32)
        .Random("w", 1, 32, 64).Random("b", 2, 64).Random("v", 3, 64, 32)
        .Node("MatMul", "x,w", "a").Node("Add", "a,b", "c").Node("Tanh", "c", "h").Node("MatMul", "h,v", "y").Output("y").Model;

    private static float[] Weight(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.First(t => t.Name == name));
}
