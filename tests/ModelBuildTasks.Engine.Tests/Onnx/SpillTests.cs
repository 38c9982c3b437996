using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx;

[TestClass]
public sealed class SpillTests
{
    [TestMethod]
    public void What_memory_has_no_room_for_is_read_back_from_a_file_that_is_gone_afterwards()
    {
        using var folder = new TemporaryFolder();
        var store = new PayloadStore { MemoryBudget = 100_000, SpillFolder = folder.Path };
        var contents = Enumerable.Range(0, 8).Select(i => Bytes(i, 30_000 + i)).ToList();
        var keys = contents.ConvertAll(c => store.Add(new ReadOnlyMemory<byte>(c)));
        Assert.IsLessThanOrEqualTo(100_000, store.HeldBytes);
        foreach (var (i, content) in contents.Index())
        {
            Assert.AreEqual(content.Length, store[keys[i]].Length);
            CollectionAssert.AreEqual(content, store[keys[i]].ToArray());
            var part = new byte[1000];
            store[keys[i]].Read(2345, part);
            CollectionAssert.AreEqual(content[2345..3345], part);
            using var copy = new MemoryStream();
            store[keys[i]].CopyTo(copy);
            CollectionAssert.AreEqual(content, copy.ToArray());
        }

        store.Dispose();
        Assert.IsEmpty(Directory.GetFileSystemEntries(folder.Path));
    }

    [TestMethod]
    public void A_model_has_the_same_bytes_whatever_of_it_was_in_memory()
    {
        using var folder = new TemporaryFolder();
        byte[] Save(long budget, string name)
        {
            var small = new SmallModel().Input("x", 1, 64);
            small.Model.Payloads.MemoryBudget = budget;
            small.Model.Payloads.SpillFolder = folder.Path;
            small.Random("a", 1, 64, 200).Random("b", 2, 200, 300).Node("MatMul", "x,a", "y").Node("MatMul", "y,b", "z").Output("z");
            small.Model.Save(folder.File(name));
            small.Model.Dispose();
            return File.ReadAllBytes(folder.File(name));
        }

        CollectionAssert.AreEqual(Save(1 << 30, "held.onnx"), Save(0, "spilled.onnx"));
        Assert.HasCount(2, Directory.GetFileSystemEntries(folder.Path));
    }

    [TestMethod]
    public void A_folder_that_takes_no_file_is_an_error_that_names_it()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("file"), "");
        var store = new PayloadStore { MemoryBudget = 0, SpillFolder = folder.File("file") };
        var error = Assert.ThrowsExactly<ModelBuildException>(() => store.Add(new ReadOnlyMemory<byte>(Bytes(1, 10_000))));
        Assert.AreEqual(DiagnosticCodes.CannotSpill, error.First.Code);
        Assert.Contains(folder.File("file"), error.First.Message);
    }

    [TestMethod]
    public void A_tensor_that_no_array_can_hold_is_an_error_that_names_it()
    {
        using var folder = new TemporaryFolder();
        // A sparse file: it takes no room.
        using (var data = File.Create(folder.File("large.data")))
            data.SetLength(3L << 30);
        var small = new SmallModel().Input("x", 1).Node("Identity", "x", "y").Output("y");
        var tensor = new TensorProto { Name = "table", DataType = (int)DataType.Uint8, DataLocation = TensorProto.Types.DataLocation.External };
        tensor.Dims.Add(3L << 30);
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = "large.data" });
        small.Graph.Initializer.Add(tensor);
        small.Model.Save(folder.File("large.onnx"));
        using var model = OnnxModel.Load(folder.File("large.onnx"));
        var error = Assert.ThrowsExactly<ModelBuildException>(() => model.ReadBytes(model.Graph.Initializer[0]));
        Assert.AreEqual(DiagnosticCodes.TensorTooLarge, error.First.Code);
        Assert.Contains("'table'", error.First.Message);
    }

    private static byte[] Bytes(int seed, int length)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
