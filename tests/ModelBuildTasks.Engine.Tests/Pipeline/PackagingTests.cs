using System.IO.Compression;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class PackagingTests
{
    private static readonly SourceLocation Package = new("compression.yaml", 8, 16);

    [TestMethod]
    public void With_brotli_both_files_are_there_and_one_decodes_to_the_other()
    {
        using var bench = Packed();
        var result = bench.Run();

        Assert.IsTrue(result.Succeeded, string.Join('\n', result.Targets[0].Diagnostics));
        CollectionAssert.AreEqual(File.ReadAllBytes(bench.Artifact), Decode(bench.Artifact + ".br"));
        var artifact = result.Report.Targets[0].Artifact!;
        Assert.AreEqual("Tiny.onnx", artifact.Path);
        Assert.AreEqual(new FileInfo(bench.Artifact).Length, artifact.Size);
        Assert.AreEqual(new FileInfo(bench.Artifact + ".br").Length, artifact.PackedSize);
        Assert.IsLessThan(artifact.Size, artifact.PackedSize);
        Assert.AreEqual(artifact.PackedSize, result.Report.Targets[0].Validation!.Metrics.Single(m => m.Name == "size").Compressed);
    }

    [TestMethod]
    [DataRow(LimitKind.Max)]
    [DataRow(LimitKind.Ratio)]
    public void Size_gates_judge_the_packed_bytes(LimitKind kind)
    {
        using var bench = Packed();
        var packed = bench.Run().Report.Targets[0].Artifact!.PackedSize;
        var original = new FileInfo(bench.ModelPath).Length;
        double Limit(long bytes) => kind == LimitKind.Max ? bytes : (double)original / bytes;

        bench.Gates(Bench.Gate(Metric.Size, kind, Limit(packed)));
        Assert.IsTrue(bench.Run().Succeeded);
        bench.Gates(Bench.Gate(Metric.Size, kind, Limit(packed - 1)));
        Assert.AreEqual("MBT3007", bench.Run().Targets[0].Diagnostics.Single().Code);
        bench.Gates(Bench.Gate(Metric.Size, kind, Limit(packed)));
        bench.Target = bench.Target with { Encoding = PackageEncoding.None };
        Assert.AreEqual("MBT3007", bench.Run().Targets[0].Diagnostics.Single().Code, "the file itself is larger");
    }

    [TestMethod]
    public void The_same_artifact_is_encoded_to_the_same_bytes_by_any_number_of_threads()
    {
        using var one = Packed();
        using var other = Packed();
        other.Change = r => r with { Threads = 7 };
        one.Run();
        other.Run();
        CollectionAssert.AreEqual(File.ReadAllBytes(one.Artifact + ".br"), File.ReadAllBytes(other.Artifact + ".br"));
    }

    [TestMethod]
    public void The_encoded_file_comes_from_the_cache_and_another_encoding_does_not()
    {
        using var bench = Packed();
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        var first = bench.Run();
        var bytes = File.ReadAllBytes(bench.Artifact + ".br");
        Directory.Delete(bench.Output, recursive: true);
        var second = bench.Run();

        Assert.IsTrue(second.Targets[0].CacheHit);
        CollectionAssert.AreEqual(bytes, File.ReadAllBytes(bench.Artifact + ".br"));
        Assert.AreEqual(first.Report.Targets[0].Artifact, second.Report.Targets[0].Artifact);

        bench.Target = bench.Target with { Encoding = PackageEncoding.None };
        var third = bench.Run();
        Assert.IsFalse(third.Targets[0].CacheHit);
        Assert.IsFalse(File.Exists(bench.Artifact + ".br"), "what an earlier artifact left goes away");
        Assert.AreEqual(third.Report.Targets[0].Artifact!.Size, third.Report.Targets[0].Artifact!.PackedSize);
    }

    [TestMethod]
    [DataRow(".br")]
    [DataRow(".data")]
    public void A_damaged_file_beside_the_artifact_is_no_entry_and_is_mended(string suffix)
    {
        using var bench = suffix == ".br" ? Packed() : Large();
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        bench.Run();
        var good = File.ReadAllBytes(bench.Artifact + suffix);
        var path = Path.Combine(Directory.GetDirectories(bench.Cache).Single(), "artifact.onnx" + suffix);
        var bytes = File.ReadAllBytes(path);
        bytes[bytes.Length / 2] ^= 0x55;
        File.WriteAllBytes(path, bytes);

        Assert.IsFalse(bench.Run().Targets[0].CacheHit);
        CollectionAssert.AreEqual(good, File.ReadAllBytes(bench.Artifact + suffix));
        Assert.IsTrue(bench.Run().Targets[0].CacheHit);
    }

    [TestMethod]
    public void The_untouched_model_that_a_gate_left_is_encoded_too()
    {
        using var bench = Packed();
        bench.Target = bench.Target with { OnFailure = OnFailure.Original };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        var result = bench.Run();

        Assert.AreEqual("original", result.Report.Targets[0].Outcome);
        CollectionAssert.AreEqual(File.ReadAllBytes(bench.ModelPath), Decode(bench.Artifact + ".br"));
    }

    [TestMethod]
    public void An_artifact_with_a_data_file_loads_counts_both_and_comes_from_the_cache()
    {
        using var bench = Large();
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        var first = bench.Run();
        Assert.IsTrue(first.Succeeded, string.Join('\n', first.Targets[0].Diagnostics));
        Assert.AreEqual(new FileInfo(bench.Artifact).Length + new FileInfo(bench.Artifact + ".data").Length, first.Report.Targets[0].Artifact!.Size);
        var data = File.ReadAllBytes(bench.Artifact + ".data");
        Directory.Delete(bench.Output, recursive: true);

        Assert.IsTrue(bench.Run().Targets[0].CacheHit);
        CollectionAssert.AreEqual(data, File.ReadAllBytes(bench.Artifact + ".data"));
        using (var session = new Session(bench.Artifact))
            Assert.HasCount(2, session.Outputs);

        // The data file's name stands in the model: an artifact of another name is another one.
        bench.Target = bench.Target with { Name = "Other" };
        Assert.IsFalse(bench.Run().Targets[0].CacheHit);
        using (var session = new Session(Path.Combine(bench.Output, "Other.onnx")))
            Assert.IsTrue(File.Exists(Path.Combine(bench.Output, "Other.onnx.data")));
    }

    [TestMethod]
    public void An_artifact_with_a_data_file_cannot_be_encoded()
    {
        using var bench = Large();
        bench.Target = bench.Target with { Encoding = PackageEncoding.Brotli, PackageLocation = Package };
        var result = bench.Run();

        StringAssert.StartsWith(result.Targets[0].Diagnostics.Single().ToString(), "compression.yaml(8,16): error MBT2031: ");
        Assert.IsFalse(File.Exists(bench.Artifact));
    }

    [TestMethod]
    public void A_model_in_shards_becomes_one_artifact()
    {
        using var bench = new Bench();
        Sharded(bench);
        var result = bench.Run();

        Assert.IsTrue(result.Succeeded, string.Join('\n', result.Targets[0].Diagnostics));
        Assert.AreEqual("compressed", result.Report.Targets[0].Outcome);
        Assert.AreEqual(
            new[] { bench.ModelPath, bench.File("shards/weights.bin"), bench.File("shards/ballast.bin") }.Sum(f => new FileInfo(f).Length),
            result.Report.Targets[0].Model.Size);
        using var model = OnnxModel.Load(bench.Artifact);
        Assert.HasCount(1, model.Payloads.Files);
    }

    [TestMethod]
    public void A_shard_that_is_missing_is_an_error_at_the_model_and_leaves_the_last_artifact()
    {
        using var bench = new Bench();
        Sharded(bench);
        bench.Run();
        var before = File.ReadAllBytes(bench.Artifact);
        File.Delete(bench.File("shards/weights.bin"));
        var line = bench.Run().Targets[0].Diagnostics.Single().ToString();

        StringAssert.StartsWith(line, "compression.yaml(4,7): error MBT2003: ");
        Assert.Contains("'shards/weights.bin'", line);
        CollectionAssert.AreEqual(before, File.ReadAllBytes(bench.Artifact));
    }

    [TestMethod]
    [DataRow(0, 10)]
    [DataRow(1000, 10)]
    [DataRow(1009, 11)]
    [DataRow((1 << 20) - 16, 20)]
    [DataRow((1 << 20) - 15, 21)]
    [DataRow(1 << 28, 24)]
    public void The_window_reaches_over_the_file_as_far_as_the_format_allows(int length, int window) =>
        Assert.AreEqual(window, BrotliFile.Window(length));

    [TestMethod]
    [DataRow(0)]
    [DataRow(1)]
    [DataRow((1 << 18) - 1)]
    [DataRow(1 << 18)]
    [DataRow((1 << 18) + 1)]
    [DataRow(3 << 18)]
    public void Files_of_any_length_come_back_as_they_were(int length)
    {
        using var folder = new TemporaryFolder();
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes.AsSpan(0, length / 2));
        File.WriteAllBytes(folder.File("a"), bytes);
        var done = 0.0;
        BrotliFile.Compress(folder.File("a"), d => done = d, CancellationToken.None);

        CollectionAssert.AreEqual(bytes, Decode(folder.File("a.br")));
        Assert.AreEqual(Hashing.ContentHash.OfFiles([folder.File("a")], CancellationToken.None), BrotliFile.HashOfContent(folder.File("a.br"), CancellationToken.None));
        Assert.AreEqual(1, done);
    }

    private static Bench Packed()
    {
        var bench = new Bench();
        bench.Target = bench.Target with { Encoding = PackageEncoding.Brotli, PackageLocation = Package };
        return bench;
    }

    /// <summary>As with a model of more than 2 GB: its artifact keeps tensors beside it.</summary>
    private static Bench Large()
    {
        var tiny = TinyModel.Create(ballast: 5000);
        tiny.Graph.Node.Add(GraphExtensions.Node("Identity", ["kept"], ["z"], "keep"));
        tiny.Graph.Output.Add(TinyModel.Value("z", 1000));
        tiny.Graph.Initializer.Add(tiny.CreateTensor("kept", [1000], new float[1000]));
        return new Bench(tiny) { InlineLimit = 0 };
    }

    private static void Sharded(Bench bench)
    {
        using var model = OnnxModel.Load(bench.ModelPath);
        using var sharded = model.Clone();
        Directory.CreateDirectory(bench.File("shards"));
        foreach (var (tensor, file) in sharded.Graph.Initializer.Zip(["shards/weights.bin", "shards/ballast.bin"]))
        {
            File.WriteAllBytes(bench.File(file), model.ReadBytes(tensor));
            tensor.ClearPayloadRef();
            tensor.DataLocation = TensorProto.Types.DataLocation.External;
            tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = file });
        }

        sharded.Save(bench.ModelPath);
    }

    private static byte[] Decode(string path)
    {
        using var stream = new BrotliStream(File.OpenRead(path), CompressionMode.Decompress);
        using var memory = new MemoryStream();
        stream.CopyTo(memory);
        return memory.ToArray();
    }
}
