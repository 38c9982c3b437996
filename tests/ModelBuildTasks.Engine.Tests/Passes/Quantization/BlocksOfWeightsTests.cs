using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class BlocksOfWeightsTests
{
    // More than one block each; rows that are no multiple of a vector.
    public static IEnumerable<object[]> Shapes =>
    [
        [new long[] { 700, 333 }, 1],
        [new long[] { 333, 700 }, 0],
        [new long[] { 3, 50, 1100 }, 1],
        [new long[] { 150_001, 2 }, 0],
        [new long[] { 2, 150_001 }, 1],
        [new long[] { 400_003 }, -1],
    ];

    [TestMethod]
    [DynamicData(nameof(Shapes))]
    public void Codes_of_8_bits_found_block_by_block_are_those_of_the_whole_weight_on_any_number_of_threads(long[] dims, int axis)
    {
        var model = Weight(dims, out var tensor, out var values);
        var channels = axis < 0 ? 1 : dims[axis];
        var inner = axis < 0 ? values.Length : ElementTypes.Count(dims.Skip(axis + 1));
        var least = Enumerable.Range(0, (int)channels).Select(c => c % 7 == 0 ? 0.02f : 0).ToArray();
        var whole = AffineQuantizer.QuantizeWeight(values, axis < 0 ? 1 : ElementTypes.Count(dims.Take(axis)), channels, inner, least);
        var results = new[] { 1, 2, 5 }.Select(threads => new BlockQuantizer(model, tensor, channels, inner, threads).Quantize(least)).ToList();
        foreach (var (quantized, sqnr) in results)
        {
            CollectionAssert.AreEqual(whole.Scales, quantized.Scales);
            CollectionAssert.AreEqual(whole.Values, quantized.Values);
            Assert.AreEqual(AffineQuantizer.Sqnr(values, whole, channels, inner), sqnr, 1e-3);
            Assert.AreEqual(BitConverter.DoubleToInt64Bits(results[0].Sqnr), BitConverter.DoubleToInt64Bits(sqnr));
        }
    }

    [TestMethod]
    public void Pairs_of_neighbours_are_found_across_the_borders_of_blocks()
    {
        var small = new SmallModel();
        const int Rows = 1000, Columns = 333;
        var values = new float[Rows * Columns];
        // The first pair of the second block has its other half in the first.
        var border = (int)(FloatBlocks.BlockLength(Columns) / Columns);
        (values[(border - 1) * Columns + 5], values[border * Columns + 5]) = (3, 4);
        values[7] = 2;
        var weight = Product(small, [Rows, Columns], values);
        foreach (var threads in new[] { 1, 2 })
            CollectionAssert.AreEqual(PairSaturation.LeastScales(values, weight), PairSaturation.LeastScales(small.Model, weight, threads));
        Assert.AreEqual(7f / (PairSaturation.GreatestSum - 2), PairSaturation.LeastScales(small.Model, weight, 1)[5]);
    }

    [TestMethod]
    [DataRow(640, 333, true, 4, false, 32)]
    [DataRow(640, 334, true, 4, true, 32)]
    [DataRow(650, 333, true, 4, false, 32)]
    [DataRow(1000, 70, false, 4, false, 32)]
    [DataRow(3001, 96, false, 4, true, 32)]
    [DataRow(640, 333, true, 2, true, 64)]
    [DataRow(640, 333, true, 8, false, 128)]
    public void Codes_of_few_bits_found_block_by_block_are_those_of_the_whole_weight_on_any_number_of_threads(int first, int second, bool columnsFirst, int bits, bool symmetric, int group)
    {
        var model = Weight([first, second], out var tensor, out var values);
        var layout = columnsFirst ? new RowLayout(second, first, 1, second) : new RowLayout(first, second, second, 1);
        var grid = BitGrid.Of(bits, symmetric);
        foreach (var halves in new[] { true, false })
        {
            var whole = RoundToNearest.Quantize(values, layout, grid, group, [], halves, 1);
            var expected = columnsFirst ? PackedCodes.OfProduct(whole) : PackedCodes.OfTable(whole);
            foreach (var threads in new[] { 1, 2, 5 })
            {
                var (packed, sqnr) = new StreamedRounding(model, tensor, layout, grid, group, threads).Run(halves, (tile, into, _, _) => RoundToNearest.Best(tile, grid, [], into));
                CollectionAssert.AreEqual(expected.Scales, packed.Scales);
                CollectionAssert.AreEqual(expected.Zeros, packed.Zeros);
                CollectionAssert.AreEqual(expected.Codes, packed.Codes);
                var decoded = whole.Decode();
                Assert.AreEqual(10 * Math.Log10(values.Sum(v => (double)v * v) / values.Zip(decoded, (a, b) => ((double)a - b) * ((double)a - b)).Sum()), sqnr, 1e-3);
            }
        }
    }

    [TestMethod]
    public void Half_quadratic_codes_are_the_same_block_by_block()
    {
        var model = Weight([640, 333], out var tensor, out var values);
        var (layout, grid) = (new RowLayout(333, 640, 1, 333), BitGrid.Of(4, false));
        var whole = PackedCodes.OfProduct(HalfQuadratic.Quantize(values, layout, grid, 32, true, 1));
        var (packed, _) = new StreamedRounding(model, tensor, layout, grid, 32, 2).Run(true, (tile, into, _, _) => HalfQuadratic.Search(tile, grid, into));
        CollectionAssert.AreEqual(whole.Codes, packed.Codes);
        CollectionAssert.AreEqual(whole.Zeros, packed.Zeros);
    }

    [TestMethod]
    [DataRow(4)]
    [DataRow(2)]
    [DataRow(1)]
    public void Packed_codes_stand_in_the_file_with_the_first_in_the_low_bits(int bits)
    {
        var codes = Enumerable.Range(0, 333).Select(i => (byte)(i * 7 + i / 5)).ToArray();
        var packed = BitPacking.Pack(codes, bits);
        Assert.HasCount((333 * bits + 7) / 8, packed);
        for (var i = 0; i < codes.Length; i++)
            Assert.AreEqual(codes[i] & (1 << bits) - 1, packed[i * bits / 8] >> i * bits % 8 & (1 << bits) - 1, $"code {i}");
    }

    [TestMethod]
    public void Scales_are_rounded_to_float16_as_the_runtime_rounds_them()
    {
        var random = new Random(3);
        for (var i = 0; i < 2000; i++)
        {
            var scales = Enumerable.Range(0, 16).Select(_ => MathF.Pow(2, random.NextSingle() * 44 - 26)).ToArray();
            var rounded = new float[16];
            System.Runtime.Intrinsics.Vector512.CopyTo(RoundToNearest.Halves(System.Runtime.Intrinsics.Vector512.Create(scales)), rounded);
            CollectionAssert.AreEqual(scales.Select(s => (float)(Half)Math.Clamp(s, 6e-8f, 65504f)).ToArray(), rounded);
        }
    }

    [TestMethod]
    public void A_value_that_is_not_finite_is_found_wherever_it_is()
    {
        foreach (var odd in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            foreach (var at in new[] { 0, 15, 16, 31, 32, 39 })
            {
                var values = new float[40];
                Array.Fill(values, float.MaxValue);
                Assert.IsTrue(RoundKernels.AreFinite(values));
                values[at] = odd;
                Assert.IsFalse(RoundKernels.AreFinite(values), $"{odd} at {at}");
            }
        }
    }

    private static OnnxModel Weight(long[] dims, out TensorProto tensor, out float[] values)
    {
        var small = new SmallModel().Random("w", 5, dims);
        tensor = small.Graph.Initializer[0];
        values = small.Model.ReadFloats(tensor);
        return small.Model;
    }

    private static NodeWeight Product(SmallModel small, long[] dims, float[] values)
    {
        small.Floats("w", dims, values);
        return new(SmallModel.NodeOf("MatMul", "x,w", "y"), 1, small.Graph.Initializer[0], 1);
    }
}
