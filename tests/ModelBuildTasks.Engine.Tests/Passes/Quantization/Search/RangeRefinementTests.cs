using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

/// <summary>x -> Conv -> a -> something in float -> y, with rare large values in a.</summary>
[TestClass]
public sealed class RangeRefinementTests
{
    // Among the calibrators is one that cuts the rare values.
    private static readonly QuantizePlan s_cutting = QuantizeTests.Plan() with { Percentile = 99 };

    [TestMethod]
    public void A_range_is_not_narrowed_for_what_little_data_shows()
    {
        // Of a only ±1 matters, and its rare ±10 make coarse steps; other data may reach farther.
        var search = Case("Clip", QuantizeTests.Plan(ActivationMode.Uint8) with { Calibrator = Calibrator.MinMax });
        var before = search.Assign();
        Assert.IsFalse(new RangeRefinement(search.Calibration, search.Noise(), s_cutting).Refine(before));
        Assert.AreEqual(Place(before, "a").Parameters, Place(search.Assign(), "a").Parameters);
    }

    [TestMethod]
    public void What_counts_behind_the_value_is_kept_in_its_range()
    {
        // The fifth power sees hardly anything but the largest values, which a percentile cuts.
        var search = Case("Pow", QuantizeTests.Plan(ActivationMode.Uint8) with { Calibrator = Calibrator.Percentile, Percentile = 99 });
        var (noise, before) = (search.Noise(), search.Assign());
        Assert.IsTrue(new RangeRefinement(search.Calibration, noise, QuantizeTests.Plan()).Refine(before));
        var (old, better) = (Place(before, "a"), Place(search.Assign(), "a"));
        Assert.IsGreaterThan(2 * old.Parameters.Scale, better.Parameters.Scale);
        Assert.IsLessThan(0.1 * noise[old], noise[better]);
        // Read from a new table, and with all places together.
        var again = search.Noise();
        Assert.AreEqual(noise[better], again[better]);
        Assert.IsLessThan(0.5 * again.Together(before.Sources), again.Together(search.Assign().Sources));
    }

    [TestMethod]
    public void A_range_is_tried_once()
    {
        var search = Case("Pow", QuantizeTests.Plan(ActivationMode.Uint8) with { Calibrator = Calibrator.Percentile, Percentile = 99 });
        var refinement = new RangeRefinement(search.Calibration, search.Noise(), QuantizeTests.Plan());
        Assert.IsTrue(refinement.Refine(search.Assign()));
        Assert.IsFalse(refinement.Refine(search.Assign()));
    }

    [TestMethod]
    public void A_range_that_a_rule_fixes_stays()
    {
        RulePlan[] rules = [new(default, [], null, true) { TensorPattern = "^(a|x)$", Range = (-200, 200) }];
        var search = Case("Clip", QuantizeTests.Plan(ActivationMode.Uint8), rules);
        Assert.IsFalse(new RangeRefinement(search.Calibration, search.Noise(), QuantizeTests.Plan()).Refine(search.Assign()));
        Assert.AreEqual(400 / 255f, Place(search.Assign(), "a").Parameters.Scale, 1e-5f);
    }

    private static SearchCase Case(string behind, QuantizePlan plan, IReadOnlyList<RulePlan>? rules = null)
    {
        var small = new SmallModel().Input("x", 1, 8, 12, 12).Floats("w", [8, 8, 3, 3], [.. Enumerable.Range(0, 576).Select(i => i % 9 == 4 && i / 72 == i / 9 % 8 ? 1f : 0.001f * (i % 5))])
            .Floats("low", [], -1).Floats("high", [], 1).Floats("power", [], 5)
            .Node("Conv", "x,w", "a", ("pads", new long[] { 1, 1, 1, 1 }))
            .Node(behind, behind == "Clip" ? "a,low,high" : "a,power", "y").Output("y");
        var random = new Random(7);
        var batches = Enumerable.Range(0, 6).Select(_ => ListDataset.Batch("x", [1, 8, 12, 12],
            [.. Enumerable.Range(0, 1152).Select(i => (random.NextSingle() - 0.5f) * (i % 288 != 100 ? 2 : behind == "Clip" ? 20 : 200))]));
        return new(small.Model, new ListDataset([.. batches]), plan, rules);
    }

    private static ActivationNoise Place(Assignment assignment, string value) => assignment.Sources.OfType<ActivationNoise>().Single(s => s.Value == value);
}
