using System.Diagnostics;
using System.Text;
using CsCheck;
using Google.Protobuf;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests.Onnx;

[TestClass]
public sealed class DamagedFileTests : IDisposable
{
    private static readonly byte[] _iris = File.ReadAllBytes(TestData.Path("iris/iris_network.onnx"));
    private static readonly byte[] _bodies = BodiesAndAttributes();

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [TestMethod]
    [DataRow("", "the file is empty")]
    [DataRow("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer")]
    [DataRow("# A readme\nnot a model\n", "text file that begins with '# A readme")]
    [DataRow("<!DOCTYPE html><html>404</html>", "text file that begins with '<!DOCTYPE html>")]
    public void A_file_that_is_something_else_is_refused_by_what_it_is(string content, string message)
    {
        var error = Refused(Encoding.UTF8.GetBytes(content));

        Assert.AreEqual("MBT2001", error.First.Code);
        Assert.Contains(message, error.Message);
    }

    [TestMethod]
    public void A_graph_without_outputs_is_refused()
    {
        var error = Refused(new SmallModel().Input("x", 1).Node("Relu", "x", "y").Model.ToBytes());

        Assert.AreEqual("MBT2001", error.First.Code);
        Assert.Contains("no outputs", error.Message);
    }

    [TestMethod]
    public void A_missing_file_and_a_folder_are_refused()
    {
        Assert.AreEqual("MBT1009", Assert.ThrowsExactly<ModelBuildException>(() => OnnxModel.Load(_folder.File("none.onnx"))).First.Code);
        Assert.AreEqual("MBT1009", Assert.ThrowsExactly<ModelBuildException>(() => OnnxModel.Load(_folder.Path)).First.Code);
    }

    [TestMethod]
    public void A_model_cut_off_anywhere_is_refused_or_lacks_only_trailing_fields()
    {
        int graphEnd;
        using (var whole = OnnxModel.Load(TestData.Path("iris/iris_network.onnx")))
            graphEnd = _iris.Length - whole.Proto.OpsetImport.Sum(o => o.CalculateSize() + 2);

        // Every place where the graph is dense, then samples of the weights, then every place behind the graph.
        foreach (var length in Enumerable.Range(0, _iris.Length).Where(l => l < 600 || l % 37 == 0 || l > graphEnd - 100))
        {
            if (length < graphEnd)
                Assert.IsTrue(Refused(_iris[..length]).First.Code is "MBT2001" or "MBT2002", $"cut at {length}");
            else
                TryRead(_iris[..length]);
        }
    }

    [TestMethod]
    public void Bytes_that_are_changed_lost_or_doubled_end_in_a_coded_error_or_a_readable_model()
    {
        var edit = Gen.Select(Gen.Int[0, 7], Gen.Double[0, 1], Gen.Int[1, 40], Gen.Byte);
        Gen.Select(Gen.Bool.Select(b => b ? _iris : _bodies), edit.Array[1, 4])
            .Sample((bytes, edits) => { TryRead(edits.Aggregate(bytes, Edit)); }, iter: 1500, threads: 1);
    }

    [TestMethod]
    public void Any_bytes_end_in_a_coded_error_or_a_readable_model() =>
        Gen.Byte.Array[0, 200].Sample(bytes => { TryRead(bytes); }, iter: 500, threads: 1);

    [TestMethod]
    [DataRow(20, true)]
    [DataRow(2000, false)]
    public void Bodies_in_bodies_are_read_to_a_sane_depth_and_refused_beyond(int depth, bool readable)
    {
        var leaf = new GraphProto { Name = "leaf" };
        leaf.Output.Add(new ValueInfoProto { Name = "y" });
        var graph = leaf.ToByteArray();
        for (var i = 0; i < depth; i++)
        {
            // A graph with a node (1) with an attribute (5) with a graph (6).
            byte[] attribute = [.. RawModel.Field(1, "body"u8.ToArray()), .. RawModel.Field(6, graph), .. RawModel.Field(20, 5ul)];
            graph = [.. RawModel.Field(1, RawModel.Field(5, attribute)), .. RawModel.Field(12, RawModel.Field(1, "y"u8.ToArray()))];
        }

        var file = RawModel.Model(graph);
        if (!readable)
            Assert.AreEqual("MBT2001", Refused(file).First.Code);
        else
            Assert.IsTrue(TryRead(file));
    }

    [TestMethod]
    public void Types_in_types_are_refused_beyond_a_sane_depth()
    {
        var type = new TypeProto { TensorType = new() { ElemType = 1 } }.ToByteArray();
        for (var i = 0; i < 5000; i++)
            type = RawModel.Field(4, RawModel.Field(1, type));
        var input = RawModel.Field(11, [.. RawModel.Field(1, "x"u8.ToArray()), .. RawModel.Field(2, type)]);

        Assert.AreEqual("MBT2001", Refused(RawModel.Model([.. input, .. RawModel.Field(12, RawModel.Field(1, "x"u8.ToArray()))])).First.Code);
    }

    [TestMethod]
    public void A_length_beyond_the_file_takes_no_memory()
    {
        byte[] head = [.. RawModel.Varint((7 << 3) | 2), .. RawModel.Varint(ulong.MaxValue / 2)];
        var before = GC.GetAllocatedBytesForCurrentThread();
        Refused([.. head, .. _iris]);

        Assert.IsLessThan(1_000_000, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [TestMethod]
    public void A_model_without_a_graph_is_refused() =>
        Assert.AreEqual("MBT2001", Refused(new ModelProto { IrVersion = 8, ProducerName = "\u0001" }.ToByteArray()).First.Code);

    private ModelBuildException Refused(byte[] file) => Assert.ThrowsExactly<ModelBuildException>(() => Read(file));

    /// <summary>Whether the file is readable. Any other exception than a coded one, or a long time, is a failure.</summary>
    private bool TryRead(byte[] file)
    {
        var watch = Stopwatch.StartNew();
        try
        {
            Read(file);
            return true;
        }
        catch (ModelBuildException e)
        {
            Assert.IsTrue(e.First.Code is "MBT2001" or "MBT2002" or "MBT2003", e.Message);
            return false;
        }
        finally
        {
            Assert.IsLessThan(20, watch.Elapsed.TotalSeconds);
        }
    }

    /// <summary>Reads everything: what reads once must also be writable and read again.</summary>
    private void Read(byte[] file)
    {
        File.WriteAllBytes(_folder.File("model.onnx"), file);
        using var model = OnnxModel.Load(_folder.File("model.onnx"));
        foreach (var tensor in TensorWalk.All(model.Proto))
            _ = model.ReadBytes(tensor);
        model.Save(_folder.File("copy.onnx"));
        using var copy = OnnxModel.Load(_folder.File("copy.onnx"));
        Assert.AreEqual(model.Graph.Node.Count, copy.Graph.Node.Count);
        _ = new GraphIndex(model, model.Graph);
    }

    private static byte[] Edit(byte[] bytes, (int Kind, double Place, int Length, byte Value) edit)
    {
        var at = (int)(edit.Place * Math.Max(0, bytes.Length - 1));
        var length = Math.Min(edit.Length, bytes.Length - at);
        var changed = bytes.ToArray();
        switch (edit.Kind)
        {
            case 0: return bytes[..at];
            case 1: return [.. bytes[..at], .. bytes[(at + length)..]];
            case 2: return [.. bytes[..at], .. bytes[at..(at + length)], .. bytes[at..]];
            case 3: return [.. bytes[..at], edit.Value, .. bytes[at..]];
            case 4: return [.. bytes[..at], .. RawModel.Varint(ulong.MaxValue >> (edit.Value & 63)), .. bytes[at..]];
            case 5:
                changed.AsSpan(at, length).Fill(edit.Value);
                return changed;
            default:
                if (length > 0)
                    changed[at] ^= (byte)(1 << (edit.Value & 7));
                return changed;
        }
    }

    /// <summary>A model with bodies, typed fields, strings, a sparse tensor, a function and external data.</summary>
    private static byte[] BodiesAndAttributes()
    {
        var small = new SmallModel().Input("x", 2, 3).Input("c", TensorProto.Types.DataType.Bool);
        var model = small.Model;
        var body = new GraphProto { Name = "body" };
        body.Initializer.Add(model.CreateTensor("w", [3], 1, 2, 3));
        body.Node.Add(SmallModel.NodeOf("Add", "x,w", "b"));
        body.Output.Add(new ValueInfoProto { Name = "b" });
        small.Node("If", "c", "y", ("then_branch", body), ("else_branch", body.Clone())).Output("y").Ints("n", 1, -2, 3);
        small.Node("Constant", "", "k", ("value", model.CreateTensor("", [2], 4f, 5f)));
        var strings = new TensorProto { Name = "s", DataType = (int)TensorProto.Types.DataType.String };
        strings.Dims.Add(1);
        strings.StringData.Add(ByteString.CopyFromUtf8("abc"));
        model.Graph.Initializer.Add(strings);
        var sparse = new SparseTensorProto { Values = model.CreateTensor("v", [1], 2f), Indices = model.CreateTensor("", 4) };
        sparse.Dims.Add(9);
        model.Graph.SparseInitializer.Add(sparse);
        var function = new FunctionProto { Name = "f", Domain = "own" };
        function.Node.Add(SmallModel.NodeOf("Constant", "", "q", ("value", model.CreateTensor("", [1], 7f))));
        model.Proto.Functions.Add(function);
        var outside = new TensorProto { Name = "o", DataType = 1, DataLocation = TensorProto.Types.DataLocation.External };
        outside.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = "model.onnx" });
        outside.Dims.Add(2);
        model.Graph.Initializer.Add(outside);
        var typed = RawModel.Field(7, RawModel.Field(5, RawModel.Tensor(TensorProto.Types.DataType.Int64, [3], RawModel.Field(7, RawModel.Varints([1, -2, 300])))));
        using (model)
            return [.. model.ToBytes(), .. typed];
    }
}
