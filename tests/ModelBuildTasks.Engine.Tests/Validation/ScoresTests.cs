using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Validation;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Validation;

[TestClass]
public sealed class ScoresTests
{
    private static readonly Dictionary<string, Tensor> s_image = new() { ["x"] = new(DataType.Float, [2, 3], new byte[24]) };

    [TestMethod]
    public void With_one_label_a_position_the_last_axis_holds_the_classes()
    {
        Assert.AreEqual(new ClassLayout(2, 10, 1), ClassLayout.ForLabels([2, 10], 2));
        Assert.AreEqual(new ClassLayout(6, 10, 1), ClassLayout.ForLabels([2, 3, 10], 6));
    }

    [TestMethod]
    public void With_one_label_a_sample_axis_1_holds_the_classes()
    {
        Assert.AreEqual(new ClassLayout(2, 1000, 1), ClassLayout.ForLabels([2, 1000, 1, 1], 2));
        Assert.AreEqual(new ClassLayout(2, 5, 12), ClassLayout.ForLabels([2, 5, 3, 4], 24));
        Assert.AreEqual(new ClassLayout(1, 7, 1), ClassLayout.ForLabels([7], 1));
    }

    [TestMethod]
    public void Labels_that_fit_no_axis_have_no_layout()
    {
        Assert.IsNull(ClassLayout.ForLabels([2, 10], 3));
        Assert.IsNull(ClassLayout.ForLabels([2, 5, 3, 4], 2));
        Assert.IsNull(ClassLayout.ForLabels([2, 1], 2), "one value a sample is no choice of classes");
    }

    [TestMethod]
    public void Without_labels_classes_are_seen_where_they_are_obvious()
    {
        var tokens = new Dictionary<string, Tensor> { ["ids"] = new(DataType.Int64, [2, 3], new byte[48]) };
        Assert.AreEqual(new ClassLayout(2, 10, 1), ClassLayout.WithoutLabels([2, 10], s_image, 2, false));
        Assert.AreEqual(new ClassLayout(2, 1000, 1), ClassLayout.WithoutLabels([2, 1000, 1, 1], s_image, 2, false));
        Assert.AreEqual(new ClassLayout(6, 50, 1), ClassLayout.WithoutLabels([2, 3, 50], tokens, 2, false));
        Assert.IsNull(ClassLayout.WithoutLabels([2, 4420, 4], s_image, 2, false), "boxes are no classes");
        Assert.IsNull(ClassLayout.WithoutLabels([2, 3, 8, 8], s_image, 2, false));
        Assert.AreEqual(new ClassLayout(8840, 4, 1), ClassLayout.WithoutLabels([2, 4420, 4], s_image, 2, true));
        Assert.AreEqual(new ClassLayout(2, 3, 64), ClassLayout.WithoutLabels([2, 3, 8, 8], s_image, 2, true));
    }

    [TestMethod]
    public void Scores_are_gathered_along_a_middle_axis()
    {
        // [1, 3, 2]: position 1 has the classes 1, 3, 5.
        float[] values = [0, 1, 2, 3, 4, 5];
        var scores = Scores.At(values, new ClassLayout(1, 3, 2), 1, new float[3]);
        CollectionAssert.AreEqual(new float[] { 1, 3, 5 }, scores.ToArray());
    }

    [TestMethod]
    public void The_best_class_is_the_first_of_equals_and_none_with_NaN()
    {
        Assert.AreEqual(1, Scores.Best([0, 7, 7]));
        Assert.AreEqual(-1, Scores.Best([0, float.NaN, 7]));
        Assert.AreEqual(2, Scores.Rank([5, 5, 5], 2));
        Assert.AreEqual(0, Scores.Rank([4, 5, 5], 1));
    }

    [TestMethod]
    public void The_likelihood_of_logits_is_that_of_their_softmax()
    {
        // softmax(0, ln 3) = (1/4, 3/4)
        Assert.AreEqual(Math.Log(4), Scores.NegativeLogLikelihood([0, MathF.Log(3)], 0, probabilities: false), 1e-6);
        Assert.AreEqual(Math.Log(4), Scores.NegativeLogLikelihood([0.25f, 0.75f], 0, probabilities: true), 1e-6);
        Assert.AreEqual(1000, Scores.NegativeLogLikelihood([0, 1000], 0, probabilities: false), 1e-6);
    }

    [TestMethod]
    public void Probabilities_are_known_by_their_sum()
    {
        Assert.IsTrue(Scores.AreProbabilities([0.2f, 0.8005f]));
        Assert.IsFalse(Scores.AreProbabilities([0.2f, 0.81f]));
        Assert.IsFalse(Scores.AreProbabilities([-0.2f, 1.2f]));
    }

    [TestMethod]
    public void The_class_of_rank_0_is_the_best_class() =>
        Gen.Float[-9, 9].Array[1, 20].Sample(scores => Scores.Rank(scores, Scores.Best(scores)) == 0);

    [TestMethod]
    public void Sums_over_batches_do_not_depend_on_how_samples_are_batched() =>
        Gen.Select(Gen.Float[-9, 9].Array[24], Gen.Float[-9, 9].Array[24], Gen.Int[1, 7]).Sample((reference, compressed, cut) =>
        {
            var scorer = new BatchScorer([1, 2], false, false);
            var whole = scorer.Score(Part(0, 8), Outputs(0, 8));
            var parts = scorer.Score(Part(0, cut), Outputs(0, cut));
            parts.Add(scorer.Score(Part(cut, 8), Outputs(cut, 8)));
            return whole.Agreed == parts.Agreed && whole.Decisions == parts.Decisions && whole.Samples == parts.Samples
                && whole.ReferenceHits.SequenceEqual(parts.ReferenceHits) && Math.Abs(whole.Sqnr - parts.Sqnr) < 1e-9
                && Math.Abs(whole.CompressedNll - parts.CompressedNll) < 1e-9;

            Batch Part(int from, int to) => new(new Dictionary<string, Tensor>(), [.. Enumerable.Range(from, to - from).Select(i => i % 3L)], to - from);
            List<(string, Tensor, Tensor)> Outputs(int from, int to) => [("y", Slice(reference, from, to), Slice(compressed, from, to))];
        });

    private static Tensor Slice(float[] values, int from, int to) =>
        Tensor.Of<float>(DataType.Float, [to - from, 3], values.AsSpan(from * 3, (to - from) * 3));
}
