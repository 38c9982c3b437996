namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>The section <c>costs</c> of a runtime policy.</summary>
internal static class CostShapes
{
    private static readonly ScalarShape Nanoseconds = Scalars.Number(0);

    private static readonly ListShape Operators = new(Scalars.Text("an operator type"), Min: 0);

    private static readonly ObjectShape Cost = new("cost", "A cost in nanoseconds, linear in the amount of work.",
    [
        new("node", Nanoseconds, "For the call."),
        new("mac", Nanoseconds, "For each multiply-accumulate."),
        new("in", Nanoseconds, "For each element of activations that is read."),
        new("out", Nanoseconds, "For each element that is written."),
        new("weight", Nanoseconds, "For each element of weights."),
        new("column", Nanoseconds, "For each element that is gathered in front of a product (im2col)."),
        new("tap", Nanoseconds, "For each place of a convolution's window at each place of its output."),
    ])
    {
        MayBeEmpty = true,
    };

    private static readonly ObjectShape Kernel = new("kernel", "What one kernel costs in each form.",
    [
        new("operators", Operators, "The operators that it is for; without it all that no other row names."),
        new("kind", Scalars.Choice(
        [
            ("plain", "none of the others"),
            ("pointwise", "convolution with a window of one element"),
            ("depthwise", "convolution with as many groups as channels"),
            ("grouped", "convolution with groups of several channels"),
            ("line", "convolution along one axis"),
            ("row", "a matrix product with one row"),
            ("product", "a matrix product of two activations"),
        ]), "The shapes that it is for; without it all."),
        new("float", Cost, "Its cost in float.") { Required = true },
        new("static", Cost, "Its cost on 8-bit values; without it the same."),
        new("dynamic", Cost, "Its cost with a range taken at run time; without it the same."),
    ]);

    public static ObjectShape Costs { get; } = new("costs", "What operators cost on the runtime, in nanoseconds of one thread.",
    [
        new("run", Nanoseconds, "What one run costs beside its nodes."),
        new("block", Scalars.Integer(1, 1024), "Kernels compute output channels in blocks of this many."),
        new("fused", Operators, "Operators that vanish into a float Conv or Gemm whose output nobody else reads."),
        new("quantize", Cost, "Float to 8 bits where the 8-bit part begins."),
        new("dequantize", Cost, "8 bits to float where it ends."),
        new("dynamic_quantize", Cost, "Float to 8 bits with a range taken at run time."),
        new("behind", new ListShape(Kernel), "What it costs more that the 8-bit part begins right behind an operator: the runtime quantizes in front of it and has only a slow 8-bit kernel there."),
        new("kernels", new ListShape(Kernel), "The kernels; the first that fits an operator counts."),
    ]);
}
