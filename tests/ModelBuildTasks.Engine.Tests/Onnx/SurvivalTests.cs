using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests.Onnx;

[TestClass]
public sealed class SurvivalTests
{
    private const int Unknown = 777;

    [TestMethod]
    public void Fields_that_the_engine_does_not_know_survive_at_every_level()
    {
        // Each message carries one unknown field of each wire type; the tensor has one before and one behind its values.
        byte[] tensor = [.. Marks("tensor"), .. RawModel.Tensor(TensorProto.Types.DataType.Uint8, [2], RawModel.Field(9, [1, 2])), .. Marks("behind")];
        byte[] attribute = [.. RawModel.Field(1, "value"u8.ToArray()), .. RawModel.Field(5, tensor), .. RawModel.Field(20, 4ul), .. Marks("attribute")];
        byte[] node = [.. RawModel.Field(2, "y"u8.ToArray()), .. RawModel.Field(4, "Constant"u8.ToArray()), .. RawModel.Field(5, attribute), .. Marks("node")];
        byte[] graph = [.. RawModel.Field(1, node), .. RawModel.Field(12, [.. RawModel.Field(1, "y"u8.ToArray()), .. Marks("output")]), .. Marks("graph")];
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("in.onnx"), [.. RawModel.Model(graph), .. Marks("model")]);
        using (var model = OnnxModel.Load(folder.File("in.onnx")))
            model.Save(folder.File("out.onnx"));

        var written = File.ReadAllBytes(folder.File("out.onnx"));
        foreach (var level in new[] { "tensor", "behind", "attribute", "node", "output", "graph", "model" })
            Assert.AreEqual(1, Occurrences(written, RawModel.Field(Unknown, System.Text.Encoding.UTF8.GetBytes(level))), level);
        Assert.AreEqual(7, Occurrences(written, RawModel.Field(Unknown + 1, 12345ul)));
        Assert.AreEqual(7, Occurrences(written, RawModel.Fixed(Unknown + 2, [1, 2, 3, 4])));
        Assert.AreEqual(7, Occurrences(written, RawModel.Fixed(Unknown + 3, [1, 2, 3, 4, 5, 6, 7, 8])));
        using var session = new Engine.Execution.Session(folder.File("out.onnx"));
        CollectionAssert.AreEqual(new byte[] { 1, 2 }, session.Run(new Dictionary<string, Engine.Data.Tensor>())["y"].Bytes);
    }

    [TestMethod]
    public void Metadata_descriptions_and_annotations_survive_also_an_upgrade()
    {
        using var folder = new TemporaryFolder();
        var small = new SmallModel(9).Input("x", 2).Floats("w", [2], 1, 2).Node("Clip", "x", "c", ("min", 0.0)).Node("Add", "c,w", "y").Output("y");
        using var model = small.Model;
        var entry = new StringStringEntryProto { Key = "author", Value = "n\u00e4me" };
        model.Proto.MetadataProps.Add(entry);
        model.Proto.ProducerName = "maker";
        model.Proto.ModelVersion = 42;
        model.Graph.MetadataProps.Add(entry);
        model.Graph.DocString = "about the graph";
        model.Graph.Node[0].DocString = "about the node";
        model.Graph.Node[0].MetadataProps.Add(entry);
        model.Graph.Initializer[0].MetadataProps.Add(entry);
        model.Graph.Input[0].Type.TensorType.Shape.Dim[0].Denotation = "DATA_BATCH";
        var annotation = new TensorAnnotation { TensorName = "y" };
        annotation.QuantParameterTensorNames.Add(new StringStringEntryProto { Key = "SCALE_TENSOR", Value = "w" });
        model.Graph.QuantizationAnnotation.Add(annotation);
        OpsetUpgrade.Upgrade(model, 17).Model.Save(folder.File("out.onnx"));
        using var copy = OnnxModel.Load(folder.File("out.onnx"));

        Assert.AreEqual(entry, copy.Proto.MetadataProps.Single());
        Assert.AreEqual("maker", copy.Proto.ProducerName);
        Assert.AreEqual(42, copy.Proto.ModelVersion);
        Assert.AreEqual(entry, copy.Graph.MetadataProps.Single());
        Assert.AreEqual("about the graph", copy.Graph.DocString);
        Assert.AreEqual("about the node", copy.Graph.Node[0].DocString);
        Assert.AreEqual(entry, copy.Graph.Node[0].MetadataProps.Single());
        Assert.AreEqual(entry, copy.Graph.Initializer[0].MetadataProps.Single());
        Assert.AreEqual("DATA_BATCH", copy.Graph.Input[0].Type.TensorType.Shape.Dim[0].Denotation);
        Assert.AreEqual(annotation, copy.Graph.QuantizationAnnotation.Single());
    }

    [TestMethod]
    [DynamicData(nameof(RealModels.Rows), typeof(RealModels))]
    public void Writing_a_model_that_was_written_before_gives_the_same_bytes(string file)
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(RealModels.Path(file));
        model.Save(folder.File("once.onnx"));
        using var once = OnnxModel.Load(folder.File("once.onnx"));
        once.Save(folder.File("twice.onnx"));

        Assert.IsTrue(File.ReadAllBytes(folder.File("once.onnx")).AsSpan().SequenceEqual(File.ReadAllBytes(folder.File("twice.onnx"))));
        Assert.IsTrue(model.ToBytes().AsSpan().SequenceEqual(once.ToBytes()));
    }

    private static byte[] Marks(string level) =>
    [
        .. RawModel.Field(Unknown, System.Text.Encoding.UTF8.GetBytes(level)),
        .. RawModel.Field(Unknown + 1, 12345ul),
        .. RawModel.Fixed(Unknown + 2, [1, 2, 3, 4]),
        .. RawModel.Fixed(Unknown + 3, [1, 2, 3, 4, 5, 6, 7, 8]),
    ];

    private static int Occurrences(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> part)
    {
        var count = 0;
        for (int at; (at = bytes.IndexOf(part)) >= 0; bytes = bytes[(at + part.Length)..])
            count++;
        return count;
    }
}
