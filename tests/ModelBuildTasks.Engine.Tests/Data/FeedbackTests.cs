using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class FeedbackTests
{
    private static readonly ValueDescription[] s_inputs = [Make.Input("x", DataType.Float, 1, 2), Make.Input("state", DataType.Float, 2, -1, 3)];
    private static readonly ValueDescription[] s_outputs = [Make.Input("y", DataType.Float, 1, 2), Make.Input("stateN", DataType.Float, 2, -1, 3), Make.Input("n", DataType.Int64, 1)];

    [TestMethod]
    public void Batches_hold_the_initial_value_in_the_declared_shape_and_say_what_is_fed_back()
    {
        using var folder = new TemporaryFolder();
        var data = Open(folder, new FeedbackSource(Make.Here, "stateN", 0.25));
        Assert.AreEqual("stateN", data.Feedback["state"]);
        var states = data.Batches().Select(b => b.Inputs["state"]).ToList();
        Assert.HasCount(3, states);
        foreach (var state in states)
        {
            CollectionAssert.AreEqual(new long[] { 2, 1, 3 }, state.Shape);
            Assert.IsTrue(state.ToFloats().All(v => v == 0.25f));
        }
    }

    [TestMethod]
    public void A_sequence_starts_with_the_first_sample_taken_of_an_array()
    {
        using var folder = new TemporaryFolder();
        var data = Open(folder, new FeedbackSource(Make.Here, "stateN", 0), p => p with { Skip = 1 });
        CollectionAssert.AreEqual(new[] { true, false }, data.Batches().Select(b => b.SequenceStart).ToArray());
    }

    [TestMethod]
    public void A_sequence_starts_with_the_first_window_taken_of_each_file()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Write(folder, "a.wav", 8000, 1, 2, 3, 4, 5, 6);
        WavBytes.Write(folder, "b.wav", 8000, 1);
        WavBytes.Write(folder, "c.wav", 8000, 1, 2, 3, 4);
        var plan = Make.Plan(new WavSource(Make.Here, folder.Path, "*.wav", new(2, 2))) with { Skip = 1 };
        Assert.IsFalse(DatasetFactory.Open(Make.Use(plan), s_inputs[..1]).Batches().Any(b => b.SequenceStart));
        var data = DatasetFactory.Open(Make.Use(With(plan, new FeedbackSource(Make.Here, "stateN", 0))), s_inputs, s_outputs);
        CollectionAssert.AreEqual(new[] { true, false, true, false }, data.Batches().Select(b => b.SequenceStart).ToArray());
    }

    [TestMethod]
    public void An_output_that_does_not_exist_or_is_of_another_type_is_refused()
    {
        using var folder = new TemporaryFolder();
        var missing = Make.Fails(() => Open(folder, new FeedbackSource(Make.Here, "staten1", 0)), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(missing.Message, "The model has no output 'staten1' to feed back as 'state'. Did you mean 'stateN'? Its outputs are 'y', 'stateN', 'n'.");
        var integer = Make.Fails(() => Open(folder, new FeedbackSource(Make.Here, "n", 0)), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(integer.Message, "the model's input 'state' is float32 [2,?,3]; the output 'n', which is to be fed back, is int64 [1]");
    }

    [TestMethod]
    public void Order_is_kept_and_a_run_has_one_sample()
    {
        using var folder = new TemporaryFolder();
        var feedback = new FeedbackSource(Make.Here, "stateN", 0);
        Make.Fails(() => Open(folder, feedback, p => p with { Shuffle = 1 }), DiagnosticCodes.InvalidValue);
        Make.Fails(() => Open(folder, feedback, p => p with { Batch = 2 }), DiagnosticCodes.InvalidValue);
        var two = Make.WriteNpy(folder, "(4, 2)", 1, 2, 3, 4, 5, 6, 7, 8);
        var plan = With(Make.Plan(Make.Npy(two)), feedback);
        var error = Make.Fails(() => DatasetFactory.Open(Make.Use(plan), [Make.Input("x", DataType.Float, 2, 2), s_inputs[1]], s_outputs), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(error.Message, "'x' takes 2 samples a run; with 'feedback' a run has one sample");
    }

    [TestMethod]
    public void An_initial_value_that_the_type_does_not_have_is_refused() => StringAssert.Contains(
        Make.Fails(
            () => DatasetFactory.Open(Make.Use(Make.Plan(new FeedbackSource(Make.Here, "n", 0.5))), [Make.Input("x", DataType.Int64, 1)]),
            DiagnosticCodes.DatasetDoesNotFit).Message,
        "'initial' does not fit: the value 0.5 is not a whole number");

    [TestMethod]
    public void What_is_fed_back_and_where_it_begins_decide_the_content_hash()
    {
        using var folder = new TemporaryFolder();
        string[] hashes =
        [
            Open(folder, new FeedbackSource(Make.Here, "stateN", 0)).ContentHash,
            Open(folder, new FeedbackSource(Make.Here, "y", 0)).ContentHash,
            Open(folder, new FeedbackSource(Make.Here, "stateN", 1)).ContentHash,
        ];
        Assert.HasCount(3, hashes.Distinct());
        Assert.AreEqual(hashes[0], Open(folder, new FeedbackSource(new("elsewhere", 1, 1), "stateN", 0)).ContentHash);
    }

    private static IDataset Open(TemporaryFolder folder, FeedbackSource feedback, Func<DatasetPlan, DatasetPlan>? change = null)
    {
        var plan = With(Make.Plan(Make.Npy(Make.WriteNpy(folder, "(3, 2)", 1, 2, 3, 4, 5, 6))), feedback);
        return DatasetFactory.Open(Make.Use((change ?? (p => p))(plan)), s_inputs, s_outputs);
    }

    private static DatasetPlan With(DatasetPlan plan, FeedbackSource feedback) =>
        plan with { Inputs = new Dictionary<string, SourcePlan> { ["x"] = plan.Inputs["x"], ["state"] = feedback } };
}
