using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Tests.Pipeline;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Tests.Validation;

[TestClass]
public sealed class ValidatorTests
{
    [TestMethod]
    public void Accuracy_and_agreement_are_those_of_the_two_models()
    {
        // The weight of class 0 is taken away: samples 0 and 2, which it wins by its own input, go to another class.
        var measured = Measure(m => TinyModel.Shrink(m, w => w), (m, i) => m[i] = i == 0 ? 0 : m[i], new([[3, 1, 0, 0], [0, 2, 1, 0], [2, 0, 1, 0], [0, 0, 5, 1]], [0, 1, 0, 0]));
        Assert.AreEqual(new Pair(0.75, 0.25), measured.Accuracy[1]);
        Assert.AreEqual(0.5, measured.Agreement);
        Assert.AreEqual(4, measured.Samples);
    }

    [TestMethod]
    public void An_artifact_without_one_of_the_outputs_is_refused()
    {
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Measure(
            m =>
            {
                var renamed = m.Clone();
                renamed.Graph.Node[0].Output[0] = renamed.Graph.Output[0].Name = "z";
                return renamed;
            },
            null,
            TinyData.Unlabelled));
        Assert.AreEqual("MBT2005", error.First.Code);
        StringAssert.Contains(error.First.Message, "has no output 'y'");
    }

    [TestMethod]
    public void Labels_that_do_not_fit_are_refused_at_the_gate_that_needs_them()
    {
        var gate = new GatePlan(Metric.Accuracy, LimitKind.Min, 0.5, new("m.yaml", 8, 3));
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Measure(m => m.Clone(), null, new([[1, 2, 3, 4]], [7]), gate));
        Assert.AreEqual("MBT1021", error.First.Code);
        Assert.AreEqual(8, error.First.Location!.Value.Line);
    }

    [TestMethod]
    public void Nll_without_labels_or_tokens_is_refused_at_its_gate()
    {
        var gate = new GatePlan(Metric.Nll, LimitKind.Max, 2, new("m.yaml", 8, 3));
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Measure(m => m.Clone(), null, TinyData.Unlabelled, gate));
        Assert.AreEqual("MBT1023", error.First.Code);
        Assert.AreEqual(8, error.First.Location!.Value.Line);
    }

    [TestMethod]
    public void Data_without_samples_is_an_error() =>
        Assert.AreEqual("MBT1022", Assert.ThrowsExactly<ModelBuildException>(() => Measure(m => m.Clone(), null, new([]))).First.Code);

    [TestMethod]
    public void A_cancelled_validation_ends()
    {
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.ThrowsExactly<OperationCanceledException>(() => Measure(m => m.Clone(), null, TinyData.Unlabelled, cancellation: source.Token));
    }

    [TestMethod]
    public void The_next_token_likelihood_of_a_real_language_model_is_the_published_one()
    {
        var path = TestData.Path("llama-aidreams/aidreams260k.onnx");
        var at = new SourceLocation("m.yaml", 1, 1);
        var dataset = new DatasetPlan
        {
            Name = "tokens",
            Location = at,
            Inputs = new Dictionary<string, SourcePlan> { ["input_ids"] = new NpySource(at, TestData.Path("llama-aidreams/tokens_i64_128x128.npy"), ImageOptions.None) },
            Batch = 32,
        };
        using var model = OnnxModel.Load(path);
        var data = DatasetFactory.Open(new(dataset, at), model.Inputs);
        var gate = new GatePlan(Metric.Nll, LimitKind.Max, 2, at);
        var measured = new Validator(path, path, new([gate], Threads: 2)).Measure(data, CancellationToken.None);

        // tests/data: 1.7867 nats, measured apart from this code.
        Assert.AreEqual(1.7867, measured.Nll!.Reference, 5e-5);
        Assert.AreEqual(measured.Nll.Reference, measured.Nll.Compressed);
        Assert.AreEqual(1, measured.Agreement);
    }

    private static Measurements Measure(
        Func<OnnxModel, OnnxModel> change, Action<float[], int>? weight, TinyData data, GatePlan? gate = null, CancellationToken cancellation = default)
    {
        using var folder = new TemporaryFolder();
        using var original = TinyModel.Create();
        original.Save(folder.File("a.onnx"));
        var other = change(original);
        if (weight is not null)
        {
            var values = other.ReadFloats(other.Graph.Initializer[0]);
            for (var i = 0; i < values.Length; i++)
                weight(values, i);
            other.Graph.Initializer[0] = other.CreateTensor("W", [4, 3], values);
        }

        other.Save(folder.File("b.onnx"));
        return new Validator(folder.File("a.onnx"), folder.File("b.onnx"), new(gate is null ? [] : [gate])).Measure(data, cancellation);
    }
}
