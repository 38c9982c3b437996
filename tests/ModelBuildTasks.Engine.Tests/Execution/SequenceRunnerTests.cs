using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Data;
using ModelBuildTasks.Engine.Validation;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Execution;

[TestClass]
public sealed class SequenceRunnerTests
{
    private static readonly Dictionary<string, string> s_none = [];

    [TestMethod]
    public void A_model_that_adds_its_state_gives_prefix_sums()
    {
        using var folder = new TemporaryFolder();
        using var model = Accumulator(1);
        CollectionAssert.AreEqual(new float[] { 11, 13, 16, 20, 25 }, Outputs(model, Array(folder, 10, 1, 2, 3, 4, 5)));
    }

    [TestMethod]
    public void The_state_begins_anew_in_each_file_and_with_what_is_skipped()
    {
        using var folder = new TemporaryFolder();
        using var model = Accumulator(1);
        WavBytes.Write(folder, "a.wav", 8000, 8192, 8192, 16384);
        WavBytes.Write(folder, "b.wav", 8000, -8192, -8192);
        var data = Open(new WavSource(Make.Here, folder.Path, "*.wav", new(1, 1)), 0);
        CollectionAssert.AreEqual(new[] { 0.25f, 0.5f, 1f, -0.25f, -0.5f }, Outputs(model, data));
        CollectionAssert.AreEqual(new[] { 0.25f, 0.75f, -0.25f, -0.5f }, Outputs(model, Open(new WavSource(Make.Here, folder.Path, "*.wav", new(1, 1)), 0, skip: 1)));
    }

    [TestMethod]
    public void Calibration_statistics_are_those_of_a_loop_by_hand_whatever_the_threads()
    {
        using var folder = new TemporaryFolder();
        using var model = Accumulator(0.5f);
        float[] samples = [.. SmallModel.Values(5, 200).Select(v => v * 3)];
        var byHand = new TensorStatistics();
        var state = 2f;
        foreach (var sample in samples)
            byHand.Add([state = sample + state * 0.5f], 2);

        var data = Array(folder, 2, samples);
        foreach (var threads in new[] { 1, 4 })
        {
            var seen = StatisticsCollector.Collect(model, ["y"], data, threads)["y"];
            Assert.AreEqual((byHand.Min, byHand.Max), (seen.Min, seen.Max));
            CollectionAssert.AreEqual(byHand.Histogram.Bins().ToList(), seen.Histogram.Bins().ToList());
        }
    }

    [TestMethod]
    public void Validation_gives_each_model_its_own_state()
    {
        using var folder = new TemporaryFolder();
        using (var original = Accumulator(1))
            original.Save(folder.File("a.onnx"));
        using (var other = Accumulator(0.5f))
            other.Save(folder.File("b.onnx"));
        var data = Array(folder, 0, 1, 1, 1, 1);

        // 1 2 3 4 against 1 1.5 1.75 1.875: the errors grow as the two drift apart. y and next hold the same values.
        double[] errors = [0, 0.5, 1.25, 2.125];
        foreach (var threads in new[] { 1, 3 })
        {
            var measured = new Validator(folder.File("a.onnx"), folder.File("b.onnx"), new([], threads)).Measure(data, CancellationToken.None);
            Assert.AreEqual(errors.Sum(e => e * e) / 4, measured.Mse!.Value, 1e-12);
            Assert.AreEqual(4, measured.Samples);
        }
    }

    [TestMethod]
    public void An_output_that_does_not_fit_the_input_is_a_coded_error_of_both()
    {
        using var folder = new TemporaryFolder();
        var model = new SmallModel().Input("x", 1, 1).Input("state", 1, 1).Node("Add", "x,state", "y").Node("Concat", "y,y", "next", ("axis", 1)).Output("y", "next").Model;
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Outputs(model, Array(folder, 0, 1, 2)));
        Assert.AreEqual(DiagnosticCodes.DatasetDoesNotFit, error.First.Code);
        StringAssert.Contains(error.First.Message, "the model's input 'state' is float32 [1,1]; the output 'next', which is fed back to it, is float32 [1,2]");
    }

    [TestMethod]
    public void The_state_of_a_real_model_changes_what_it_hears()
    {
        using var folder = new TemporaryFolder();
        short[] tone = [.. Enumerable.Range(0, 512 * 12).Select(i => (short)(12000 * Math.Sin(i * 0.05) * Math.Sin(i * 0.0007)))];
        WavBytes.Write(folder, "a.wav", 16000, tone);
        using var model = OnnxModel.Load(TestData.Path("silero-vad/silero_vad_16k_op15.onnx"));
        var plan = new DatasetPlan
        {
            Name = "speech",
            Location = Make.Here,
            Inputs = new Dictionary<string, SourcePlan>
            {
                ["input"] = new WavSource(Make.Here, folder.Path, "*.wav", new(512, 512) { Context = 64 }) { Rate = 16000 },
                ["sr"] = new ValueSource(Make.Here, [16000]),
                ["state"] = new FeedbackSource(Make.Here, "stateN", 0),
            },
        };
        var data = DatasetFactory.Open(Make.Use(plan), model);
        using var session = new Session(model);
        var (streamed, alone) = (new SequenceRunner(session, data.Feedback), new SequenceRunner(session, s_none));
        var state = new Tensor(Engine.Onnx.TensorProto.Types.DataType.Float, [2, 1, 128], new byte[1024]);
        var differing = 0;
        foreach (var batch in data.Batches())
        {
            var output = streamed.Run(batch, ["output"])["output"].ToFloats()[0];
            var byHand = session.Run(new Dictionary<string, Tensor>(batch.Inputs) { ["state"] = state }, ["output", "stateN"]);
            state = byHand["stateN"];
            Assert.AreEqual(byHand["output"].ToFloats()[0], output);
            differing += output != alone.Run(batch, ["output"])["output"].ToFloats()[0] ? 1 : 0;
        }

        // All but the first, which starts from the initial state either way.
        Assert.AreEqual(11, differing);
    }

    /// <summary>y = x + decay·state, and the same once more as the output that is fed back.</summary>
    private static OnnxModel Accumulator(float decay) => new SmallModel()
        .Input("x", 1, 1).Input("state", 1, 1)
        .Floats("decay", [], decay).Node("Mul", "state,decay", "old").Node("Add", "x,old", "y").Node("Identity", "y", "next").Output("y", "next").Model;

    private static IDataset Array(TemporaryFolder folder, double initial, params float[] samples) =>
        Open(Make.Npy(Make.WriteNpy(folder, $"({samples.Length}, 1)", samples)), initial);

    private static IDataset Open(SourcePlan x, double initial, long skip = 0)
    {
        using var model = Accumulator(1);
        var inputs = new Dictionary<string, SourcePlan> { ["x"] = x, ["state"] = new FeedbackSource(Make.Here, "next", initial) };
        return DatasetFactory.Open(Make.Use(Make.Plan(x) with { Inputs = inputs, Skip = skip }), model);
    }

    private static float[] Outputs(OnnxModel model, IDataset data)
    {
        using var session = new Session(model);
        var runner = new SequenceRunner(session, data.Feedback);
        return [.. data.Batches().Select(b => runner.Run(b, ["y"])["y"].ToFloats()[0])];
    }
}
