using CsCheck;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class ConvolutionRuleTests
{
    private sealed record Form(int Rank, int Group, int Inputs, int Outputs, long[] Kernel, long[] Strides, long[] Dilations, long[] Pads, int Size, bool Bias);

    private static readonly Gen<Form> _forms =
        from rank in Gen.Int[1, 2]
        from @group in Gen.Int[1, 3]
        from inputs in Gen.Int[1, 3]
        from outputs in Gen.Int[1, 3]
        from kernel in Gen.Long[1, 3].Array[rank]
        from strides in Gen.Long[1, 3].Array[rank]
        from dilations in Gen.Long[1, 2].Array[rank]
        from pads in Gen.Long[0, 2].Array[2 * rank]
        from size in Gen.Int[6, 8]
        from bias in Gen.Bool
        select new Form(rank, @group, inputs, outputs, kernel, strides, dilations, pads, size, bias);

    [TestMethod]
    public void Convolutions_of_every_form() => _forms.Each(
        f =>
        {
            var model = new SmallModel()
                .Random("x", 1, [2, f.Group * f.Inputs, f.Size, .. Enumerable.Repeat((long)f.Size - 1, f.Rank - 1)])
                .Random("w", 2, [f.Group * f.Outputs, f.Inputs, .. f.Kernel]);
            if (f.Bias)
                model.Random("b", 3, f.Group * f.Outputs);
            GradientCheck.All(model.Node("Conv", f.Bias ? "x,w,b" : "x,w", "y", ("group", f.Group), ("strides", f.Strides), ("dilations", f.Dilations), ("pads", f.Pads)).Output("y"));
        },
        60);

    [TestMethod]
    public void Transposed_convolutions_of_every_form() => _forms.Each(
        f =>
        {
            // Pads must leave something over.
            long[] pads = [.. f.Pads.Select((p, i) => Math.Min(p, (f.Kernel[i % f.Rank] - 1) * f.Dilations[i % f.Rank]))];
            long[] more = [.. f.Strides.Select(s => f.Bias ? s - 1 : 0)];
            var model = new SmallModel()
                .Random("x", 1, [2, f.Group * f.Inputs, f.Size - 1, .. Enumerable.Repeat((long)f.Size - 2, f.Rank - 1)])
                .Random("w", 2, [f.Group * f.Inputs, f.Outputs, .. f.Kernel]);
            if (f.Bias)
                model.Random("b", 3, f.Group * f.Outputs);
            GradientCheck.All(model.Node(
                "ConvTranspose", f.Bias ? "x,w,b" : "x,w", "y",
                ("group", f.Group), ("strides", f.Strides), ("dilations", f.Dilations), ("pads", pads), ("output_padding", more)).Output("y"));
        },
        60);

    [TestMethod]
    [DataRow("SAME_UPPER")]
    [DataRow("SAME_LOWER")]
    [DataRow("VALID")]
    public void Pads_that_the_operator_finds_itself(string mode)
    {
        foreach (var (kernel, stride) in new[] { (3L, 1L), (2L, 1L), (3L, 2L), (4L, 3L) })
        {
            GradientCheck.All(new SmallModel().Random("x", 1, 1, 2, 7, 8).Random("w", 2, 3, 2, kernel, kernel)
                .Node("Conv", "x,w", "y", ("auto_pad", mode), ("strides", new[] { stride, stride })).Output("y"));
            GradientCheck.All(new SmallModel().Random("x", 1, 1, 2, 4, 5).Random("w", 2, 2, 3, kernel, kernel)
                .Node("ConvTranspose", "x,w", "y", ("auto_pad", mode), ("strides", new[] { stride, stride })).Output("y"));
            GradientCheck.All(new SmallModel().Random("x", 1, 1, 2, 7, 8)
                .Node("AveragePool", "x", "y", ("auto_pad", mode), ("kernel_shape", new[] { kernel, kernel }), ("strides", new[] { stride, stride })).Output("y"));
        }
    }

    [TestMethod]
    [DataRow(1, 28, 3, 1)]
    [DataRow(2, 12, 3, 2)]
    [DataRow(8, 9, 3, 1)]
    [DataRow(8, 10, 5, 2)]
    [DataRow(4, 6, 1, 1)]
    [DataRow(4, 6, 1, 2)]
    public void Depthwise_and_dense_convolutions_of_the_sizes_of_networks(int channels, int size, int kernel, int stride)
    {
        foreach (var group in new[] { 1, channels })
        {
            GradientCheck.All(new SmallModel().Random("x", 1, 3, channels, size, size).Random("w", 2, channels, channels / group, kernel, kernel)
                .Node("Conv", "x,w", "y", ("group", group), ("strides", new[] { stride, stride }), ("pads", new[] { kernel / 2, kernel / 2, kernel / 2, kernel / 2 })).Output("y"));
        }
    }

    [TestMethod]
    public void Images_that_are_too_large_to_be_copied_for_each_place_of_a_kernel() => GradientCheck.All(
        new SmallModel().Random("x", 1, 1, 8, 500, 480).Random("w", 2, 2, 8, 3, 3).Node("Conv", "x,w", "y", ("pads", new[] { 1, 1, 1, 1 })).Output("y"), 5e-3);

    [TestMethod]
    public void Kernels_of_many_places()
    {
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 2, 90).Random("w", 2, 3, 2, 40).Node("Conv", "x,w", "y", ("strides", new[] { 7 }), ("pads", new[] { 3, 5 })).Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 1, 15, 16).Random("w", 2, 2, 1, 6, 6).Node("Conv", "x,w", "y", ("dilations", new[] { 2, 1 }), ("strides", new[] { 1, 2 })).Output("y"));
    }

    [TestMethod]
    [DataRow("NOTSET")]
    [DataRow("SAME_UPPER")]
    [DataRow("SAME_LOWER")]
    public void A_transposed_convolution_with_a_given_output_shape_and_an_odd_number_of_pads(string mode) =>
        GradientCheck.All(new SmallModel().Random("x", 1, 1, 2, 4, 5).Random("w", 2, 2, 3, 3, 3)
            .Node("ConvTranspose", "x,w", "y", ("strides", new[] { 2, 2 }), ("output_shape", new[] { 8, 10 }), ("auto_pad", mode)).Output("y"));

    [TestMethod]
    public void Pooling_of_every_form() => _forms.Each(
        f =>
        {
            long[] pads = [.. f.Pads.Select((p, i) => Math.Min(p, (f.Kernel[i % f.Rank] - 1) / 2))];
            // With dilations, ceil_mode can add more than the pads that can be written (a limit of the rule).
            f = f.Bias ? f with { Dilations = [.. f.Dilations.Select(_ => 1L)] } : f;
            long[] x = [2, f.Inputs, f.Size, .. Enumerable.Repeat((long)f.Size - 1, f.Rank - 1)];
            GradientCheck.All(new SmallModel(20).Distinct("x", 1, x)
                .Node("MaxPool", "x", "y", ("kernel_shape", f.Kernel), ("strides", f.Strides), ("dilations", f.Dilations), ("pads", pads), ("ceil_mode", f.Bias ? 1 : 0)).Output("y"), 1e-2, 1e-3);
            GradientCheck.All(new SmallModel(20).Random("x", 1, x)
                .Node("AveragePool", "x", "y", ("kernel_shape", f.Kernel), ("strides", f.Strides), ("dilations", f.Dilations), ("pads", pads), ("ceil_mode", f.Bias ? 1 : 0), ("count_include_pad", f.Bias ? 0 : f.Group % 2)).Output("y"));
        },
        40);

    [TestMethod]
    [DataRow("GlobalAveragePool")]
    [DataRow("GlobalMaxPool")]
    public void Pooling_of_everything(string op) => GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 4, 5).Node(op, "x", "y").Output("y"), 1e-2, 1e-3);
}
