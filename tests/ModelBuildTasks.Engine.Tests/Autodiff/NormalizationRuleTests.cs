using CsCheck;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class NormalizationRuleTests
{
    [TestMethod]
    public void Batch_norms_with_the_statistics_of_training() => GradientCheck.All(
        new SmallModel().Random("x", 1, 2, 3, 4).Random("s", 2, 3).Random("b", 3, 3).Random("fixed_m", 4, 3).Floats("fixed_v", [3], 0.5f, 1, 2)
            .Node("BatchNormalization", "x,s,b,fixed_m,fixed_v", "y").Output("y"));

    [TestMethod]
    [DataRow(-1)]
    [DataRow(1)]
    public void Layer_norms_over_the_last_axes(int axis)
    {
        long[] dims = axis == 1 ? [3, 4] : [4];
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 4).Random("s", 2, dims).Random("b", 3, dims).Node("LayerNormalization", "x,s,b", "y", ("axis", axis)).Output("y"), 5e-3);
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 4).Random("s", 2, dims).Node("LayerNormalization", "x,s", "y", ("axis", axis), ("epsilon", 0.01f)).Output("y"), 5e-3);
    }

    [TestMethod]
    public void Norms_that_are_taken_apart()
    {
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 5).Random("s", 2, 3).Random("b", 3, 3).Node("InstanceNormalization", "x,s,b", "y", ("epsilon", 0.01f)).Output("y"), 5e-3);
        GradientCheck.All(new SmallModel(21).Random("x", 1, 2, 6, 3).Random("s", 2, 6).Random("b", 3, 6).Node("GroupNormalization", "x,s,b", "y", ("num_groups", 2)).Output("y"), 5e-3);
        GradientCheck.All(new SmallModel(23).Random("x", 1, 2, 6).Random("s", 2, 6).Node("RMSNormalization", "x,s", "y").Output("y"), 5e-3);
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 6).Node("LpNormalization", "x", "y", ("p", 2), ("axis", 1)).Output("y"), 5e-3);
        foreach (var size in new[] { 1, 3, 5 })
            GradientCheck.All(new SmallModel().Random("x", 1, 2, 6, 3, 2).Node("LRN", "x", "y", ("size", size), ("alpha", 2f), ("beta", 0.6f), ("bias", 1.5f)).Output("y"), 5e-3);
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 2, 3, 3).Node("MeanVarianceNormalization", "x", "y").Output("y"), 5e-3);
    }

    [TestMethod]
    public void Recurrent_networks_as_their_steps() => Gen.Select(Gen.Int[0, 3], Gen.Int[0, 2], Gen.Bool, Gen.Bool, Gen.Int[1, 4]).Each(
        (kind, direction, bias, state, length) =>
        {
            var (op, gates) = kind switch { 0 => ("LSTM", 4), 1 => ("RNN", 1), _ => ("GRU", 3) };
            var directions = direction == 2 ? 2 : 1;
            var model = new SmallModel(20).Random("x", 1, length, 2, 3).Random("w", 2, directions, gates * 4, 3).Random("r", 3, directions, gates * 4, 4);
            if (bias)
                model.Random("b", 4, directions, 2 * gates * 4);
            if (state)
                model.Random("h", 5, directions, 2, 4);
            if (state && kind == 0)
                model.Random("c", 6, directions, 2, 4);
            var inputs = $"x,w,r,{(bias ? "b" : "")},,{(state ? "h" : "")}{(kind == 0 ? $",{(state ? "c" : "")}" : "")}";
            (string, object)[] attributes = [("hidden_size", 4), ("direction", new[] { "forward", "reverse", "bidirectional" }[direction])];
            if (kind == 3)
                attributes = [.. attributes, ("linear_before_reset", 1)];
            string[] outputs = kind == 0 ? ["y", "yh", "yc"] : ["y", "yh"];
            GradientCheck.All(model.Node(op, inputs, string.Join(',', outputs), attributes).Output(outputs), 5e-3);
        },
        30);
}
