using System.Runtime.InteropServices;
using CsCheck;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.HalfPrecision;

namespace ModelBuildTasks.Engine.Tests.Passes.HalfPrecision;

[TestClass]
public sealed class HalfConversionTests
{
    private static readonly float[] Edges = [0f, -0f, 65504f, 65519.99f, 65520f, -65520f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, 5.96e-8f, 2.98e-8f, 1e-30f];

    private static readonly Gen<float> Any = Gen.OneOf(Gen.Float, Gen.Float[-1, 1], Gen.Float[-1e-4f, 1e-4f], Gen.Float[-70000, 70000],
        Gen.Int[0, 11].Select(i => Edges[i]));

    [TestMethod]
    public void Every_value_becomes_the_nearest_float16_and_the_ends_of_the_range_hold_what_is_beyond() => Any.Array[1, 300].Sample(values =>
    {
        var rounded = HalfConversion.Round(values);
        for (var i = 0; i < values.Length; i++)
        {
            var expected = float.IsFinite(values[i]) ? Math.Clamp(values[i], -65504f, 65504f) : values[i];
            Assert.AreEqual((float)(Half)expected, rounded[i], $"{values[i]:R}");
        }
    });

    [TestMethod]
    public void The_kernels_round_every_float16_its_neighbours_and_all_midpoints_as_the_conversion_of_single_values_does()
    {
        var values = new List<float>();
        for (uint bits = 0; bits < 0x7C00; bits++)
        {
            var (half, next) = ((float)BitConverter.UInt16BitsToHalf((ushort)bits), bits == 0x7BFF ? 65504f : (float)BitConverter.UInt16BitsToHalf((ushort)(bits + 1)));
            var middle = (half + next) / 2;
            foreach (var value in new[] { half, middle, BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(middle) + 1), middle > 0 ? BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(middle) - 1) : 0 })
                values.AddRange([value, -value]);
        }

        // Below the least step, between steps, and everywhere else.
        for (uint bits = 0; bits < BitConverter.SingleToUInt32Bits(HalfConversion.Overflow); bits += 9973)
            values.Add(BitConverter.UInt32BitsToSingle(bits));
        var (floats, halves) = (values.ToArray(), new ushort[values.Count]);
        Assert.IsTrue(HalfKernels.TryConvert(floats, halves));
        for (var i = 0; i < floats.Length; i++)
            Assert.AreEqual(BitConverter.HalfToUInt16Bits((Half)floats[i]), halves[i], $"{floats[i]:R}");
        var (signal, noise, largest) = HalfKernels.Loss(floats);
        Assert.AreEqual(1, signal / floats.Sum(v => (double)v * v), 1e-4);
        Assert.AreEqual(1, noise / floats.Sum(v => Math.Pow(v - (double)(float)(Half)v, 2)), 1e-4);
        Assert.AreEqual(floats.Max(), largest);
        foreach (var odd in new[] { 65520f, -1e9f, float.NaN, float.NegativeInfinity })
        {
            foreach (var at in new[] { 0, floats.Length - 1 })
            {
                var with = (float[])floats.Clone();
                with[at] = odd;
                Assert.IsFalse(HalfKernels.TryConvert(with, halves));
                Assert.IsTrue(HalfKernels.Loss(with).Largest >= HalfConversion.Overflow);
            }
        }
    }

    [TestMethod]
    public void A_payload_reads_the_same_from_any_place_in_parts_of_any_size() =>
        Gen.Select(Gen.Int[1, 70_000], Gen.Int[0, 3], Gen.Int[1, 100_001]).Sample((count, start, size) =>
        {
            var values = SmallModel.Values(count, count);
            var payload = HalfConversion.Convert(new MemoryPayload(MemoryMarshal.AsBytes<float>(values).ToArray()));
            var expected = MemoryMarshal.AsBytes<Half>(values.Select(v => (Half)v).ToArray()).ToArray();
            Assert.AreEqual(expected.Length, payload.Length);
            start = Math.Min(start, expected.Length);
            var read = new byte[expected.Length - start];
            for (var at = 0; at < read.Length; at += size)
                payload.Read(start + at, read.AsSpan(at, Math.Min(size, read.Length - at)));
            CollectionAssert.AreEqual(expected[start..], read);
        }, iter: 100);

    [TestMethod]
    [DataRow(new[] { 1f, 2, -3 }, null)]
    [DataRow(new[] { 1f, 70000 }, "a value is beyond float16's range")]
    [DataRow(new[] { 1f, float.NegativeInfinity, float.NaN, 0.5f }, null)]
    [DataRow(new[] { 1e-12f }, "so small that float16 leaves 0 dB")]
    [DataRow(new[] { 1.01e-6f, 2.02e-6f, -3.03e-6f }, "so small")]
    [DataRow(new[] { 1f, 1e-9f }, null)]
    [DataRow(new[] { 1e-2f, 1e-2f, 1e-5f, 1e-6f, 1e-6f, 3e-6f }, null)]
    [DataRow(new[] { 5e-4f, 1e-4f, 1.03e-6f, 2.04e-6f }, "slices of its first axis would lose more than a percent")]
    [DataRow(new float[0], null)]
    public void What_matters_and_would_be_lost_is_refused(float[] values, string? refusal)
    {
        var loss = HalfLoss.Of(new MemoryPayload(MemoryMarshal.AsBytes<float>(values).ToArray()), [values.Length]);
        if (refusal is null)
            Assert.IsNull(loss.Refusal);
        else
            StringAssert.Contains(loss.Refusal, refusal);
    }

    [TestMethod]
    public void The_loss_of_a_weight_is_that_of_its_rounded_values() => Gen.Select(Gen.Int[1, 40], Gen.Int[1, 2000]).Sample((rows, length) =>
    {
        var values = SmallModel.Values(rows, rows * length);
        var rounded = HalfConversion.Round(values);
        var loss = HalfLoss.Of(new MemoryPayload(MemoryMarshal.AsBytes<float>(values).ToArray()), [rows, length]);
        var expected = 10 * Math.Log10(values.Sum(v => (double)v * v) / values.Zip(rounded, (a, b) => (double)(a - b) * (a - b)).Sum());
        Assert.AreEqual(expected, loss.Sqnr, 0.01);
        Assert.IsGreaterThan(70, loss.Sqnr);
    }, iter: 100);
}
