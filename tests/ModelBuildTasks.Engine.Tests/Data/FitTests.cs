using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class FitTests
{
    [TestMethod]
    [DataRow("(6, 28, 28)", new long[] { 1, 1, 28, 28 }, 4, new long[] { 1, 1, 28, 28 }, 6)]
    [DataRow("(6, 28, 28)", new long[] { -1, 1, 28, 28 }, 4, new long[] { 4, 1, 28, 28 }, 2)]
    [DataRow("(6, 28, 28)", new long[] { -1, -1, -1, -1 }, 6, new long[] { 6, 1, 28, 28 }, 1)]
    [DataRow("(6, 28, 28)", new long[] { 4, 1, 28, 28 }, 1, new long[] { 4, 1, 28, 28 }, 1)]
    [DataRow("(6, 28, 28)", new long[] { 28, 28 }, 4, new long[] { 28, 28 }, 6)]
    [DataRow("(6, 1, 28, 28)", new long[] { 1, 28, 28 }, 4, new long[] { 1, 28, 28 }, 6)]
    [DataRow("(6, 1, 28, 28)", new long[] { -1, 28, 28 }, 4, new long[] { 4, 28, 28 }, 2)]
    [DataRow("(3, 2, 28, 28)", new long[] { 2, 28, 28 }, 4, new long[] { 2, 28, 28 }, 3)]
    [DataRow("(3, 1, 257, 1, 2)", new long[] { 1, 257, 1, 2 }, 8, new long[] { 1, 257, 1, 2 }, 3)]
    [DataRow("(6, 48)", new long[] { -1, -1 }, 6, new long[] { 6, 48 }, 1)]
    [DataRow("(6,)", new long[] { -1 }, 6, new long[] { 6 }, 1)]
    [DataRow("(6,)", new long[] { -1, 1 }, 6, new long[] { 6, 1 }, 1)]
    [DataRow("(6,)", new long[] { }, 6, new long[] { }, 6)]
    [DataRow("(28, 28)", new long[] { 1, 1, 28, 28 }, 1, new long[] { 1, 1, 28, 28 }, 1)]
    public void Batch_and_channel_dimensions_are_fitted_to_the_model(string array, long[] declared, int batch, long[] run, int runs)
    {
        using var folder = new TemporaryFolder();
        var count = array.Trim('(', ')').Split(',', StringSplitOptions.RemoveEmptyEntries).Aggregate(1, (n, d) => n * int.Parse(d));
        var path = Make.WriteNpy(folder, "|u1", array, [.. Enumerable.Range(0, count).Select(i => (byte)i)]);
        var data = Make.Open(Make.Npy(path), Make.Input("x", DataType.Float, declared), p => p with { Batch = batch });
        var batches = data.Batches().ToList();
        CollectionAssert.AreEqual(run, batches[0].Inputs["x"].Shape);
        Assert.HasCount(runs, batches);
        Assert.AreEqual(data.Count, batches.Sum(b => b.Count));
        var values = Make.Floats(data);
        CollectionAssert.AreEqual(Enumerable.Range(0, values.Length).Select(i => (float)(byte)i).ToArray(), values);
    }

    [TestMethod]
    public void A_model_of_a_fixed_batch_leaves_out_what_does_not_fill_it_and_fails_on_less_than_one()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteNpy(folder, "(5, 1)", 1f, 2f, 3f, 4f, 5f);
        var data = Make.Open(Make.Npy(path), Make.Input("x", DataType.Float, 2, 1), p => p with { Batch = 100 });
        Assert.AreEqual(4, data.Count);
        CollectionAssert.AreEqual(new[] { 1f, 2f, 3f, 4f }, Make.Floats(data));
        Make.Fails(() => Make.Open(Make.Npy(path), Make.Input("x", DataType.Float, 8, 1)), DiagnosticCodes.DatasetDoesNotFit);
    }

    [TestMethod]
    public void A_model_without_inputs_has_samples_of_nothing()
    {
        var batches = DatasetFactory.Random([], count: 3).Batches().ToList();
        Assert.HasCount(3, batches);
        Assert.IsEmpty(batches[0].Inputs);
    }

    [TestMethod]
    public void An_array_that_does_not_fit_names_input_type_and_both_shapes()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteNpy(folder, "(2, 3)", new float[6]);
        var message = Make.Fails(() => Make.Open(Make.Npy(path), Make.Input("x", DataType.Float, -1, 4)), DiagnosticCodes.DatasetDoesNotFit).Message;
        StringAssert.Contains(message, "'x'");
        StringAssert.Contains(message, "float32 [?,4]");
        StringAssert.Contains(message, "[2,3]");
    }

    [TestMethod]
    public void A_misspelt_input_suggests_the_nearest_and_a_forgotten_one_is_named()
    {
        var plan = Make.Plan(new ValueSource(Make.Here, [1]));
        var misspelt = Make.Fails(
            () => DatasetFactory.Open(Make.Use(plan), [Make.Input("y", DataType.Float, 1), Make.Input("completely_other", DataType.Float, 1)]),
            DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(misspelt.Message, "Did you mean 'y'?");
        var forgotten = Make.Fails(
            () => DatasetFactory.Open(Make.Use(plan), [Make.Input("x", DataType.Float, 1), Make.Input("state", DataType.Float, 2, -1, 128)]),
            DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(forgotten.Message, "'state' is float32 [2,?,128]");
    }

    [TestMethod]
    public void Sources_of_different_length_do_not_go_together_but_values_and_random_numbers_adapt()
    {
        using var folder = new TemporaryFolder();
        ValueDescription[] inputs = [Make.Input("x", DataType.Float, -1, 2), Make.Input("y", DataType.Float, -1, 2)];
        var two = Make.Npy(Make.WriteNpy(folder, "(2, 2)", new float[4]));
        var three = Make.Npy(Make.WriteNpy(folder, "(3, 2)", new float[6]));
        DatasetPlan With(SourcePlan y) => Make.Plan(two) with { Inputs = new Dictionary<string, SourcePlan> { ["x"] = two, ["y"] = y } };
        Make.Fails(() => DatasetFactory.Open(Make.Use(With(three)), inputs), DiagnosticCodes.DatasetDoesNotFit);
        Make.Fails(() => DatasetFactory.Open(Make.Use(With(two) with { Labels = three }), inputs), DiagnosticCodes.DatasetDoesNotFit);
        Assert.AreEqual(2, DatasetFactory.Open(Make.Use(With(new ValueSource(Make.Here, [7]))), inputs).Count);
        Assert.AreEqual(2, DatasetFactory.Open(Make.Use(With(new RandomSource(Make.Here, 0, 1, 0, 50, []))), inputs).Count);
    }

    [TestMethod]
    public void A_value_fills_the_models_shape_and_takes_free_dimensions_from_an_input_declared_alike()
    {
        using var folder = new TemporaryFolder();
        var ids = Make.Npy(Make.WriteNpy(folder, "|u1", "(4, 5)", new byte[20]));
        var plan = Make.Plan(ids) with
        {
            Batch = 3,
            Inputs = new Dictionary<string, SourcePlan>
            {
                ["ids"] = ids,
                ["mask"] = new ValueSource(Make.Here, [1]),
                ["rate"] = new ValueSource(Make.Here, [16000]),
                ["size"] = new ValueSource(Make.Here, [2, 3]),
                ["state"] = new ValueSource(Make.Here, [0.5]),
            },
        };
        var batch = DatasetFactory.Open(Make.Use(plan),
        [
            Make.Input("mask", DataType.Int64, -1, -1), Make.Input("ids", DataType.Int64, -1, -1), Make.Input("rate", DataType.Int64),
            Make.Input("size", DataType.Float, 2), Make.Input("state", DataType.Float16, 2, 1, 3),
        ]).Batches().First().Inputs;
        CollectionAssert.AreEqual(new long[] { 3, 5 }, batch["mask"].Shape);
        Assert.IsTrue(batch["mask"].ToFloats().All(v => v == 1));
        CollectionAssert.AreEqual(Array.Empty<long>(), batch["rate"].Shape);
        Assert.AreEqual(16000, batch["rate"].As<long>()[0]);
        CollectionAssert.AreEqual(new[] { 2f, 3f }, batch["size"].ToFloats());
        CollectionAssert.AreEqual(new long[] { 2, 1, 3 }, batch["state"].Shape);
        Assert.IsTrue(batch["state"].ToFloats().All(v => v == 0.5f));
        Make.Fails(() => Make.Open(new ValueSource(Make.Here, [1, 2, 3]), Make.Input("x", DataType.Float, 2)), DiagnosticCodes.DatasetDoesNotFit);
        Make.Fails(() => Make.Open(new ValueSource(Make.Here, [0.5]), Make.Input("x", DataType.Int64)), DiagnosticCodes.DatasetDoesNotFit);
    }

    [TestMethod]
    public void A_model_input_too_large_to_hold_is_an_error_and_not_an_overflow()
    {
        long[] huge = [1, int.MaxValue, int.MaxValue, int.MaxValue];
        Make.Fails(() => Make.Floats(Make.Open(new ValueSource(Make.Here, [1]), Make.Input("x", DataType.Float, huge))), DiagnosticCodes.DatasetDoesNotFit);
        var random = Assert.ThrowsExactly<ModelBuildException>(() => Make.Floats(DatasetFactory.Random([Make.Input("x", DataType.Float, huge)])));
        Assert.IsNull(random.First.Location);
        Make.Fails(() => Make.Open(new ValueSource(Make.Here, [1]), Make.Input("x", DataType.String, 1)), DiagnosticCodes.DatasetDoesNotFit);
    }
}
