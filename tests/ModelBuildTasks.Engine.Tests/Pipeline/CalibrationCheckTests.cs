using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Pipeline.DataChecks;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class CalibrationCheckTests
{
    [TestMethod]
    public void A_real_model_on_the_scale_of_its_training_gives_no_warning()
    {
        using var model = Digits();
        Assert.IsEmpty(Check(model, "image", Pictures(8, 1)));
    }

    [TestMethod]
    [DataRow(255f, "times as much")]
    [DataRow(1 / 255f, "as much")]
    public void A_real_model_on_another_scale_is_told_by_its_first_batch_norm(float factor, string words)
    {
        using var model = Digits();
        var note = Check(model, "image", Pictures(8, factor)).Single();
        Assert.AreEqual(DiagnosticCodes.ScaleOfCalibrationData, note.Code);
        StringAssert.Contains(note.Message, words);
        StringAssert.Contains(note.Message, "'image'");
    }

    [TestMethod]
    [DataRow("same", "is the same in each of the first 8 samples")]
    [DataRow("flat", "all values of a sample of input 'image' are the same")]
    [DataRow("offset", "hardly varies between samples")]
    public void Data_that_does_not_vary_is_told_once(string kind, string words)
    {
        using var model = Digits();
        var pictures = Pictures(8, 1);
        float[][] data = kind switch
        {
            "same" => [.. pictures.Select(_ => pictures[0])],
            "flat" => [.. pictures.Select((p, i) => p.Select(_ => i / 8f).ToArray())],
            _ => [.. pictures.Select(p => p.Select(v => v / 255 - 110).ToArray())],
        };
        var note = Check(model, "image", data).Single();
        Assert.AreEqual(DiagnosticCodes.ConstantCalibrationData, note.Code);
        StringAssert.Contains(note.Message, words);
    }

    [TestMethod]
    public void Values_that_are_no_numbers_are_told_with_their_input()
    {
        using var model = Digits();
        var pictures = Pictures(8, 1);
        pictures[3][5] = float.NaN;
        var note = Check(model, "image", pictures).Single();
        Assert.AreEqual(DiagnosticCodes.NonFiniteCalibrationData, note.Code);
        StringAssert.Contains(note.Message, "'image' holds NaN or infinity (1 values");
    }

    [TestMethod]
    public void NaN_that_arises_in_the_model_or_that_a_pass_saw_later_is_told()
    {
        var model = new SmallModel().Input("x", 1, 2).Node("Sqrt", "x", "y").Output("y").Model;
        var note = Check(model, "x", [[-1, 1], [2, 3]], [1, 2]).Single();
        StringAssert.Contains(note.Message, "'y' becomes NaN");
        Assert.AreEqual(DiagnosticCodes.NonFiniteCalibrationData, Check(model, "x", [[1, 4], [2, 3]], [1, 2], nan: ["h"]).Single().Code);
        Assert.IsEmpty(Check(model, "x", [[1, 4], [2, 3]], [1, 2]));
    }

    [TestMethod]
    public void A_network_that_is_dead_is_told_and_a_single_sample_is()
    {
        var model = new SmallModel().Input("x", 1, 2).Floats("b", [2], -100, -100).Node("Add", "x,b", "s").Node("Relu", "s", "y").Output("y").Model;
        Assert.AreEqual(DiagnosticCodes.DeadOnCalibrationData, Check(model, "x", [[1, 4], [2, 3]], [1, 2]).Single().Code);
        Assert.IsEmpty(Check(model, "x", [[101, 400], [200, 300]], [1, 2]));
        Assert.AreEqual(DiagnosticCodes.FewCalibrationSamples, Check(model, "x", [[101, 400]], [1, 2]).Single().Code);
    }

    /// <summary>What batch norms leave when they are folded: biases of the size of the outputs. Too large an input saturates the result.</summary>
    [TestMethod]
    [DataRow(1f, false)]
    [DataRow(255f, true)]
    public void Folded_batch_norms_tell_of_data_that_overdrives_the_model(float factor, bool told)
    {
        var model = new SmallModel().Input("x", 1, 1, 4, 4).Random("w", 3, 8, 1, 3, 3).Floats("b", [8], 1, -1, 1, -1, 1, -1, 1, -1)
            .Node("Conv", "x,w,b", "c").Node("Sigmoid", "c", "y").Output("y").Model;
        var samples = Enumerable.Range(0, 8).Select(i => SmallModel.Values(i, 16).Select(v => v * factor).ToArray()).ToArray();
        var notes = Check(model, "x", samples, [1, 1, 4, 4]);
        Assert.AreEqual(told, notes.Any(n => n.Code == DiagnosticCodes.ScaleOfCalibrationData), string.Join('\n', notes));
    }

    [TestMethod]
    public void A_constant_mask_beside_data_that_varies_is_no_fault()
    {
        var model = new SmallModel().Input("x", 1, 4).Input("mask", 1, 2).Node("Concat", "x,mask", "y", ("axis", 1)).Output("y").Model;
        var batches = Enumerable.Range(0, 4).Select(i => new Batch(
            new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(i, 1, 4), ["mask"] = Tensor.Of<float>(TensorProto.Types.DataType.Float, [1, 2], [1f, 1f]) }, null, 1));
        Assert.IsEmpty(CalibrationCheck.Run(model, Use(), new ListDataset([.. batches]), [], CancellationToken.None));
    }

    [TestMethod]
    public void The_warning_reaches_the_result_at_the_place_of_the_data_and_again_from_the_cache()
    {
        using var bench = new Bench { Data = new TinyData([[1, 2, 3, 4], [1, 2, 3, 4]]) };
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        bench.Target = bench.Target with { Calibration = Use() };
        foreach (var hit in new[] { false, true })
        {
            var target = bench.Run().Targets[0];
            Assert.AreEqual(hit, target.CacheHit);
            var warning = target.Diagnostics.Single();
            Assert.AreEqual((DiagnosticCodes.ConstantCalibrationData, DiagnosticSeverity.Warning, 8), (warning.Code, warning.Severity, warning.Location!.Value.Line));
            StringAssert.StartsWith(warning.Message, "Tiny: the calibration data '");
        }
    }

    private static DatasetUse Use() =>
        new(new DatasetPlan { Name = "d", Location = new("compression.yaml", 2, 3), Inputs = new Dictionary<string, SourcePlan>() }, new("compression.yaml", 8, 5));

    private static IReadOnlyList<PassNote> Check(OnnxModel model, string input, float[][] samples, long[]? shape = null, string[]? nan = null) => CalibrationCheck.Run(
        model, Use(), new ListDataset([.. samples.Select(s => ListDataset.Batch(input, shape ?? [1, 1, 28, 28], s))]), nan ?? [], CancellationToken.None);

    private static OnnxModel Digits() => OnnxModel.Load(TestData.Path("digits_mobile/digits_mobile.onnx"));

    /// <summary>Strokes on black, in 0..1 times a factor.</summary>
    private static float[][] Pictures(int count, float factor)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, count).Select(_ =>
        {
            var picture = new float[784];
            for (var stroke = 0; stroke < 4; stroke++)
            {
                double x = 6 + 16 * random.NextDouble(), y = 6 + 16 * random.NextDouble(), angle = 6.3 * random.NextDouble();
                for (var step = 0; step < 12; step++)
                {
                    for (var k = 0; k < 4; k++)
                        picture[Math.Clamp((int)(y + step * Math.Sin(angle)) + k / 2, 0, 27) * 28 + Math.Clamp((int)(x + step * Math.Cos(angle)) + k % 2, 0, 27)] = factor;
                }
            }

            return picture;
        })];
    }
}
