using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Validation;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Validation;

[TestClass]
public sealed class BatchScorerTests
{
    [TestMethod]
    public void Sqnr_cosine_and_mse_are_pooled_over_outputs()
    {
        var tally = Score(null, ("a", Floats([1, 2], 3, 4), Floats([1, 2], 3, 3)), ("b", Floats([1, 1], 12), Floats([1, 1], 10)));

        // Σref² = 9+16+144 = 169, Σ(ref−out)² = 1+4 = 5, Σout² = 9+9+100 = 118, Σref·out = 9+12+120 = 141
        Assert.AreEqual(10 * Math.Log10(169 / 5.0), tally.Sqnr, 1e-9);
        Assert.AreEqual(5 / 3.0, tally.Mse, 1e-9);
        Assert.AreEqual(141 / Math.Sqrt(169 * 118), tally.Cosine, 1e-9);
    }

    [TestMethod]
    public void Equal_outputs_have_200_dB()
    {
        var tally = Score(null, ("a", Floats([1, 2], 0, 0), Floats([1, 2], 0, 0)));
        Assert.AreEqual(200, tally.Sqnr);
        Assert.AreEqual(1, tally.Cosine);
        Assert.AreEqual(0, tally.Mse);
    }

    [TestMethod]
    public void A_signal_where_there_was_none_has_minus_200_dB() =>
        Assert.AreEqual(-200, Score(null, ("a", Floats([1, 2], 0, 0), Floats([1, 2], 0, 1))).Sqnr);

    [TestMethod]
    public void What_is_no_number_in_the_original_does_not_count_and_what_is_none_only_in_the_artifact_is_counted()
    {
        var tally = Score(null, ("a", Floats([1, 3], float.NegativeInfinity, 2, 2), Floats([1, 3], 5, 2, float.NaN)));
        Assert.AreEqual(1, tally.NonFinite);
        Assert.AreEqual(1, tally.Values);
        Assert.AreEqual(200, tally.Sqnr);
    }

    [TestMethod]
    public void Accuracy_counts_labels_among_the_first_classes_and_agreement_equal_first_classes()
    {
        var reference = Floats([2, 3], 3, 2, 1, 1, 2, 3);
        var compressed = Floats([2, 3], 2, 3, 1, 1, 2, 3);
        var tally = Score([0, 1], ("y", reference, compressed));
        CollectionAssert.AreEqual(new long[] { 1, 2 }, tally.ReferenceHits);
        CollectionAssert.AreEqual(new long[] { 0, 2 }, tally.CompressedHits);
        Assert.AreEqual(1, tally.Agreed);
        Assert.AreEqual(2, tally.Decisions);
    }

    [TestMethod]
    public void Only_the_first_float_output_has_classes()
    {
        var tally = Score([1], ("n", new Tensor(DataType.Int64, [1], new byte[8]), new Tensor(DataType.Int64, [1], new byte[8])), ("y", Floats([1, 2], 0, 1), Floats([1, 2], 0, 1)), ("z", Floats([1, 9], new float[9]), Floats([1, 9], new float[9])));
        Assert.AreEqual(1, tally.ReferenceHits[0]);
        Assert.AreEqual(1, tally.Decisions);
    }

    [TestMethod]
    public void Quantized_probabilities_that_miss_the_sum_of_1_are_still_probabilities()
    {
        var tally = Score([0], ("y", Floats([1, 2], 0.5f, 0.5f), Floats([1, 2], 0.4f, 0.4f)));
        Assert.AreEqual(-Math.Log(0.5), tally.ReferenceNll, 1e-6);
        Assert.AreEqual(-Math.Log(0.4), tally.CompressedNll, 1e-6);
    }

    [TestMethod]
    [DataRow(3L)]
    [DataRow(-1L)]
    public void A_label_that_is_no_class_is_a_problem_that_names_it(long label) =>
        StringAssert.Contains(Score([label], ("y", Floats([1, 3], 1, 2, 3), Floats([1, 3], 1, 2, 3))).LabelProblem, $"label {label} is none of the 3 classes");

    [TestMethod]
    public void Without_labels_the_next_token_is_the_label()
    {
        var tokens = Tensor.Of<long>(DataType.Int64, [1, 3], [0, 1, 0]);
        var batch = new Batch(new Dictionary<string, Tensor> { ["ids"] = tokens }, null, 1);

        // Positions 0 and 1 predict the tokens 1 and 0; the last one predicts nothing that is known.
        var logits = Floats([1, 3, 2], 0, MathF.Log(3), 0, MathF.Log(3), 100, 0);
        var tally = new BatchScorer([1], false, nextToken: true).Score(batch, [("y", logits, logits)]);
        Assert.AreEqual(2, tally.Likelihoods);
        Assert.AreEqual(Math.Log(4 / 3.0) + Math.Log(4), tally.ReferenceNll, 1e-6);
        Assert.AreEqual(3, tally.Decisions);
    }

    [TestMethod]
    public void A_model_of_integer_outputs_agrees_sample_by_sample()
    {
        var batch = new Batch(new Dictionary<string, Tensor>(), null, 2);
        var reference = Tensor.Of<long>(DataType.Int64, [2, 2], [1, 2, 3, 4]);
        var compressed = Tensor.Of<long>(DataType.Int64, [2, 2], [1, 2, 3, 5]);
        var tally = new BatchScorer([1], false, false).Score(batch, [("y", reference, compressed)]);
        Assert.AreEqual(1, tally.Agreed);
        Assert.AreEqual(2, tally.Decisions);
        Assert.AreEqual(0, tally.Values);
    }

    [TestMethod]
    public void Bfloat16_is_read_as_the_upper_half_of_a_float() =>
        CollectionAssert.AreEqual(new[] { 1.5f, -2f }, BatchScorer.Floats(Tensor.Of<ushort>(DataType.Bfloat16, [2], [0x3FC0, 0xC000])));

    private static Tally Score(long[]? labels, params (string, Tensor, Tensor)[] outputs) =>
        new BatchScorer([1, 2], false, false).Score(new Batch(new Dictionary<string, Tensor>(), labels, labels?.Length ?? 1), outputs);

    private static Tensor Floats(long[] shape, params float[] values) => Tensor.Of<float>(DataType.Float, shape, values);
}
