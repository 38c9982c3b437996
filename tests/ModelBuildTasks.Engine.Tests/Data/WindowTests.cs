using System.Numerics;
using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class WindowTests
{
    // Sample i of a file is i/32768, so that a window's values tell where it lies.
    private static readonly short[] s_ramp = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    [TestMethod]
    public void Windows_follow_one_another_and_a_rest_is_left_out()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Write(folder, "a.wav", 8000, s_ramp);
        Windows(folder, new(4, 4), "1 2 3 4", "5 6 7 8");
        Windows(folder, new(4, 3), "1 2 3 4", "4 5 6 7", "7 8 9 10");
        Windows(folder, new(2, 5), "1 2", "6 7");
    }

    [TestMethod]
    public void Context_is_what_comes_before_a_window_and_zeros_at_a_beginning()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Write(folder, "a.wav", 8000, s_ramp);
        WavBytes.Write(folder, "b.wav", 8000, 21, 22, 23, 24, 25, 26, 27, 28);
        Windows(folder, new(4, 4) { Context = 2 }, "0 0 1 2 3 4", "3 4 5 6 7 8", "0 0 21 22 23 24", "23 24 25 26 27 28");
        Windows(folder, new(2, 1) { Context = 3 }, d => d with { Skip = 1, Take = 3 }, "0 0 1 2 3", "0 1 2 3 4", "1 2 3 4 5");
    }

    [TestMethod]
    public void Files_come_in_ordinal_order_and_skip_and_take_count_windows_over_all_of_them()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Write(folder, "b.wav", 8000, 21, 22, 23);
        WavBytes.Write(folder, "a.WAV", 8000, 11, 12, 13, 14);
        WavBytes.Write(folder, "Z.wav", 8000, 31, 32);
        WavBytes.Write(folder, "c.wav", 8000, 9);
        WavBytes.Write(folder, "d.wave", 8000, 41, 42);
        Windows(folder, new(2, 2), "31 32", "11 12", "13 14", "21 22", "41 42");
        Windows(folder, new(2, 2), d => d with { Skip = 1, Take = 3 }, "11 12", "13 14", "21 22");
    }

    [TestMethod]
    public void Without_a_file_or_with_shorter_ones_there_is_no_data()
    {
        using var folder = new TemporaryFolder();
        StringAssert.Contains(Make.Fails(() => Windows(folder, new(4, 4)), DiagnosticCodes.DatasetEmpty).Message, "No wav file matches '*'");
        WavBytes.Write(folder, "a.wav", 8000, 1, 2, 3);
        StringAssert.Contains(Make.Fails(() => Windows(folder, new(4, 4)), DiagnosticCodes.DatasetEmpty).Message, "as long as a window of 4 samples; the longest has 3");
    }

    [TestMethod]
    public void A_window_that_does_not_fit_the_model_is_refused_with_both_shapes()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Write(folder, "a.wav", 8000, s_ramp);
        var error = Make.Fails(() => Open(folder, new(4, 4) { Context = 1 }, null, 1, 8), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(error.Message, "the model's input 'x' is float32 [1,8]; a window of '*' with its context is float32 [5]");
    }

    [TestMethod]
    [DataRow(Taper.None)]
    [DataRow(Taper.Hann)]
    [DataRow(Taper.SqrtHann)]
    public void Spectra_are_those_of_the_definition(Taper taper)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(3);
        short[] samples = [.. Enumerable.Range(0, 30).Select(_ => (short)random.Next(-32768, 32768))];
        WavBytes.Write(folder, "a.wav", 8000, samples);
        const int size = 12, hop = 5;
        var complex = Open(folder, new(size, hop) { Spectrum = new(taper, SpectrumForm.Complex) }, null, 1, 7, 1, 2).Batches().ToList();
        var magnitude = Open(folder, new(size, hop) { Spectrum = new(taper, SpectrumForm.Magnitude) }, null, 1, 1, 7).Batches().ToList();
        Assert.HasCount((30 - size) / hop + 1, complex);
        Assert.HasCount(complex.Count, magnitude);
        CollectionAssert.AreEqual(new long[] { 1, 7, 1, 2 }, complex[0].Inputs["x"].Shape);
        CollectionAssert.AreEqual(new long[] { 1, 1, 7 }, magnitude[0].Inputs["x"].Shape);
        for (var frame = 0; frame < complex.Count; frame++)
        {
            var parts = complex[frame].Inputs["x"].ToFloats();
            var sizes = magnitude[frame].Inputs["x"].ToFloats();
            for (var k = 0; k <= size / 2; k++)
            {
                var expected = Complex.Zero;
                for (var n = 0; n < size; n++)
                {
                    var hann = 0.5 - 0.5 * Math.Cos(2 * Math.PI * n / size);
                    var weight = taper switch { Taper.Hann => hann, Taper.SqrtHann => Math.Sqrt(hann), _ => 1 };
                    expected += samples[frame * hop + n] / 32768.0 * weight * Complex.FromPolarCoordinates(1, -2 * Math.PI * k * n / size);
                }

                Assert.AreEqual(expected.Real, parts[2 * k], 1e-6);
                Assert.AreEqual(expected.Imaginary, parts[2 * k + 1], 1e-6);
                Assert.AreEqual(expected.Magnitude, sizes[k], 1e-6);
            }
        }
    }

    [TestMethod]
    public void The_fast_transform_is_the_transform_for_sizes_of_any_factors() =>
        Gen.Select(Gen.Int[1, 130], Gen.Int).Sample(
            (size, seed) =>
            {
                var random = new Random(seed);
                double[] values = [.. Enumerable.Range(0, size).Select(_ => random.NextDouble() * 2 - 1)];
                var bins = new FourierTransform(size).OfReal(values).ToArray();
                return bins.Length == size / 2 + 1 && bins.Select((bin, k) =>
                {
                    var expected = values.Select((v, n) => v * Complex.FromPolarCoordinates(1, -2 * Math.PI * ((long)k * n % size) / size)).Aggregate((a, b) => a + b);
                    return (bin - expected).Magnitude;
                }).All(error => error < 1e-11);
            },
            iter: 60, threads: 1);

    private static void Windows(TemporaryFolder folder, AudioFraming framing, params string[] expected) => Windows(folder, framing, null, expected);

    private static void Windows(TemporaryFolder folder, AudioFraming framing, Func<DatasetPlan, DatasetPlan>? change, params string[] expected)
    {
        var batches = Open(folder, framing, change, -1, -1).Batches();
        CollectionAssert.AreEqual(expected, batches.Select(b => string.Join(' ', b.Inputs["x"].ToFloats().Select(v => v * 32768))).ToArray());
    }

    private static IDataset Open(TemporaryFolder folder, AudioFraming framing, Func<DatasetPlan, DatasetPlan>? change, params long[] shape) =>
        Make.Open(new WavSource(Make.Here, folder.Path, "*", framing), Make.Input("x", DataType.Float, shape), change);
}
