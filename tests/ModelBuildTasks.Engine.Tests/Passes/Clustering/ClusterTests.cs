using System.IO.Compression;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Clustering;

[TestClass]
public sealed class ClusterTests
{
    private const string Digits = "digits_mobile/digits_mobile.onnx";

    [TestMethod]
    [DataRow(4, 0.35)]
    [DataRow(6, 0.5)]
    [DataRow(8, 0.65)]
    public void Palettes_are_looked_up_when_the_model_is_loaded_and_nothing_is_left_to_do_at_inference(int bits, double share)
    {
        using var model = QuantizeTests.Clean(Digits);
        var result = Cluster.Run(model, Plan() with { Bits = bits }, Context());
        Assert.IsTrue(result.Decisions.All(d => d.What == $"{bits}-bit palette" || d.What == "left"), result.Summary);
        Assert.IsGreaterThan(10, result.Decisions.Count(d => d.What != "left"));
        Assert.IsLessThan(share * model.ToBytes().Length, result.Model.ToBytes().Length);
        var kernels = QuantizeTests.Optimized(result.Model);
        foreach (var op in new[] { "Cast", "Gather", "BitShift", "Mul" })
            Assert.AreEqual(0, kernels.GetValueOrDefault(op), op);
    }

    [TestMethod]
    [DataRow(2, 0)]
    [DataRow(3, 0)]
    [DataRow(5, 0)]
    [DataRow(7, 0)]
    [DataRow(4, 4)]
    [DataRow(3, 5)]
    public void A_weight_has_at_most_as_many_values_as_the_palette_and_comes_back_in_any_width(int bits, int channels)
    {
        // 7 · 333 codes fill no whole bytes; 7 channels have no divisor but 7, and of 12 the one nearest to 5 is 6.
        foreach (var outputs in new[] { 12, 7 })
        {
            var small = new SmallModel().Input("x", 1, 333).Random("w", 3, 333, outputs).Node("MatMul", "x,w", "y").Output("y");
            var result = Cluster.Run(small.Model, Plan() with { Bits = bits, Channels = channels }, Context());
            Assert.AreEqual($"{bits}-bit palette", result.Decisions.Single().What);
            foreach (var optimize in new[] { true, false })
            {
                var decoded = Decoded(result.Model, 333, outputs, optimize);
                var group = channels == 0 || outputs == 7 ? outputs : channels == 4 ? 4 : 6;
                for (var g = 0; g < outputs / group; g++)
                {
                    var values = decoded.Where((_, i) => i % outputs / group == g).ToList();
                    Assert.IsLessThanOrEqualTo(1 << bits, values.Distinct().Count());
                    Assert.IsGreaterThan(1 << (bits - 1), values.Distinct().Count());
                }

                Assert.IsGreaterThan(6 * bits - 4, Sqnr(SmallModel.Values(3, 333 * outputs), decoded));
            }
        }
    }

    [TestMethod]
    public void Palettes_of_groups_come_nearer_than_one_of_the_tensor()
    {
        using var model = QuantizeTests.Clean(Digits);
        var data = ListDataset.Random(model, 4);
        var one = Cluster.Run(model, Plan() with { Bits = 3 }, Context());
        var many = Cluster.Run(model, Plan() with { Bits = 3, Channels = 8 }, Context());
        Assert.IsGreaterThan(QuantizeTests.Sqnr(model, one.Model, data) + 1, QuantizeTests.Sqnr(model, many.Model, data));
    }

    [TestMethod]
    public void Codes_chosen_by_what_the_weights_are_multiplied_with_change_outputs_less_on_other_data()
    {
        using var model = QuantizeTests.Clean("llama-aidreams/aidreams260k.onnx");
        var (seen, others) = Tokens();
        var blind = Cluster.Run(model, Plan() with { Bits = 4 }, Context());
        var gram = Cluster.Run(model, Plan() with { Bits = 4 }, Context(seen));
        Assert.IsGreaterThan(QuantizeTests.Sqnr(model, blind.Model, others) + 1, QuantizeTests.Sqnr(model, gram.Model, others));
    }

    [TestMethod]
    [DataRow(3.0)]
    [DataRow(5.0)]
    public void A_number_of_bits_behind_an_entropy_coder_is_kept_and_used_up(double bits)
    {
        using var model = QuantizeTests.Clean("llama-aidreams/aidreams260k.onnx");
        var result = Cluster.Run(model, Plan() with { Entropy = bits }, Context(Tokens().Seen));
        var codes = result.Model.Graph.Initializer.Where(t => (DataType)t.DataType == DataType.Int8).Select(result.Model.ReadBytes).ToList();
        Assert.IsNotEmpty(codes);
        var spent = codes.Sum(c => Entropy(c) * c.Length) / codes.Sum(c => (double)c.Length);
        Assert.AreEqual(bits, spent, 0.03);
        Assert.IsLessThanOrEqualTo(bits + 1e-9, spent);
        // The head is the embedding turned around: its codes are there once.
        Assert.IsLessThan(262_000, codes.Sum(c => (long)c.Length));
        // What brotli makes of the codes.
        Assert.AreEqual(bits, codes.Sum(c => 8.0 * Brotli(c)) / codes.Sum(c => (double)c.Length), 0.12 * bits);
    }

    [TestMethod]
    public void Evenly_spaced_values_are_better_than_palettes_for_the_same_bytes_of_an_encoded_package()
    {
        using var model = QuantizeTests.Clean("llama-aidreams/aidreams260k.onnx");
        var (seen, others) = Tokens();
        var palette = Cluster.Run(model, Plan() with { Bits = 4 }, Context(seen) with { Encoded = true }).Model;
        var stepped = Cluster.Run(model, Plan() with { Entropy = 3.75 }, Context(seen) with { Encoded = true }).Model;
        Assert.IsLessThan(Brotli(palette.ToBytes()), Brotli(stepped.ToBytes()));
        Assert.IsGreaterThan(QuantizeTests.Sqnr(model, palette, others) + 0.3, QuantizeTests.Sqnr(model, stepped, others));
    }

    [TestMethod]
    public void What_pruning_made_zero_stays_zero()
    {
        using var model = QuantizeTests.Clean(Digits);
        var pruned = Prune.Run(model, new PrunePlan(new("test"), 0.5), Context()).Model;
        foreach (var data in new[] { null, ListDataset.Random(model, 2) })
        {
            foreach (var plan in new[] { Plan() with { Bits = 3 }, Plan() with { Bits = 3, Channels = 4 }, Plan() with { Entropy = 4 } })
            {
                var clustered = Cluster.Run(pruned, plan, Context(data)).Model;
                var (before, after) = (Weights(pruned), Weights(clustered));
                foreach (var (name, values) in before)
                    Assert.IsTrue(values.Zip(after[name]).All(p => p.First != 0 || p.Second == 0), name);
            }
        }
    }

    [TestMethod]
    public void The_result_does_not_depend_on_threads()
    {
        using var model = QuantizeTests.Clean(Digits);
        var data = ListDataset.Random(model, 3);
        foreach (var plan in new[] { Plan() with { Bits = 5 }, Plan() with { Entropy = 4 } })
        {
            var one = Cluster.Run(model, plan, Context(data)).Model.ToBytes();
            CollectionAssert.AreEqual(one, Cluster.Run(model, plan, Context(data) with { Threads = 5 }).Model.ToBytes());
        }
    }

    [TestMethod]
    public void Float16_weights_stay_float16_where_they_are_read()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 1, 64).Output("y", DataType.Float16).Node("MatMul", "x,w", "y");
        small.Graph.Initializer.Add(small.Model.CreateTensor<Half>("w", DataType.Float16, [64, 48], [.. SmallModel.Values(1, 64 * 48).Select(v => (Half)v)]));
        foreach (var plan in new[] { Plan() with { Bits = 4 }, Plan() with { Entropy = 4 } })
        {
            var result = Cluster.Run(small.Model, plan, Context());
            Assert.AreNotEqual("left", result.Decisions.Single().What);
            Assert.IsLessThan(0.6 * small.Model.ToBytes().Length, result.Model.ToBytes().Length);
            Assert.IsLessThan(0.2, Outputs.Difference(small.Model, result.Model));
        }
    }

    [TestMethod]
    public void A_rule_leaves_a_node_in_float()
    {
        using var model = QuantizeTests.Clean(Digits);
        var rule = new RulePlan(new("test"), ["Conv"], null, false);
        var result = Cluster.Run(model, Plan(), Context() with { Rules = [rule] });
        Assert.IsTrue(result.Decisions.Where(d => d.Op == "Conv").All(d => d.What == "left" && d.Reason == "a rule leaves it in float"));
    }

    [TestMethod]
    public void A_runtime_that_does_not_fold_constants_gets_no_palettes()
    {
        using var model = QuantizeTests.Clean(Digits);
        var e = Assert.ThrowsExactly<ModelBuildException>(() => Cluster.Run(model, Plan(), QuantizeTests.Context(policy: "qnn")));
        Assert.AreEqual(DiagnosticCodes.NoFolding, e.First.Code);
    }

    private static ClusterPlan Plan() => new(new SourceLocation("test"));

    private static PassContext Context(IDataset? data = null) => QuantizeTests.Context(data);

    private static (IDataset Seen, IDataset Others) Tokens()
    {
        var bytes = File.ReadAllBytes(TestData.Path("llama-aidreams/tokens_i64_128x128.npy"));
        var tokens = MemoryMarshal.Cast<byte, long>(bytes.AsSpan(bytes.Length - 128 * 128 * 8)).ToArray();
        List<Batch> rows = [.. Enumerable.Range(0, 24).Select(r => new Batch(new Dictionary<string, Tensor> { ["input_ids"] = Tensor.Of<long>(DataType.Int64, [1, 128], tokens.AsSpan(r * 128, 128)) }, null, 1))];
        return (new ListDataset(rows[..16]), new ListDataset(rows[16..]));
    }

    /// <summary>The weight of a MatMul, as the session has it.</summary>
    private static float[] Decoded(OnnxModel model, int rows, int columns, bool optimize)
    {
        using var session = new Session(model.ToBytes(), new SessionSettings(Optimize: optimize));
        var result = new float[rows * columns];
        for (var r = 0; r < rows; r++)
        {
            var unit = new float[rows];
            unit[r] = 1;
            session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [1, rows], unit) })["y"].ToFloats().CopyTo(result, r * columns);
        }

        return result;
    }

    /// <summary>The weights of the Conv and Gemm nodes, as the session computes them.</summary>
    private static Dictionary<string, float[]> Weights(OnnxModel model)
    {
        var clone = model.Clone();
        var names = clone.Graph.Node.Where(n => n.OpType is "Conv" or "Gemm").Select(n => n.Input[1]).Distinct().ToList();
        clone.Graph.Node.Add(names.Select(n => GraphExtensions.Node("Identity", [n], [$"read {n}"])));
        clone.Graph.Output.Add(names.Select(n => new ValueInfoProto { Name = $"read {n}" }));
        using var session = new Session(clone.ToBytes());
        var run = session.Run(ListDataset.Random(model, 1).Batches().First().Inputs);
        return names.ToDictionary(n => n, n => run[$"read {n}"].ToFloats());
    }

    private static double Sqnr(float[] values, float[] decoded) =>
        10 * Math.Log10(values.Sum(v => (double)v * v) / values.Zip(decoded, (v, d) => ((double)v - d) * ((double)v - d)).Sum());

    private static double Entropy(byte[] codes) =>
        codes.GroupBy(c => c).Sum(g => -(double)g.Count() / codes.Length * Math.Log2((double)g.Count() / codes.Length));

    private static int Brotli(byte[] bytes)
    {
        var into = new byte[BrotliEncoder.GetMaxCompressedLength(bytes.Length)];
        Assert.IsTrue(BrotliEncoder.TryCompress(bytes, into, out var written, 11, 24));
        return written;
    }
}
