using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;

[TestClass]
public sealed class BitFormTests
{
    private static readonly string[] Kinds =
    [
        "MatMul", "MatMul, K 100", "MatMul, K 97", "MatMul, K 512", "Gemm", "Gemm, transB", "Gemm, alpha", "Conv", "Conv, grouped", "Conv, depthwise", "Conv, line",
        "Gather", "LSTM", "Constant", "float16", "If", "tied", "tied, Gemm",
    ];

    [TestMethod]
    [DataRow("uint4")]
    [DataRow("int4")]
    [DataRow("uint3")]
    [DataRow("int3")]
    [DataRow("uint2")]
    [DataRow("int2")]
    [DataRow("ternary")]
    [DataRow("binary")]
    [DataRow("binary2")]
    [DataRow("binary3")]
    [DataRow("binary4")]
    public void What_a_file_decodes_to_in_the_runtime_is_what_its_codes_stand_for(string word)
    {
        foreach (var kind in Kinds)
        {
            foreach (var group in word == "uint2" ? new[] { 0, 16, 32, 64, 128, 256 } : [32])
            {
                using var model = Outputs.Clean(BitModels.One(kind).Model).Model;
                var bits = BitModels.Bits(word) with { Group = group };
                var result = BitModels.Run(model, bits);
                Assert.IsTrue(result.Decisions.All(d => d.What.EndsWith("weights", StringComparison.Ordinal) && !d.What.StartsWith("int8", StringComparison.Ordinal)), $"{kind}: {string.Join('\n', result.Decisions)}");
                Assert.IsLessThanOrEqualTo(Tolerance(kind), Outputs.Difference(BitModels.Substituted(model, bits), result.Model), $"{kind}, groups of {group}");
            }
        }
    }

    [TestMethod]
    [DataRow("uint4")]
    [DataRow("int4")]
    [DataRow("uint2")]
    [DataRow("int2")]
    public void Products_of_any_size_answer_as_their_codes_do(string word)
    {
        var (wrong, compared) = (new List<string>(), 0);
        foreach (var group in new[] { 32, 64, 128 })
        {
            foreach (var columns in new[] { 1, 2, 3, 4, 5, 7, 8, 10, 12, 15, 16, 17, 20, 33, 64, 100 })
            {
                foreach (var (rows, k) in new[] { (1, 256), (2, 256), (5, 100), (40, 256) })
                {
                    using var model = Outputs.Clean(new SmallModel().Input("x", rows, k).Random("w", 1, k, columns).Node("MatMul", "x,w", "y").Output("y").Model).Model;
                    var bits = BitModels.Bits(word) with { Group = group };
                    var result = BitModels.Run(model, bits);
                    if (!result.Decisions[0].What.StartsWith(word, StringComparison.Ordinal))
                        continue;
                    // Activations of a fused product have 8 bits.
                    var sqnr = QuantizeTests.Sqnr(BitModels.Substituted(model, bits), result.Model, ListDataset.Random(model, 2));
                    compared++;
                    if (!(sqnr > 30))
                        wrong.Add($"[{rows},{k}]x[{k},{columns}] in groups of {group}: {sqnr:F1} dB");
                }
            }
        }

        Assert.IsEmpty(wrong, string.Join('\n', wrong));
        Assert.IsGreaterThan(100, compared);
    }

    [TestMethod]
    [DataRow(16)]
    [DataRow(32)]
    [DataRow(64)]
    [DataRow(128)]
    [DataRow(256)]
    [DataRow(0)]
    public void Groups_of_any_length_decode_to_their_codes_also_where_they_do_not_divide_a_row(int group)
    {
        foreach (var word in new[] { "uint4", "int2", "uint3", "binary2" })
        {
            foreach (var kind in new[] { "MatMul, K 100", "MatMul, K 97", "MatMul, K 512", "Conv", "Gather" })
            {
                using var model = Outputs.Clean(BitModels.One(kind).Model).Model;
                var bits = BitModels.Bits(word) with { Group = group };
                Assert.IsLessThanOrEqualTo(Tolerance(kind), Outputs.Difference(BitModels.Substituted(model, bits), BitModels.Run(model, bits).Model), $"{word} {kind}");
            }
        }
    }

    [TestMethod]
    [DataRow("uint4", 16)]
    [DataRow("int4", 32)]
    [DataRow("uint4", 256)]
    [DataRow("uint4", 0)]
    [DataRow("uint2", 16)]
    [DataRow("int2", 32)]
    [DataRow("uint2", 128)]
    [DataRow("uint2", 256)]
    [DataRow("int3", 32)]
    [DataRow("binary", 32)]
    public void Nothing_is_left_to_decode_when_a_product_runs(string word, int group)
    {
        foreach (var kind in new[] { "MatMul", "MatMul, K 512", "MatMul, K 100", "Gemm", "Gemm, transB", "Gemm, alpha", "Conv", "LSTM", "tied", "tied, Gemm" })
        {
            using var model = Outputs.Clean(BitModels.One(kind).Model).Model;
            var result = BitModels.Run(model, BitModels.Bits(word) with { Group = group });
            var (kernels, levels) = Kernels(result.Model);
            foreach (var op in new[] { "DequantizeLinear", "BitShift", "Reshape", "Sub", "Mul", "Cast", "Transpose" })
                Assert.AreEqual(0, kernels.GetValueOrDefault(op), $"{kind}: {string.Join(' ', kernels)}");
            Assert.IsTrue(levels.All(l => l == 4), kind);
            var fused = kind.StartsWith("MatMul", StringComparison.Ordinal) && word[^1] is '4' or '2' && group is 32 or 128;
            if (fused && kind == "MatMul, K 512")
                Assert.AreEqual(1, kernels.GetValueOrDefault("MatMulNBits"), $"{kind} {word} {group}");
            // Activations of a fused product have 8 bits.
            Assert.IsGreaterThan(30, QuantizeTests.Sqnr(BitModels.Substituted(model, BitModels.Bits(word) with { Group = group }), result.Model, ListDataset.Random(model, 3)), $"{kind}");
        }
    }

    [TestMethod]
    [DataRow("uint4", "tied", 4.625)]
    [DataRow("int4", "tied, Gemm", 4.5)]
    [DataRow("uint3", "tied", 3.75)]
    [DataRow("int2", "tied, Gemm", 2.5)]
    [DataRow("binary2", "tied", 3)]
    public void A_table_that_is_also_the_head_is_stored_once(string word, string kind, double each)
    {
        using var model = Outputs.Clean(BitModels.One(kind).Model).Model;
        var result = BitModels.Run(model, BitModels.Bits(word));
        var stored = result.Model.Graph.Initializer.Where(i => i.Dims.Count > 1).Sum(result.Model.ByteLength);
        Assert.AreEqual(128 * 64 * each / 8, stored, 12);
        Assert.AreEqual(stored, result.Decisions.Sum(d => d.BytesAfter), 12);
    }

    [TestMethod]
    public void A_model_that_cannot_be_raised_gets_the_form_that_needs_no_new_types()
    {
        var small = new SmallModel(12).Input("x", 3, 96).Random("w", 1, 96, 64).Node("MatMul", "x,w", "m");
        small.Model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 });
        // An operator of another domain may mean anything at another operator set.
        small.Node("Upsample", ["m", "s"], ["u"], n => n.Set("mode", "nearest")).Output("u");
        small.Floats("s", [2], 1, 2);
        small.Model.Opset = 9;
        var result = BitModels.Run(small.Model, BitModels.Bits("uint4"));
        Assert.IsTrue(result.Decisions.Single(d => d.Op == "MatMul").What.Contains("weights", StringComparison.Ordinal), result.Summary);
        _ = QuantizeTests.Optimized(result.Model);
    }

    [TestMethod]
    public void A_runtime_without_fused_forms_gets_weights_that_are_unpacked_when_the_model_is_loaded()
    {
        using var model = Outputs.Clean(BitModels.One("tied").Model).Model;
        var result = BitModels.Run(model, BitModels.Bits("uint4"), policy: "coreml");
        Assert.AreEqual(17, result.Model.Opset);
        Assert.IsFalse(result.Model.Graph.Node.Any(n => n.OpType is "DequantizeLinear" or "GatherBlockQuantized"));
        Assert.AreEqual(0, Outputs.Difference(BitModels.Substituted(model, BitModels.Bits("uint4"), "coreml", 17), result.Model));
    }

    [TestMethod]
    public void Scales_that_float16_cannot_hold_are_stored_as_floats()
    {
        foreach (var word in new[] { "uint4", "uint3", "binary2" })
        {
            var small = new SmallModel().Input("x", 3, 96).Floats("w", [96, 64], [.. SmallModel.Values(1, 96 * 64).Select(v => v * 1e-7f)]).Node("MatMul", "x,w", "y").Output("y");
            var result = BitModels.Run(small.Model, BitModels.Bits(word));
            Assert.IsFalse(result.Model.Graph.Initializer.Any(i => (DataType)i.DataType == DataType.Float16));
            Assert.AreEqual(0, Outputs.Difference(BitModels.Substituted(small.Model, BitModels.Bits(word)), result.Model));
        }
    }

    [TestMethod]
    public void Weights_of_zeros_stay_zeros()
    {
        foreach (var word in new[] { "uint4", "int4", "uint2", "ternary", "int3", "binary" })
        {
            var small = new SmallModel().Input("x", 3, 96).Floats("w", [96, 64], new float[96 * 64]).Node("MatMul", "x,w", "y").Output("y");
            Assert.AreEqual(0, Outputs.Difference(small.Model, BitModels.Run(small.Model, BitModels.Bits(word)).Model), word);
        }
    }

    // Without the optimizer both compute the same products of the same values. Long sums are added in another order where the weight is a constant,
    // a bias that is added apart rounds otherwise, and float16 has what rounding of sums there is.
    private static double Tolerance(string kind) => kind switch { "MatMul, K 512" or "Gemm" or "Gemm, transB" or "LSTM" => 2e-6, "float16" => 1e-3, _ => 0 };

    private static (Dictionary<string, int> Kernels, List<long> Levels) Kernels(OnnxModel model)
    {
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid()}.onnx");
        try
        {
            using (new Engine.Execution.Session(model, new() { OptimizedModelPath = path }))
            {
            }

            using var optimized = OnnxModel.Load(path);
            return (optimized.Graph.Node.GroupBy(n => n.OpType).ToDictionary(g => g.Key, g => g.Count()),
                [.. optimized.Graph.Node.Where(n => n.OpType == "MatMulNBits").Select(n => n.Int("accuracy_level"))]);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
