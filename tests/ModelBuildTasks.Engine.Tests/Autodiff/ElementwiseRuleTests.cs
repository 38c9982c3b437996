using CsCheck;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class ElementwiseRuleTests
{
    private static readonly Gen<(long[] A, long[] B)> _broadcast =
        from rank in Gen.Int[1, 4]
        from dims in Gen.Long[1, 4].Array[rank]
        from one in Gen.Bool.Array[rank]
        from two in Gen.Bool.Array[rank]
        from skip in Gen.Int[0, rank]
        select ((long[])[.. dims.Select((d, i) => one[i] ? 1 : d)], (long[])[.. dims.Select((d, i) => two[i] ? 1 : d).Skip(skip)]);

    [TestMethod]
    [DataRow("Add")]
    [DataRow("Sub")]
    [DataRow("Mul")]
    [DataRow("Min")]
    [DataRow("Max")]
    public void Two_values_are_broadcast_against_each_other(string op) => _broadcast.Each(
        s => GradientCheck.All(new SmallModel().Random("a", 1, s.A).Random("b", 2, s.B).Node(op, "a,b", "y").Output("y"), 1e-2, 1e-3),
        8);

    [TestMethod]
    public void Quotients_and_powers_have_gradients_on_both_sides() => _broadcast.Each(
        s =>
        {
            GradientCheck.All(new SmallModel().Random("a", 1, s.A).Random("c", 2, s.B).Floats("fixed", [], 2).Node("Add", "c,fixed", "b").Node("Div", "a,b", "y").Output("y"));
            GradientCheck.All(new SmallModel().Random("c", 1, s.A).Random("b", 2, s.B).Floats("fixed", [], 2).Node("Add", "c,fixed", "a").Node("Pow", "a,b", "y").Output("y"), 5e-3);
        },
        8);

    [TestMethod]
    [DataRow(2f)]
    [DataRow(3f)]
    [DataRow(0.5f)]
    [DataRow(-1.5f)]
    public void A_power_with_a_constant_exponent(float exponent) => GradientCheck.All(
        new SmallModel().Random("a", 1, 3, 4).Floats("fixed", [], 2).Floats("fixed_p", [], exponent).Node("Add", "a,fixed", "c").Node("Pow", "c,fixed_p", "y").Output("y"));

    [TestMethod]
    public void Where_sends_each_share_to_its_side() => _broadcast.Each(
        s => GradientCheck.All(new SmallModel().Random("a", 1, s.A).Random("b", 2, s.B).Random("fixed", 3, s.A).Floats("fixed_zero", [], 0)
            .Node("Greater", "fixed,fixed_zero", "c").Node("Where", "c,a,b", "y").Node("Where", "c,b,a", "z").Output("y", "z")),
        8);

    [TestMethod]
    public void Sums_means_and_extremes_of_several_values()
    {
        foreach (var op in new[] { "Sum", "Mean", "Max", "Min" })
            GradientCheck.All(new SmallModel().Random("a", 1, 3, 1).Random("b", 2, 4).Random("c", 3, 3, 4).Node(op, "a,b,c", "y").Output("y"), 1e-2, 1e-3);
    }

    [TestMethod]
    public void A_value_that_is_read_several_times_has_all_its_shares() => GradientCheck.All(
        new SmallModel().Random("a", 1, 5).Node("Mul", "a,a", "b").Node("Mul", "b,a", "c").Node("Add", "c,a", "y").Output("y", "b"));

    [TestMethod]
    [DataRow("Relu")]
    [DataRow("LeakyRelu", "alpha", 0.2f)]
    [DataRow("ThresholdedRelu", "alpha", 0.3f)]
    [DataRow("Sigmoid")]
    [DataRow("Tanh")]
    [DataRow("Erf")]
    [DataRow("Exp")]
    [DataRow("Abs")]
    [DataRow("Neg")]
    [DataRow("Sin")]
    [DataRow("Cos")]
    [DataRow("Atan")]
    [DataRow("Softplus")]
    [DataRow("Softsign")]
    [DataRow("Elu", "alpha", 0.7f)]
    [DataRow("Celu", "alpha", 0.7f)]
    [DataRow("Selu")]
    [DataRow("HardSigmoid", "alpha", 0.7f)]
    [DataRow("HardSwish")]
    [DataRow("Mish")]
    [DataRow("Gelu")]
    [DataRow("Gelu", "approximate", "tanh")]
    [DataRow("Identity")]
    [DataRow("Asinh")]
    [DataRow("Shrink", "lambd", 0.7f)]
    public void Functions_of_one_value(string op, string? name = null, object? value = null)
    {
        // Four times as wide as the weights, so that the ends are reached, too.
        var model = new SmallModel(20).Random("a", 5, 4, 6).Floats("fixed", [], 4).Node("Mul", "a,fixed", "x");
        GradientCheck.All((name is null ? model.Node(op, "x", "y") : model.Node(op, "x", "y", (name, value!))).Output("y"), 5e-3, 2e-3);
    }

    [TestMethod]
    [DataRow("Tan")]
    [DataRow("Sinh")]
    [DataRow("Cosh")]
    [DataRow("Asin")]
    [DataRow("Acos")]
    [DataRow("Atanh")]
    public void Functions_of_a_value_near_zero(string op) => GradientCheck.All(
        new SmallModel().Random("a", 5, 4, 6).Floats("fixed", [], 0.7f).Node("Mul", "a,fixed", "x").Node(op, "x", "y").Output("y"), 5e-3, 2e-3);

    [TestMethod]
    [DataRow("Log", 1.5f)]
    [DataRow("Sqrt", 1.5f)]
    [DataRow("Reciprocal", 1.5f)]
    [DataRow("Acosh", 2.5f)]
    public void Functions_of_a_positive_value(string op, float least) => GradientCheck.All(
        new SmallModel().Random("a", 5, 4, 6).Floats("fixed", [], least).Node("Add", "a,fixed", "x").Node(op, "x", "y").Output("y"), 5e-3, 2e-3);

    [TestMethod]
    public void What_is_clipped_has_no_gradient()
    {
        GradientCheck.All(new SmallModel().Random("a", 5, 30).Floats("fixed_l", [], -0.4f).Floats("fixed_h", [], 0.3f).Node("Clip", "a,fixed_l,fixed_h", "y").Output("y"), 5e-3, 2e-3);
        GradientCheck.All(new SmallModel().Random("a", 5, 30).Floats("fixed_h", [], 0.3f).Node("Clip", "a,,fixed_h", "y").Output("y"), 5e-3, 2e-3);
    }

    [TestMethod]
    public void PRelu_learns_its_slope() =>
        GradientCheck.All(new SmallModel().Random("a", 5, 2, 3, 4).Random("s", 6, 3, 1).Node("PRelu", "a,s", "y").Output("y"), 5e-3, 2e-3);
}
