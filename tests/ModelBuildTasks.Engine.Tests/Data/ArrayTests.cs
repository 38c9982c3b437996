using System.IO.Compression;
using System.Text;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class ArrayTests
{
    private static readonly ValueDescription Pair = Make.Input("x", DataType.Float, -1, 2);

    [TestMethod]
    [DataRow("<f2", "003C00C0", 1f, -2f)]
    [DataRow(">f2", "3C00C000", 1f, -2f)]
    [DataRow("<f4", "0000803F000000C0", 1f, -2f)]
    [DataRow(">f4", "3F800000C0000000", 1f, -2f)]
    [DataRow("<f8", "000000000000F03F00000000000000C0", 1f, -2f)]
    [DataRow("|i1", "01FE", 1f, -2f)]
    [DataRow("<i2", "0100FEFF", 1f, -2f)]
    [DataRow(">i4", "00000001FFFFFFFE", 1f, -2f)]
    [DataRow("<i8", "0100000000000000FEFFFFFFFFFFFFFF", 1f, -2f)]
    [DataRow("|u1", "01FE", 1f, 254f)]
    [DataRow(">u2", "000100FE", 1f, 254f)]
    [DataRow("<u4", "01000000FE000000", 1f, 254f)]
    [DataRow(">u8", "000000000000000100000000000000FE", 1f, 254f)]
    [DataRow("|b1", "0100", 1f, 0f)]
    public void Npy_arrays_of_every_number_type_and_byte_order_become_the_models_type(string descr, string hex, float first, float second)
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteNpy(folder, descr, "(1, 2)", Convert.FromHexString(hex));
        CollectionAssert.AreEqual(new[] { first, second }, Make.Floats(Make.Open(Make.Npy(path), Pair)));
    }

    [TestMethod]
    [DataRow((byte)1)]
    [DataRow((byte)2)]
    [DataRow((byte)3)]
    public void Npy_headers_of_all_versions_are_read(byte version)
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteNpy(folder, "|u1", "(2L, 2L)", [1, 2, 3, 4], version: version);
        Assert.AreEqual(2, Make.Open(Make.Npy(path), Pair).Count);
    }

    [TestMethod]
    public void Column_major_arrays_are_transposed()
    {
        using var folder = new TemporaryFolder();
        // [[[0 1 2] [3 4 5]] [[6 7 8] [9 10 11]]] with the first axis changing fastest.
        var path = Make.WriteNpy(folder, "|u1", "(2, 2, 3)", [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11], fortran: true);
        var values = Make.Floats(Make.Open(Make.Npy(path), Make.Input("x", DataType.Float, 1, 2, 3)));
        CollectionAssert.AreEqual(Enumerable.Range(0, 12).Select(i => (float)i).ToArray(), values);
    }

    [TestMethod]
    [DataRow("'descr': '|O', 'fortran_order': False, 'shape': (2,)", "Python objects")]
    [DataRow("'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)", "records")]
    [DataRow("'descr': '<c8', 'fortran_order': False, 'shape': (2,)", "element type")]
    [DataRow("'descr': '<f4', 'fortran_order': False, 'shape': (2, -2)", "tuple")]
    [DataRow("'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)", "tuple")]
    [DataRow("'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807, 9223372036854775807)", "shorter")]
    [DataRow("'descr': '<f4', 'fortran_order': False, 'shape': ()", "samples")]
    [DataRow("'descr': '<f4', 'fortran_order': False", "lacks")]
    [DataRow("'descr': '<f4', 'fortran_order': maybe, 'shape': (2,)", "fortran_order")]
    [DataRow("__import__('os')", "damaged")]
    public void An_npy_header_that_is_no_number_array_is_refused_with_the_reason(string header, string reason)
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x.npy");
        var text = Encoding.UTF8.GetBytes("{" + header + "}");
        File.WriteAllBytes(path, [0x93, .. "NUMPY"u8, 1, 0, (byte)text.Length, 0, .. text, .. new byte[16]]);
        StringAssert.Contains(Make.Fails(() => Make.Open(Make.Npy(path), Pair), DiagnosticCodes.DatasetUnreadable).Message, reason);
    }

    [TestMethod]
    public void A_file_that_is_missing_empty_short_or_a_pointer_is_one_located_error()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x.npy");
        Make.Fails(() => Make.Open(Make.Npy(path), Pair), DiagnosticCodes.DatasetUnreadable);
        Make.Fails(() => Make.Open(Make.Npy(folder.Path), Pair), DiagnosticCodes.DatasetUnreadable);
        File.WriteAllText(path, "");
        StringAssert.Contains(Make.Fails(() => Make.Open(Make.Npy(path), Pair), DiagnosticCodes.DatasetUnreadable).Message, "empty");
        File.WriteAllText(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
        StringAssert.Contains(Make.Fails(() => Make.Open(Make.Idx(path), Pair), DiagnosticCodes.DatasetUnreadable).Message, "git lfs pull");
        var cut = Make.WriteNpy(folder, "<f4", "(3, 2)", new byte[20]);
        StringAssert.Contains(Make.Fails(() => Make.Open(Make.Npy(cut), Pair), DiagnosticCodes.DatasetUnreadable).Message, "shorter");
        var none = Make.WriteNpy(folder, "<f4", "(0, 2)", []);
        Make.Fails(() => Make.Open(Make.Npy(none), Pair), DiagnosticCodes.DatasetEmpty);
        var nothing = Make.WriteNpy(folder, "<f4", "(9000000000000000000, 0)", []);
        Make.Fails(() => Make.Open(Make.Npy(nothing), Make.Input("x", DataType.Float, -1, -1)), DiagnosticCodes.DatasetEmpty);
    }

    [TestMethod]
    [DataRow(0x08, "01FE", 1f, 254f)]
    [DataRow(0x09, "01FE", 1f, -2f)]
    [DataRow(0x0B, "0001FFFE", 1f, -2f)]
    [DataRow(0x0C, "00000001FFFFFFFE", 1f, -2f)]
    [DataRow(0x0D, "3F800000C0000000", 1f, -2f)]
    [DataRow(0x0E, "3FF0000000000000C000000000000000", 1f, -2f)]
    public void Idx_files_of_every_type_are_read_plain_and_compressed(int type, string hex, float first, float second)
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = [0, 0, (byte)type, 2, 0, 0, 0, 1, 0, 0, 0, 2, .. Convert.FromHexString(hex)];
        File.WriteAllBytes(folder.File("plain"), bytes);
        WriteGzip(folder.File("packed"), bytes);
        CollectionAssert.AreEqual(new[] { first, second }, Make.Floats(Make.Open(Make.Idx(folder.File("plain")), Pair)));
        CollectionAssert.AreEqual(new[] { first, second }, Make.Floats(Make.Open(Make.Idx(folder.File("packed")), Pair)));
    }

    [TestMethod]
    public void A_compressed_idx_file_that_promises_more_than_it_holds_is_refused_without_taking_the_memory()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("bomb.gz");
        WriteGzip(path, [0, 0, 0x08, 3, 0, 0, 0xFF, 0xFF, 0, 0, 0x7F, 0xFF, 0, 0, 0, 1, 5, 5]);
        var before = GC.GetTotalAllocatedBytes();
        Make.Fails(() => Make.Open(Make.Idx(path), Pair), DiagnosticCodes.DatasetUnreadable);
        Assert.IsLessThan(10_000_000, GC.GetTotalAllocatedBytes() - before);
        WriteGzip(path, [0, 0, 0x08, 2, 0, 0, 0, 9, 0, 0, 0, 2, 5, 5]);
        Make.Fails(() => Make.Floats(Make.Open(Make.Idx(path), Pair)), DiagnosticCodes.DatasetUnreadable);
    }

    [TestMethod]
    public void Values_that_the_models_type_cannot_hold_are_named()
    {
        using var folder = new TemporaryFolder();
        var halves = Make.WriteNpy(folder, "(1, 2)", 1f, 2.5f);
        var error = Make.Fails(() => Make.Floats(Make.Open(Make.Npy(halves), Make.Input("x", DataType.Int64, -1, 2))), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(error.Message, "2.5");
        var large = Make.WriteNpy(folder, "<i8", "(1, 2)", Convert.FromHexString("0100000000000000FFFFFFFFFFFFFF7F"));
        Make.Fails(() => Make.Floats(Make.Open(Make.Npy(large), Make.Input("x", DataType.Int32, -1, 2))), DiagnosticCodes.DatasetDoesNotFit);
        var exact = Make.Open(Make.Npy(large), Make.Input("x", DataType.Uint64, -1, 2)).Batches().Single().Inputs["x"].As<ulong>();
        Assert.AreEqual((ulong)long.MaxValue, exact[1]);
        var negative = Make.WriteNpy(folder, "|i1", "(1, 2)", [1, 0xFF]);
        Make.Fails(() => Make.Floats(Make.Open(Make.Npy(negative), Make.Input("x", DataType.Uint64, -1, 2))), DiagnosticCodes.DatasetDoesNotFit);
    }

    [TestMethod]
    public void Image_options_move_and_reorder_the_channels_of_an_array()
    {
        using var folder = new TemporaryFolder();
        // Two pixels in one row, RGB.
        var path = Make.WriteNpy(folder, "(1, 1, 2, 3)", (byte)10, (byte)20, (byte)30, (byte)40, (byte)50, (byte)60);
        var options = new ImageOptions { Layout = ArrayLayout.Nhwc, Channels = Channels.Bgr, ChannelsGiven = true, Scale = 0.5, Mean = [1, 2, 3], Std = [2, 2, 4] };
        var first = Make.Floats(Make.Open(Make.Npy(path, options), Make.Input("x", DataType.Float, 1, 3, 1, 2)));
        CollectionAssert.AreEqual(new[] { 7f, 14.5f, 4f, 11.5f, 0.5f, 4.25f }, first);
        var last = Make.Floats(Make.Open(Make.Npy(path, options), Make.Input("x", DataType.Float, 1, 1, 2, 3)));
        CollectionAssert.AreEqual(new[] { 7f, 4f, 0.5f, 14.5f, 11.5f, 4.25f }, last);
        var kept = Make.Floats(Make.Open(Make.Npy(path, new ImageOptions { Layout = ArrayLayout.Nhwc }), Make.Input("x", DataType.Uint8, -1, 3, 1, 2)));
        CollectionAssert.AreEqual(new[] { 10f, 40f, 20f, 50f, 30f, 60f }, kept);
        var error = Make.Fails(() => Make.Open(Make.Npy(path), Make.Input("x", DataType.Float, 1, 3, 1, 2)), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(error.Message, "layout: NHWC");
    }

    [TestMethod]
    public void Scale_alone_applies_to_arrays_of_any_rank()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteNpy(folder, "(1, 2)", (byte)0, (byte)255);
        CollectionAssert.AreEqual(new[] { 0f, 1f }, Make.Floats(Make.Open(Make.Npy(path, new ImageOptions { Scale = 1 / 255.0 }), Pair)));
        CollectionAssert.AreEqual(new[] { -1f, 127f }, Make.Floats(Make.Open(Make.Npy(path, new ImageOptions { Mean = [1, 1], Std = [1, 2] }), Pair)));
    }

    private static void WriteGzip(string path, byte[] bytes)
    {
        using var stream = new GZipStream(File.Create(path), CompressionLevel.Optimal);
        stream.Write(bytes);
    }
}
