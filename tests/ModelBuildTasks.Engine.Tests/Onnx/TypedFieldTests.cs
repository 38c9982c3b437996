using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx;

[TestClass]
public sealed class TypedFieldTests
{
    private const int FloatData = 4, Int32Data = 5, Int64Data = 7, DoubleData = 10, Uint64Data = 11, RawData = 9;

    private static readonly float[] _floats = [0, -1.5f, 3e38f, float.NegativeInfinity, 1e-40f];
    private static readonly double[] _doubles = [0, -1.5, 1e300];

    [TestMethod]
    public void Packed_and_unpacked_float_data_are_the_raw_bytes()
    {
        var raw = Bytes<float>(_floats);
        Same(DataType.Float, 5, raw, RawModel.Field(FloatData, raw));
        Same(DataType.Float, 5, raw, [.. _floats.SelectMany(f => RawModel.Fixed(FloatData, BitConverter.GetBytes(f)))]);
        Same(DataType.Float, 5, raw, [.. RawModel.Field(FloatData, raw[..8]), .. RawModel.Field(FloatData, raw[8..])]);
    }

    [TestMethod]
    public void Packed_and_unpacked_double_data_are_the_raw_bytes()
    {
        var raw = Bytes<double>(_doubles);
        Same(DataType.Double, 3, raw, RawModel.Field(DoubleData, raw));
        Same(DataType.Double, 3, raw, [.. _doubles.SelectMany(d => RawModel.Fixed(DoubleData, BitConverter.GetBytes(d)))]);
    }

    [TestMethod]
    [DataRow(DataType.Int32, Int32Data, new long[] { 0, 1, -1, int.MinValue, int.MaxValue, 300 })]
    [DataRow(DataType.Int16, Int32Data, new long[] { 0, -1, short.MinValue, short.MaxValue })]
    [DataRow(DataType.Int8, Int32Data, new long[] { 0, 1, -1, -128, 127 })]
    [DataRow(DataType.Uint16, Int32Data, new long[] { 0, 1, 65535 })]
    [DataRow(DataType.Uint8, Int32Data, new long[] { 0, 1, 255, 128 })]
    [DataRow(DataType.Bool, Int32Data, new long[] { 0, 1, 1 })]
    [DataRow(DataType.Float16, Int32Data, new long[] { 0, 0x3C00, 0xC000, 0xFFFF })]
    [DataRow(DataType.Bfloat16, Int32Data, new long[] { 0x3F80, 0xBF80 })]
    [DataRow(DataType.Int64, Int64Data, new[] { 0, -1, long.MinValue, long.MaxValue, 300 })]
    [DataRow(DataType.Uint32, Uint64Data, new long[] { 0, uint.MaxValue })]
    [DataRow(DataType.Uint64, Uint64Data, new[] { 0, -1, long.MinValue })]
    public void Integer_fields_packed_and_unpacked_are_the_raw_bytes(DataType type, int field, long[] values)
    {
        var width = ElementTypes.Bits(type) / 8;
        byte[] raw = [.. values.SelectMany(v => BitConverter.GetBytes(v)[..width])];
        Same(type, values.Length, raw, RawModel.Field(field, RawModel.Varints(values)));
        Same(type, values.Length, raw, [.. values.SelectMany(v => RawModel.Field(field, (ulong)v))]);
        Same(type, values.Length, raw, [.. RawModel.Field(field, RawModel.Varints(values[..1])), .. RawModel.Field(field, RawModel.Varints(values[1..]))]);
    }

    [TestMethod]
    public void Four_bit_values_lie_in_int32_data_one_byte_of_raw_data_a_value() =>
        Same(DataType.Int4, 3, [0x21, 0x0F], RawModel.Field(Int32Data, RawModel.Varints([0x21, 0x0F])));

    [TestMethod]
    public void A_long_tensor_of_varints_is_streamed_as_raw_data()
    {
        long[] values = [.. Enumerable.Range(0, 700_000).Select(i => (long)i * 3_000_017)];
        Same(DataType.Int64, values.Length, Bytes<long>(values), RawModel.Field(Int64Data, RawModel.Varints(values)));
    }

    [TestMethod]
    [DataRow("too few values", "MBT2002")]
    [DataRow("too many values", "MBT2002")]
    [DataRow("raw data too short", "MBT2002")]
    [DataRow("raw data too long", "MBT2002")]
    [DataRow("no data", "MBT2002")]
    [DataRow("two fields", "MBT2002")]
    [DataRow("field of another type", "MBT2002")]
    [DataRow("negative dimension", "MBT2002")]
    [DataRow("huge shape", "MBT2002")]
    [DataRow("shape of 2^63 bits", "MBT2002")]
    [DataRow("endless varint", "MBT2002")]
    public void Values_that_contradict_the_tensor_are_an_error_that_names_it(string what, string code)
    {
        var tensor = what switch
        {
            "too few values" => RawModel.Tensor(DataType.Int64, [3], RawModel.Field(Int64Data, RawModel.Varints([1, 2]))),
            "too many values" => RawModel.Tensor(DataType.Int64, [3], RawModel.Field(Int64Data, RawModel.Varints([1, 2, 3, 4]))),
            "raw data too short" => RawModel.Tensor(DataType.Float, [3], RawModel.Field(RawData, new byte[11])),
            "raw data too long" => RawModel.Tensor(DataType.Float, [3], RawModel.Field(RawData, new byte[13])),
            "no data" => RawModel.Tensor(DataType.Float, [3]),
            "two fields" => RawModel.Tensor(DataType.Float, [2], RawModel.Field(RawData, new byte[4]), RawModel.Field(FloatData, new byte[4])),
            "field of another type" => RawModel.Tensor(DataType.Float, [4], RawModel.Field(Int64Data, RawModel.Varints([1, 2, 3, 4]))),
            "negative dimension" => RawModel.Tensor(DataType.Float, [-1, 3], RawModel.Field(RawData, new byte[12])),
            "huge shape" => RawModel.Tensor(DataType.Float, [long.MaxValue, 3], RawModel.Field(RawData, new byte[12])),
            "shape of 2^63 bits" => RawModel.Tensor(DataType.Int8, [long.MaxValue / 8], RawModel.Field(RawData, new byte[12])),
            _ => RawModel.Tensor(DataType.Int64, [1], RawModel.Field(Int64Data, [0x80, 0x80, 0x80])),
        };
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Read(RawModel.WithTensor(tensor)));

        Assert.AreEqual(code, error.First.Code);
        if (what is not ("too many values" or "endless varint"))
            Assert.Contains("'t'", error.Message);
    }

    [TestMethod]
    public void A_file_cannot_name_a_payload_by_the_number_of_the_engines_own_field()
    {
        foreach (var own in new[] { RawModel.Field(500000001, 0ul), RawModel.Field(500000001, new byte[3]), RawModel.Fixed(500000001, new byte[4]), RawModel.Fixed(500000001, new byte[8]) })
            Same(DataType.Uint8, 2, [7, 8], [.. own, .. RawModel.Field(RawData, [7, 8]), .. own]);
    }

    /// <summary>The tensor reads as the raw bytes, is written as such, and ONNX Runtime reads both files alike.</summary>
    private static void Same(DataType type, int count, byte[] raw, byte[] fields)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("typed.onnx"), RawModel.WithTensor(RawModel.Tensor(type, [count], fields)));
        using var model = OnnxModel.Load(folder.File("typed.onnx"));
        Equal(raw, model.ReadBytes(model.Graph.Initializer[0]));

        File.WriteAllBytes(folder.File("expected.onnx"), RawModel.WithTensor(RawModel.Tensor(type, [count], RawModel.Field(RawData, raw))));
        model.Save(folder.File("copy.onnx"));
        using var expected = OnnxModel.Load(folder.File("expected.onnx"));
        Equal(expected.ToBytes(), File.ReadAllBytes(folder.File("copy.onnx")));
        if (type is DataType.Int4 or DataType.Bfloat16)
            return;
        using var before = new Session(folder.File("typed.onnx"));
        using var after = new Session(folder.File("copy.onnx"));
        Equal(before.Run(new Dictionary<string, Engine.Data.Tensor>())["y"].Bytes, after.Run(new Dictionary<string, Engine.Data.Tensor>())["y"].Bytes);
    }

    private static void Equal(byte[] expected, byte[] actual) =>
        Assert.IsTrue(expected.AsSpan().SequenceEqual(actual), $"{Convert.ToHexString(actual.AsSpan(0, Math.Min(64, actual.Length)))}...");

    private static byte[] Read(byte[] file)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("model.onnx"), file);
        using var model = OnnxModel.Load(folder.File("model.onnx"));
        return model.ReadBytes(model.Graph.Initializer[0]);
    }

    private static byte[] Bytes<T>(T[] values) where T : unmanaged => MemoryMarshal.AsBytes<T>(values).ToArray();
}
