using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Pipeline;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class LargeModelTests
{
    private const int Inputs = 1024;
    private const int Outputs = 3072;
    private const int Layers = 6;

    [TestMethod]
    [DataRow("int4", 0.36)]
    [DataRow("int8-weights", 0.36)]
    [DataRow("float16", 0.02)]
    public void A_pass_allocates_little_more_than_it_stores_and_holds_no_more_than_its_budget(string recipe, double most)
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(Sparse(folder));
        var context = new PassContext(RuntimePolicies.Get("ort-cpu"), []) { Threads = 1 };
        // What runs once, and buffers that are kept, do not count.
        Apply(model, recipe, context);

        model.Payloads.MemoryBudget = model.Payloads.HeldBytes + 100_000;
        model.Payloads.SpillFolder = folder.Path;
        var before = GC.GetAllocatedBytesForCurrentThread();
        using var made = Apply(model, recipe, context);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.IsLessThan(most * Layers * Inputs * Outputs * sizeof(float), allocated);
        Assert.IsLessThanOrEqualTo(model.Payloads.MemoryBudget + 100_000, model.Payloads.HeldBytes);
        made.Save(folder.File("made.onnx"));
        Assert.IsLessThan(0.55 * Layers * Inputs * Outputs * sizeof(float), new FileInfo(folder.File("made.onnx")).Length);
    }

    [TestMethod]
    [DataRow("int4")]
    [DataRow("int8-weights")]
    [DataRow("int8-dynamic")]
    [DataRow("float16")]
    public void The_file_is_the_same_on_any_number_of_threads_and_with_any_memory(string recipe)
    {
        using var folder = new TemporaryFolder();
        using (var small = Small())
            small.Save(folder.File("model.onnx"));
        byte[] Make(int threads, long budget)
        {
            using var model = OnnxModel.Load(folder.File("model.onnx"));
            model.Payloads.MemoryBudget = budget;
            model.Payloads.SpillFolder = folder.Path;
            return Apply(model, recipe, new PassContext(RuntimePolicies.Get("ort-cpu"), []) { Threads = threads }).ToBytes();
        }

        var one = Make(1, 1 << 30);
        CollectionAssert.AreEqual(one, Make(2, 1 << 30));
        CollectionAssert.AreEqual(one, Make(3, 0));
        Assert.HasCount(1, Directory.GetFileSystemEntries(folder.Path));
    }

    [TestMethod]
    public void Weights_beyond_two_gigabytes_of_a_data_file_and_in_several_files_are_those_of_one_small_file()
    {
        using var folder = new TemporaryFolder();
        using var small = Small();
        var expected = Apply(small, "int4", new PassContext(RuntimePolicies.Get("ort-cpu"), [])).ToBytes();
        var moved = small.Clone();
        foreach (var (i, tensor) in moved.Graph.Initializer.Where(t => t.Dims.Count == 2).Index())
        {
            // Sparse files: they take no room.
            var offset = (5L << 29) + i * (3L << 30);
            using (var data = File.Create(folder.File($"shard{i}.data")))
            {
                data.Position = offset;
                data.Write(small.ReadBytes(tensor));
            }

            MoveOut(tensor, $"shard{i}.data", offset);
        }

        moved.Save(folder.File("sharded.onnx"));
        using var loaded = OnnxModel.Load(folder.File("sharded.onnx"));
        CollectionAssert.AreEqual(expected, Apply(loaded, "int4", new PassContext(RuntimePolicies.Get("ort-cpu"), []) { Threads = 2 }).ToBytes());
    }

    [TestMethod]
    public void Weights_that_are_gone_when_the_result_is_written_are_a_located_error_and_leave_no_file()
    {
        using var folder = new TemporaryFolder();
        using var model = OnnxModel.Load(Sparse(folder));
        var half = Apply(model, "float16", new PassContext(RuntimePolicies.Get("ort-cpu"), []));
        using (var data = new FileStream(folder.File("sparse.data"), FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete))
            data.SetLength(1 << 20);
        var error = Assert.ThrowsExactly<ModelBuildException>(() => half.Save(folder.File("half.onnx")));
        Assert.AreEqual(DiagnosticCodes.DamagedModel, error.First.Code);
        Assert.Contains("sparse.data", error.First.Message);
        CollectionAssert.AreEquivalent(new[] { "sparse.data", "sparse.onnx" }, Directory.GetFiles(folder.Path).Select(Path.GetFileName).ToArray());
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void Nothing_is_left_of_a_temporary_file_after_a_failure_or_a_cancellation(bool cancelled)
    {
        using var bench = new Bench();
        using var source = new CancellationTokenSource();
        bench.Pass = (model, _) =>
        {
            model.Payloads.MemoryBudget = 0;
            var clone = model.Clone();
            clone.CreateTensor("large", [10_000], new float[10_000]);
            if (!cancelled)
                throw new InvalidOperationException("broken");
            source.Cancel();
            return Bench.Done(clone);
        };
        if (cancelled)
            Assert.ThrowsExactly<OperationCanceledException>(() => bench.Run(source.Token));
        else
            Assert.IsFalse(bench.Run(source.Token).Succeeded);
        Assert.IsFalse(Directory.Exists(bench.Output) && Directory.GetFileSystemEntries(bench.Output).Any(e => !e.EndsWith("report.json", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void Without_a_report_nothing_is_hashed_and_no_report_is_written()
    {
        using var bench = new Bench();
        bench.Change = r => r with { Report = false };
        var result = bench.Run();
        Assert.IsTrue(result.Succeeded);
        Assert.AreEqual(("", ""), (result.Report.Targets[0].Model.Sha256, result.Report.Targets[0].Artifact!.Sha256));
        Assert.IsFalse(File.Exists(Path.Combine(bench.Output, "report.json")));
        Assert.IsTrue(File.Exists(bench.Artifact));
    }

    private static OnnxModel Apply(OnnxModel model, string recipe, PassContext context)
    {
        var bench = new Workbench();
        return Recipes.Passes(recipe).Aggregate(Cleanup.Run(model, context).Model, (made, pass) => bench.Apply(made, pass, context).Model);
    }

    private static OnnxModel Small() => new SmallModel(opset: 21, ir: 10).Input("ids", DataType.Int64, 1, 4)
        .Random("table", 1, 1500, 160).Node("Gather", "table,ids", "x").Random("a", 2, 160, 1000).Node("MatMul", "x,a", "y").Random("b", 3, 1000, 333).Node("MatMul", "y,b", "z").Output("z").Model;

    /// <summary>A model whose weights are in a file that takes no room on the disk.</summary>
    private static string Sparse(TemporaryFolder folder)
    {
        using (var data = File.Create(folder.File("sparse.data")))
        {
            data.SetLength((long)Layers * Inputs * Outputs * sizeof(float));
            for (var i = 0; i < Layers; i++)
            {
                // No two are the same.
                data.Position = (long)i * Inputs * Outputs * sizeof(float);
                data.Write(BitConverter.GetBytes(i + 1f));
            }
        }

        var small = new SmallModel(opset: 21, ir: 10).Input("x", 1, Inputs);
        for (var i = 0; i < Layers; i++)
        {
            var tensor = new TensorProto { Name = $"w{i}", DataType = (int)DataType.Float };
            tensor.Dims.Add([Inputs, Outputs]);
            MoveOut(tensor, "sparse.data", (long)i * Inputs * Outputs * sizeof(float));
            small.Graph.Initializer.Add(tensor);
            small.Node("MatMul", $"x,w{i}", $"y{i}").Output($"y{i}");
        }

        small.Model.Save(folder.File("sparse.onnx"));
        small.Model.Dispose();
        return folder.File("sparse.onnx");
    }

    private static void MoveOut(TensorProto tensor, string location, long offset)
    {
        tensor.ClearPayloadRef();
        tensor.DataLocation = TensorProto.Types.DataLocation.External;
        tensor.ExternalData.Add([new StringStringEntryProto { Key = "location", Value = location }, new StringStringEntryProto { Key = "offset", Value = $"{offset}" }]);
    }
}
