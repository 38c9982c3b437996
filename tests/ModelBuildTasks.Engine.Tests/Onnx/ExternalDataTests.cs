using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx;

[TestClass]
public sealed class ExternalDataTests
{
    [TestMethod]
    [DynamicData(nameof(RealModels.Rows), typeof(RealModels))]
    public void A_model_written_with_a_data_file_beside_it_reads_and_runs_as_before(string file)
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(RealModels.Path(file));
        ModelWriter.Save(model, folder.File("out.onnx"), inlineLimit: 0);
        using var copy = OnnxModel.Load(folder.File("out.onnx"));

        var before = TensorWalk.All(model.Proto).ToList();
        var after = TensorWalk.All(copy.Proto).ToList();
        Assert.HasCount(before.Count, after);
        for (var i = 0; i < before.Count; i++)
            Assert.IsTrue(model.ReadBytes(before[i]).AsSpan().SequenceEqual(copy.ReadBytes(after[i])), before[i].Name);
        Assert.IsTrue(model.ToBytes().AsSpan().SequenceEqual(copy.ToBytes()));
        Assert.AreEqual(before.Any(t => model.ReadBytes(t).Length >= 1024), File.Exists(folder.File("out.onnx.data")));
        Assert.HasCount(File.Exists(folder.File("out.onnx.data")) ? 2 : 1, Directory.GetFiles(folder.Path), "temporary files stayed");

        var inputs = RandomInputs.For(model);
        using var first = new Session(RealModels.Path(file));
        using var second = new Session(folder.File("out.onnx"));
        var expected = first.Run(inputs);
        foreach (var (name, tensor) in second.Run(inputs))
            CollectionAssert.AreEqual(expected[name].Bytes, tensor.Bytes, name);
    }

    [TestMethod]
    public void Tensors_in_the_data_file_start_at_page_boundaries_and_shared_payloads_are_written_once()
    {
        using var folder = new TemporaryFolder();
        using var model = new SmallModel().Input("x", 512).Floats("a", [512], new float[512]).Floats("c", [400], new float[400])
            .Node("Add", "x,a", "p").Node("Mul", "p,b", "y").Output("y").Model;
        var shared = model.Graph.Initializer[0].Clone();
        shared.Name = "b";
        model.Graph.Initializer.Add(shared);
        ModelWriter.Save(model, folder.File("m.onnx"), inlineLimit: 0);

        Assert.AreEqual(4096 + 1600, new FileInfo(folder.File("m.onnx.data")).Length);
        using var session = new Session(folder.File("m.onnx"));
    }

    [TestMethod]
    public void Tensors_may_lie_in_several_files_and_folders_at_any_offset_with_and_without_a_length()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("shards"));
        File.WriteAllBytes(folder.File("one.bin"), [9, 9, 1, 2, 3, 4, 9]);
        File.WriteAllBytes(folder.File("shards/two.bin"), [5, 6]);
        using var model = Load(folder,
            External("one.bin", [4], ("offset", "2"), ("length", "4")), External("shards/two.bin", [2]), External("./one.bin", [1], ("offset", "6")), External("one.bin", [0]));

        CollectionAssert.AreEqual(new byte[] { 1, 2, 3, 4 }, model.ReadBytes(model.Graph.Initializer[0]));
        CollectionAssert.AreEqual(new byte[] { 5, 6 }, model.ReadBytes(model.Graph.Initializer[1]));
        CollectionAssert.AreEqual(new byte[] { 9 }, model.ReadBytes(model.Graph.Initializer[2]));
        CollectionAssert.AreEqual(Array.Empty<byte>(), model.ReadBytes(model.Graph.Initializer[3]));
    }

    [TestMethod]
    public void A_model_that_is_written_over_itself_keeps_its_weights()
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(TestData.Path("mnist/mnist.onnx"));
        ModelWriter.Save(model, folder.File("m.onnx"), inlineLimit: 0);
        using (var again = OnnxModel.Load(folder.File("m.onnx")))
            ModelWriter.Save(again, folder.File("m.onnx"), inlineLimit: 0);
        using var copy = OnnxModel.Load(folder.File("m.onnx"));

        Assert.IsTrue(model.ToBytes().AsSpan().SequenceEqual(copy.ToBytes()));
    }

    [TestMethod]
    [DataRow("../secret.bin")]
    [DataRow("../../../../../../etc/passwd")]
    [DataRow("sub/../../secret.bin")]
    [DataRow("..\\secret.bin")]
    [DataRow("/etc/passwd")]
    [DataRow("C:\\Windows\\win.ini")]
    [DataRow("file:///etc/passwd")]
    [DataRow("link.bin")]
    [DataRow("linked/secret.bin")]
    [DataRow("loop.bin")]
    [DataRow("missing.bin")]
    [DataRow("sub")]
    [DataRow(".")]
    [DataRow("")]
    [DataRow("a\0b")]
    public void Data_outside_the_models_folder_or_not_there_is_refused(string location)
    {
        using var outer = new TemporaryFolder();
        File.WriteAllBytes(outer.File("secret.bin"), [1, 2, 3, 4]);
        var inside = Directory.CreateDirectory(outer.File("model")).FullName;
        Directory.CreateDirectory(Path.Combine(inside, "sub"));
        File.CreateSymbolicLink(Path.Combine(inside, "link.bin"), outer.File("secret.bin"));
        File.CreateSymbolicLink(Path.Combine(inside, "loop.bin"), Path.Combine(inside, "loop.bin"));
        Directory.CreateSymbolicLink(Path.Combine(inside, "linked"), outer.Path);
        Write(Path.Combine(inside, "model.onnx"), External(location, [4]));

        var error = Assert.ThrowsExactly<ModelBuildException>(() => OnnxModel.Load(Path.Combine(inside, "model.onnx")));
        Assert.AreEqual("MBT2003", error.First.Code);
        Assert.Contains("'t0'", error.Message);
    }

    [TestMethod]
    [DataRow("offset", "5")]
    [DataRow("offset", "-1")]
    [DataRow("offset", "99999999999999999999")]
    [DataRow("offset", "9223372036854775807")]
    [DataRow("offset", "x")]
    [DataRow("length", "3")]
    [DataRow("length", "5")]
    [DataRow("length", "-4")]
    public void An_impossible_place_in_a_data_file_is_refused(string key, string value)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("data.bin"), new byte[8]);

        Assert.AreEqual("MBT2003", Assert.ThrowsExactly<ModelBuildException>(() => Load(folder, External("data.bin", [4], (key, value)))).First.Code);
    }

    [TestMethod]
    [DataRow(0, 4, 2, 4)]
    [DataRow(2, 4, 0, 4)]
    [DataRow(0, 8, 2, 4)]
    [DataRow(0, 4, 0, 3)]
    [DataRow(0, 4, 3, 5)]
    public void Tensors_that_overlap_without_being_the_same_are_refused(int offset, int length, int otherOffset, int otherLength)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("data.bin"), new byte[8]);
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Load(folder, At(offset, length), At(otherOffset, otherLength))).First;

        Assert.AreEqual("MBT2003", error.Code);
        Assert.Contains("'t0'", error.Message);
        Assert.Contains("'t1'", error.Message);
        Assert.Contains("'data.bin'", error.Message);
    }

    [TestMethod]
    public void Tensors_at_the_same_place_share_one_payload_and_neighbours_do_not()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("data.bin"), new byte[8]);
        File.CreateSymbolicLink(folder.File("link.bin"), folder.File("data.bin"));
        using var model = Load(folder, At(0, 4), At(0, 4), At(4, 4), At(4, 0), At(2, 0), External("link.bin", [4], ("offset", "0")));

        var keys = model.Graph.Initializer.Select(t => t.PayloadRef).ToList();
        Assert.AreEqual(keys[0], keys[1]);
        Assert.AreEqual(keys[0], keys[5], "a link is the file that it leads to");
        Assert.AreNotEqual(keys[0], keys[2]);
    }

    [TestMethod]
    public void Tied_weights_of_a_data_file_are_written_once()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("data.bin"), new byte[5000]);
        using var model = Load(folder, At(0, 5000), At(0, 5000));
        ModelWriter.Save(model, folder.File("out.onnx"), inlineLimit: 0);

        Assert.AreEqual(5000, new FileInfo(folder.File("out.onnx.data")).Length);
        using var copy = OnnxModel.Load(folder.File("out.onnx"));
        Assert.AreEqual(copy.Graph.Initializer[0].PayloadRef, copy.Graph.Initializer[1].PayloadRef);
    }

    [TestMethod]
    public void A_data_file_that_is_cut_short_is_refused_with_its_length()
    {
        using var folder = new TemporaryFolder();
        using (var model = OnnxModel.Load(TestData.Path("mnist/mnist.onnx")))
            ModelWriter.Save(model, folder.File("m.onnx"), inlineLimit: 0);
        var whole = File.ReadAllBytes(folder.File("m.onnx.data"));
        foreach (var length in new[] { 0, 1, whole.Length / 2, whole.Length - 1 })
        {
            File.WriteAllBytes(folder.File("m.onnx.data"), whole[..length]);
            var error = Assert.ThrowsExactly<ModelBuildException>(() => OnnxModel.Load(folder.File("m.onnx"))).First;
            Assert.AreEqual("MBT2003", error.Code);
            Assert.Contains($"has only {length:N0}", error.Message);
        }
    }

    [TestMethod]
    [OSCondition(OperatingSystems.Linux)]
    [DataRow("m.onnx.tmp")]
    [DataRow("m.onnx.data.tmp")]
    public void A_disk_that_is_full_while_a_file_is_written_is_one_error_and_leaves_what_was_there(string written)
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(TestData.Path("mnist/mnist.onnx"));
        ModelWriter.Save(model, folder.File("m.onnx"), inlineLimit: 0);
        var before = (File.ReadAllBytes(folder.File("m.onnx")), File.ReadAllBytes(folder.File("m.onnx.data")));

        // Every write to this device ends in ENOSPC.
        File.CreateSymbolicLink(folder.File(written), "/dev/full");
        using var other = OnnxModel.Load(TestData.Path("digits_mobile/digits_mobile.onnx"));
        var error = Assert.ThrowsExactly<ModelBuildException>(() => ModelWriter.Save(other, folder.File("m.onnx"), inlineLimit: 0)).First;

        Assert.AreEqual("MBT2007", error.Code);
        Assert.Contains("No space left", error.Message);
        CollectionAssert.AreEqual(before.Item1, File.ReadAllBytes(folder.File("m.onnx")));
        CollectionAssert.AreEqual(before.Item2, File.ReadAllBytes(folder.File("m.onnx.data")), "the data file belongs to the model that is still there");
        Assert.HasCount(2, Directory.GetFiles(folder.Path), "temporary files stayed");
    }

    [TestMethod]
    public void A_link_inside_the_models_folder_is_followed()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("real.bin"), [1, 2]);
        File.CreateSymbolicLink(folder.File("link.bin"), folder.File("real.bin"));
        using var model = Load(folder, External("link.bin", [2]));

        CollectionAssert.AreEqual(new byte[] { 1, 2 }, model.ReadBytes(model.Graph.Initializer[0]));
    }

    private static TensorProto External(string location, long[] dims, params (string Key, string Value)[] entries)
    {
        var tensor = new TensorProto { DataType = (int)DataType.Uint8, DataLocation = TensorProto.Types.DataLocation.External };
        tensor.Dims.AddRange(dims);
        foreach (var (key, value) in entries.Prepend(("location", location)))
            tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
        return tensor;
    }

    private static TensorProto At(int offset, int length) => External("data.bin", [length], ("offset", $"{offset}"), ("length", $"{length}"));

    private static OnnxModel Load(TemporaryFolder folder, params TensorProto[] tensors)
    {
        Write(folder.File("model.onnx"), tensors);
        return OnnxModel.Load(folder.File("model.onnx"));
    }

    private static void Write(string path, params TensorProto[] tensors)
    {
        var small = new SmallModel().Input("x", 1).Node("Relu", "x", "y").Output("y");
        for (var i = 0; i < tensors.Length; i++)
        {
            tensors[i].Name = $"t{i}";
            small.Graph.Initializer.Add(tensors[i]);
        }

        using var model = small.Model;
        model.Save(path);
    }
}
