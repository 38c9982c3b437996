using System.IO.Compression;
using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Onnx;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Storage;

[TestClass]
public sealed class StoreTests
{
    private static readonly float[] Random = SmallModel.Values(7, 4096);

    [TestMethod]
    [DataRow("float16", 0.52)]
    [DataRow("int8", 0.30)]
    [DataRow("int8 by channel", 0.30)]
    [DataRow("palette of 2 values", 0.09)]
    [DataRow("palette of 8 values", 0.16)]
    [DataRow("palette of 40 values", 0.26)]
    [DataRow("palette of 200 values", 0.32)]
    [DataRow("sparse", 0.10)]
    [DataRow("bit mask and float32", 0.45)]
    [DataRow("bit mask and float16", 0.25)]
    public void Each_form_is_smaller_exact_and_gone_when_the_model_is_loaded(string kind, double share)
    {
        var values = Values(kind);
        var small = Model(values, [64, 64]);
        var result = Store.Run(small.Model, Plan(), Context());
        Assert.AreEqual(kind.Split(" by ")[0], result.Decisions.Single().What);
        Assert.IsLessThan(share * small.Model.ToBytes().Length, result.Model.ToBytes().Length);
        // What it says is what the file loses, or less.
        Assert.IsGreaterThanOrEqualTo(result.Decisions.Single().BytesBefore - result.Decisions.Single().BytesAfter, small.Model.ToBytes().Length - result.Model.ToBytes().Length);
        AssertSame(values, result.Model);
        var kernels = QuantizeTests.Optimized(result.Model);
        Assert.AreEqual("Add 1", string.Join(", ", kernels.Select(k => $"{k.Key} {k.Value}")));
    }

    [TestMethod]
    public void Planes_of_bytes_take_less_behind_an_encoder_and_are_exact()
    {
        // Weights of a network, and edges of the numbers that have the form.
        float[] values = [.. Random.Select(v => v * v * v * 0.1f), 0, -0f, float.MaxValue, -float.MaxValue, 1, MathF.ScaleB(1, -90), -1.9999999f];
        var small = Model(values, [values.Length]);
        var result = Store.Run(small.Model, Plan(), Context() with { Encoded = true });
        Assert.AreEqual("byte planes", result.Decisions.Single().What);
        AssertSame(values, result.Model);
        Assert.AreEqual("Add 1", string.Join(", ", QuantizeTests.Optimized(result.Model).Select(k => $"{k.Key} {k.Value}")));
    }

    [TestMethod]
    public void Whatever_is_in_a_tensor_comes_back_in_the_same_bits() =>
        Gen.Select(Gen.Int[0, 6], Gen.Int[70, 600], Gen.Int[0, 100000], Gen.Bool).Sample((kind, count, seed, encoded) =>
        {
            var random = new Random(seed);
            float Any() => kind switch
            {
                0 => BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)),
                1 => random.Next(3) == 0 ? BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)) : 0,
                2 => random.Next(4) == 0 ? (float)(Half)random.NextSingle() : random.Next(2) == 0 ? -0f : 0,
                3 => random.Next(-127, 128) * 0.037f,
                4 => (float)(Half)(random.NextSingle() - 0.5f),
                5 => random.Next(1 + seed % 60) * 0.1f,
                _ => random.NextSingle() - 0.5f,
            };
            float[] values = [.. Enumerable.Range(0, count).Select(_ => Any())];
            var small = Identity(values, [count]);
            var result = Store.Run(small.Model, Plan(), Context() with { Encoded = encoded });
            if (!encoded)
                Assert.IsLessThanOrEqualTo(small.Model.ToBytes().Length, result.Model.ToBytes().Length);
            using var session = new Session(result.Model.ToBytes());
            var back = session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [1], [1f]) })["y"];
            CollectionAssert.AreEqual(Tensor.Of<float>(DataType.Float, [count], values).Bytes, back.Bytes, result.Decisions.Single().What);
        }, iter: 120);

    [TestMethod]
    public void A_pruned_model_is_smaller_and_says_the_same_to_the_bit()
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var pruned = Prune.Run(model, new PrunePlan(new("test"), 0.7), Context()).Model;
        var result = Store.Run(pruned, Plan(), Context());
        // 30 % of the values and a bit for each.
        Assert.IsLessThan(0.45 * pruned.ToBytes().Length, result.Model.ToBytes().Length);
        AssertSame(pruned, result.Model);
        Assert.AreEqual(QuantizeTests.Optimized(pruned).Values.Sum(), QuantizeTests.Optimized(result.Model).Values.Sum());
    }

    [TestMethod]
    [DataRow("mnist/mnist.onnx", 0.96)]
    [DataRow("gtcrn/gtcrn_simple.onnx", 0.99)]
    [DataRow("yunet/yunet_s_dynamic.onnx", 0.96)]
    public void An_encoded_package_of_a_float_model_is_smaller_and_says_the_same_to_the_bit(string file, double share)
    {
        using var model = QuantizeTests.Clean(file);
        var result = Store.Run(model, Plan(), Context() with { Encoded = true, Threads = 2 });
        Assert.IsLessThan(share * Brotli(model.ToBytes()), Brotli(result.Model.ToBytes()));
        AssertSame(model, result.Model);
    }

    [TestMethod]
    [DataRow(ActivationMode.None)]
    [DataRow(ActivationMode.Uint8)]
    public void Behind_quantize_and_cluster_outputs_stay_the_same_to_the_bit_and_no_kernel_is_lost(ActivationMode mode)
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var context = Context() with { Calibration = ListDataset.Random(model, 2) };
        var quantized = Quantize.Run(model, QuantizeTests.Plan(mode), context).Model;
        var clustered = Cluster.Run(model, new ClusterPlan(new("test")), context).Model;
        foreach (var before in new[] { quantized, clustered })
        {
            foreach (var encoded in new[] { false, true })
            {
                var stored = Store.Run(before, Plan(), context with { Encoded = encoded }).Model;
                AssertSame(before, stored);
                Assert.AreEqual(Kernels(before), Kernels(stored));
                Assert.IsLessThanOrEqualTo(encoded ? Brotli(before.ToBytes()) : before.ToBytes().Length, encoded ? Brotli(stored.ToBytes()) : stored.ToBytes().Length);
                Assert.IsEmpty(Engine.Passes.Conformance.Check(stored, RuntimePolicies.Get("ort-cpu")));
            }
        }
    }

    [TestMethod]
    public void A_tolerance_lets_values_move_and_no_further()
    {
        var small = Model(Random, [64, 64]);
        var largest = Random.Max(MathF.Abs);
        foreach (var (tolerance, form) in new[] { (0.0, "left"), (0.0005, "float16"), (0.004, "int8") })
        {
            var result = Store.Run(small.Model, Plan() with { Tolerance = tolerance }, Context());
            Assert.AreEqual(form, result.Decisions.Single().What);
            var moved = Decoded(result.Model).Zip(Random, (a, b) => Math.Abs(a - b)).Max();
            Assert.IsLessThanOrEqualTo(tolerance * largest, moved);
            if (tolerance > 0)
                StringAssert.Contains(result.Decisions.Single().Reason, "values move by");
        }
    }

    [TestMethod]
    public void Zeros_alone_are_no_saving_where_the_runtime_cannot_fold()
    {
        var small = Model(Values("sparse"), [64, 64]);
        var result = Store.Run(small.Model, Plan(), QuantizeTests.Context(policy: "qnn"));
        Assert.AreEqual("left", result.Decisions.Single().What);
        Assert.AreEqual(result.Decisions.Single().BytesBefore, result.Decisions.Single().BytesAfter);
        CollectionAssert.AreEqual(small.Model.ToBytes(), result.Model.ToBytes());
    }

    [TestMethod]
    public void A_sparse_initializer_is_read_back_and_passes_after_it_leave_it()
    {
        var small = Model(Values("sparse"), [64, 64]);
        var stored = Store.Run(small.Model, Plan(), Context()).Model;
        Assert.HasCount(1, stored.Graph.SparseInitializer);
        Assert.AreEqual((int)DataType.Int16, stored.Graph.SparseInitializer[0].Indices.DataType);
        using var folder = new TemporaryFolder();
        stored.Save(folder.File("a.onnx"));
        using var back = OnnxModel.Load(folder.File("a.onnx"));
        AssertSame(small.Model, back);
        var cleaned = Cleanup.Run(back, Context()).Model;
        AssertSame(small.Model, cleaned);
        Assert.IsEmpty(Engine.Passes.Conformance.Check(back, RuntimePolicies.Get("ort-cpu")));
    }

    private static StorePlan Plan() => new(new Engine.Diagnostics.SourceLocation("test"));

    private static PassContext Context() => QuantizeTests.Context();

    private static float[] Values(string kind) => kind switch
    {
        "float16" => [.. Random.Select(v => (float)(Half)v)],
        // A code has no negative zero.
        "int8" => [.. Random.Select(v => MathF.Round(v * 127) * 0.0037f + 0f)],
        "int8 by channel" => [.. Random.Select((v, i) => MathF.Round(v * 127) * (0.001f + i / 64 * 0.00013f) + 0f)],
        "sparse" => [.. Random.Select((v, i) => i % 61 == 0 ? v : 0)],
        "bit mask and float32" => [.. Random.Select((v, i) => i % 3 == 0 ? v : 0)],
        "bit mask and float16" => [.. Random.Select((v, i) => i % 3 == 0 ? (float)(Half)v : 0)],
        // No multiples of one scale.
        _ => [.. Random.Select(v => MathF.Exp(MathF.Floor((v + 1) / 2 * (int.Parse(kind.Split(' ')[2]) - 0.001f)) / 19f))],
    };

    private static SmallModel Model(float[] values, long[] dims) => new SmallModel().Input("x", dims).Floats("w", dims, values).Node("Add", "x,w", "y").Output("y");

    private static SmallModel Identity(float[] values, long[] dims) =>
        new SmallModel().Input("x", 1).Floats("w", dims, values).Node("Identity", "w", "y").Node("Neg", "x", "z").Output("y", "z");

    /// <summary>Both as an app loads them: what is left to do at inference is packed and fused alike.</summary>
    private static void AssertSame(OnnxModel expected, OnnxModel actual)
    {
        using var reference = new Session(expected.ToBytes(), new SessionSettings(Threads: 1));
        using var session = new Session(actual.ToBytes(), new SessionSettings(Threads: 1));
        var inputs = RandomInputs.For(expected);
        var wanted = reference.Run(inputs);
        var run = session.Run(inputs);
        Assert.IsNotEmpty(wanted);
        foreach (var (name, tensor) in wanted)
            CollectionAssert.AreEqual(tensor.Bytes, run[name].Bytes, name);
    }

    private static void AssertSame(float[] values, OnnxModel model)
    {
        foreach (var optimize in new[] { true, false })
            CollectionAssert.AreEqual(values, Decoded(model, optimize), $"{optimize}");
    }

    private static float[] Decoded(OnnxModel model, bool optimize = true)
    {
        using var session = new Session(model.ToBytes(), new SessionSettings(Optimize: optimize));
        var x = RandomInputs.For(model)["x"];
        return session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, x.Shape, new float[x.Bytes.Length / 4]) })["y"].ToFloats();
    }

    private static string Kernels(OnnxModel model) => string.Join(' ', QuantizeTests.Optimized(model).OrderBy(k => k.Key).Select(k => $"{k.Key} {k.Value}"));

    private static int Brotli(byte[] bytes)
    {
        var into = new byte[BrotliEncoder.GetMaxCompressedLength(bytes.Length)];
        Assert.IsTrue(BrotliEncoder.TryCompress(bytes, into, out var written, 11, 24));
        return written;
    }
}
