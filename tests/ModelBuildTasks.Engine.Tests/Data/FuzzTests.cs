using System.Diagnostics;
using System.IO.Compression;
using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

/// <summary>Damaged files give values or a coded, located error: nothing else, and soon.</summary>
[TestClass]
public sealed class FuzzTests
{
    private static readonly ValueDescription Any = Make.Input("x", DataType.Float, -1, -1);
    private static readonly ValueDescription Photo = Make.Input("x", DataType.Float, 1, 3, 8, 8);

    [TestMethod]
    public void Damaged_npy_files()
    {
        using var folder = new TemporaryFolder();
        var bytes = File.ReadAllBytes(Make.WriteNpy(folder, "<f4", "(6, 5)", new byte[120], fortran: true));
        Sample(bytes, 400, path => Make.Open(Make.Npy(path), Any));
    }

    [TestMethod]
    public void Damaged_idx_files()
    {
        byte[] plain = [0, 0, 0x0D, 2, 0, 0, 0, 6, 0, 0, 0, 5, .. new byte[120]];
        Sample(plain, 400, path => Make.Open(Make.Idx(path), Any));
        using var packed = new MemoryStream();
        using (var stream = new GZipStream(packed, CompressionLevel.Optimal, leaveOpen: true))
            stream.Write(plain);
        Sample(packed.ToArray(), 400, path => Make.Open(Make.Idx(path), Any));
    }

    [TestMethod]
    public void Damaged_tables()
    {
        var text = "a,\"b,\"\"c\"\"\",d\r\n1,2,3\r\n4,\"5\",6\r\n7,8e1,-9.5\r\n"u8.ToArray();
        Sample(text, 400, path => Make.Open(Make.Csv(path), Any));
        Sample(text, 200, path => Make.Open(Make.Csv(path, "1", "d"), Make.Input("x", DataType.Int32, -1, 2)));
    }

    [TestMethod]
    public void Damaged_png_files()
    {
        var pixels = Enumerable.Range(0, 20 * 10 * 3).Select(i => (byte)(i * 7)).ToArray();
        Sample(PngFile.Rgb(20, 10, pixels), 300, Photos);
        // Damage behind the checksum of the packed data: rows with any filter.
        using var folder = new TemporaryFolder();
        Gen.Byte.Array[10 * 61].Sample(rows => Survives(folder, PngFile.WithData(20, 10, rows), Photos), iter: 100, threads: 1);
    }

    [TestMethod]
    public void Damaged_jpg_files()
    {
        var folder = Path.Combine(TestData.Root, "samples/PhotoClassifier/photos/test");
        var smallest = Directory.GetFiles(folder).Select(File.ReadAllBytes).MinBy(b => b.Length)!;
        Sample(smallest, 40, Photos);
    }

    private static IDataset Photos(string path) =>
        Make.Open(new ImagesSource(Make.Here, Path.GetDirectoryName(path)!, "*.jpg", new ImageOptions { ResizeExact = (8, 8) }), Photo);

    // A few bytes changed, most of them in the header, and sometimes the end cut off.
    private static void Sample(byte[] bytes, int iterations, Func<string, IDataset> open)
    {
        using var folder = new TemporaryFolder();
        var change = Gen.Select(Gen.OneOf(Gen.Int[0, Math.Min(bytes.Length, 700) - 1], Gen.Int[0, bytes.Length - 1]), Gen.Byte);
        Gen.Select(change.List[0, 4], Gen.OneOf(Gen.Const(bytes.Length), Gen.Int[0, bytes.Length])).Sample(
            (changes, length) =>
            {
                var damaged = bytes.ToArray();
                foreach (var (at, value) in changes)
                    damaged[at] = value;
                Survives(folder, damaged[..length], open);
            }, iter: iterations, threads: 1);
    }

    private static void Survives(TemporaryFolder folder, byte[] bytes, Func<string, IDataset> open)
    {
        var path = folder.File("x.jpg");
        File.WriteAllBytes(path, bytes);
        var watch = Stopwatch.StartNew();
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            var data = open(path);
            foreach (var batch in data.Batches())
                Assert.IsGreaterThan(0, batch.Inputs["x"].Bytes.Length);
            Assert.AreEqual(64, data.ContentHash.Length);
        }
        catch (ModelBuildException fault)
        {
            Assert.AreEqual(Make.Here, fault.First.Location);
            StringAssert.StartsWith(fault.First.Code, "MBT102");
        }

        Assert.IsLessThan(20, watch.Elapsed.TotalSeconds);
        Assert.IsLessThan(1L << 30, GC.GetAllocatedBytesForCurrentThread() - allocated);
    }
}
