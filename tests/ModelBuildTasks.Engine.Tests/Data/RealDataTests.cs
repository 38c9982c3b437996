using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class RealDataTests
{
    private static string Sample(string relative) => Path.Combine(TestData.Root, "samples", relative);

    [TestMethod]
    public void The_digits_of_the_sample_are_read_as_the_model_was_trained_to_see_them()
    {
        var plan = Make.Plan(
            Make.Idx(Sample("DigitReader/mnist/images-idx3-ubyte.gz")),
            Make.Idx(Sample("DigitReader/mnist/labels-idx1-ubyte.gz")));
        Assert.IsGreaterThan(0.98, Accuracy(TestData.Path("mnist/mnist.onnx"), plan));
    }

    [TestMethod]
    public void Iris_rows_and_class_names_come_from_one_table()
    {
        var csv = TestData.Path("iris/Iris.csv");
        var plan = Make.Plan(
            Make.Csv(csv, "1", "2", "3", "4"),
            Make.Csv(csv, "Species") with { Classes = ["Iris-setosa", "Iris-versicolor", "Iris-virginica"] });
        Assert.AreEqual(0.98, Accuracy(TestData.Path("iris/iris_network.onnx"), plan), 1e-9);
    }

    [TestMethod]
    public void Photos_are_resized_cropped_and_normalized_as_the_classifier_expects()
    {
        var image = new ImageOptions { ResizeShortSide = 256, Crop = (224, 224), Channels = Channels.Bgr, ChannelsGiven = true, Mean = [104, 117, 124] };
        var folder = Sample("PhotoClassifier/photos/test");
        using var session = new Session(Sample("PhotoClassifier/models/squeezenet.onnx"));
        var plan = Make.Plan(new ImagesSource(Make.Here, folder, "*.jpg", image)) with { Take = 12 };
        var right = 0;
        var i = 0;
        var classes = Directory.GetFiles(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal).Select(n => int.Parse(n!.Split('_')[0])).ToList();
        foreach (var batch in Fitted(session, plan).Batches())
            right += Top(session, batch).Single() == classes[i++] ? 1 : 0;
        Assert.AreEqual(12, i);
        Assert.IsGreaterThanOrEqualTo(7, right);
    }

    [TestMethod]
    public void Tokens_keep_their_type_and_fill_batches()
    {
        using var session = new Session(TestData.Path("llama-aidreams/aidreams260k.onnx"));
        var plan = Make.Plan(Make.Npy(TestData.Path("llama-aidreams/tokens_i64_128x128.npy"))) with { Skip = 64, Batch = 30 };
        var batches = Fitted(session, plan).Batches().ToList();
        CollectionAssert.AreEqual(new[] { 30, 30, 4 }, batches.Select(b => b.Count).ToList());
        CollectionAssert.AreEqual(new long[] { 30, 128 }, batches[0].Inputs.Values.Single().Shape);
        Assert.IsNotEmpty(session.Run(batches[2].Inputs));
    }

    private static double Accuracy(string model, DatasetPlan plan)
    {
        using var session = new Session(model);
        long right = 0, all = 0;
        foreach (var batch in Fitted(session, plan).Batches())
        {
            var top = Top(session, batch);
            for (var i = 0; i < top.Count; i++, all++)
                right += top[i] == batch.Labels![i] ? 1 : 0;
        }

        return (double)right / all;
    }

    private static IDataset Fitted(Session session, DatasetPlan plan)
    {
        var input = session.Inputs.Single();
        return DatasetFactory.Open(Make.Use(plan with { Inputs = new Dictionary<string, SourcePlan> { [input.Name] = plan.Inputs["x"] } }), session.Inputs);
    }

    private static List<int> Top(Session session, Batch batch)
    {
        var values = session.Run(batch.Inputs).Values.First(t => ElementTypes.IsFloat(t.Type)).ToFloats();
        return [.. values.Chunk(values.Length / batch.Count).Select(row => Array.IndexOf(row, row.Max()))];
    }
}
