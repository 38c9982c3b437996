namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>A runtime policy file.</summary>
internal static class PolicyShapes
{
    private static readonly ListShape Operators = new(Scalars.Text("an operator type"), Min: 0);

    private static readonly Property[] Properties =
    [
        new("name", Scalars.Text("the runtime's name"), "The runtime's name, for reports.") { Required = true },
        new("opset", Scalars.Integer(13, 25), "The operator set that models are upgraded to where they can be.") { Required = true },
        new("weighted", new MapShape("operator type", new ListShape(Scalars.Choice(
        [
            ("static", "quantize/dequantize pairs with calibrated ranges"),
            ("dynamic", "ranges found at run time, integer arithmetic"),
            ("weights", "weights in 8 bits, arithmetic in float"),
            ("half", "weights in float16, arithmetic in float"),
        ]))), "Operators with a weight, each with the forms the runtime executes, the preferred first.") { Required = true },
        new("products", new ListShape(Scalars.Choice(
        [
            ("static", "quantize/dequantize pairs with calibrated ranges on both inputs"),
            ("dynamic", "ranges of both inputs found at run time, integer arithmetic"),
        ]), Min: 0), "The forms of a MatMul of two activations, as in attention, the preferred first (default none)."),
        new("few_bits", new ListShape(Scalars.Choice(
        [
            ("blocked", "a blocked DequantizeLinear of 2 or 4 bits in front of a product, fused with it"),
            ("gather", "rows of an embedding decoded when they are picked: com.microsoft GatherBlockQuantized"),
            ("stored", "unpacked by constant nodes when the model is loaded"),
        ]), Min: 0), "How weights below 8 bits may be stored (default not at all)."),
        new("arithmetic", Operators, "Operators that compute on quantized activations with scales of their own."),
        new("movement", Operators, "Operators that move values and keep scale and zero point."),
        new("activation", Operators, "Operators that are joined with their producer: nothing is quantized between the two."),
        new("activations", new ObjectShape("policyActivations", "Calibrated activations.",
        [
            new("types", new ListShape(Scalars.Choice([("uint8", "unsigned 8 bit"), ("int8", "signed 8 bit"), ("uint16", "unsigned 16 bit"), ("int16", "signed 16 bit")])), "Their types, the usual one first (default uint8)."),
            new("symmetric", Scalars.Boolean, "Whether their zero point is 0 (default false)."),
        ]), "Numbers of calibrated activations."),
        new("weights", new ObjectShape("policyWeights", "Weights of integer arithmetic: signed 8 bit with zero point 0.",
        [
            new("granularity", Scalars.Choice([("channel", "a scale for each output channel (default)"), ("tensor", "one scale")]), "What has a scale of its own."),
            new("per_tensor", Operators, "Operators whose weight has one scale all the same."),
            new("saturation", Scalars.Choice([("none", "products are added exactly (default)"), ("int16", "products are added in pairs in int16 with saturation, as on processors without VNNI")]), "What limits the sum of products."),
        ]), "Numbers of weights."),
        new("bias", Scalars.Choice([("int32", "at the scale of the products (default)"), ("float", "as it is")]), "What biases become."),
        new("absorb", Scalars.Boolean, "Whether an activation vanishes in a range that begins at zero (default true), or stays in front of the quantization."),
        new("fixed_ranges", new MapShape("operator type", new ListShape(Scalars.Number(), 2, 2)), "Operators whose output has a range that the runtime fixes: the least and the greatest value."),
        new("one_scale", Operators, "Arithmetic operators whose inputs and output have one scale and zero point."),
        new("contrib", Operators, "Quantization operators of the domain com.microsoft that the runtime executes."),
        new("folding", Scalars.Boolean, "Whether the runtime computes constant expressions when it loads a model (default false)."),
        new("float16", new ObjectShape("policyFloat16", "Arithmetic in float16.",
        [
            new("compute", Scalars.Boolean, "Whether the runtime is made for arithmetic in float16 (default false): the pass float16 then converts the graph and not the weights alone."),
            new("float32", Operators, "Operators that stay float32 there, beside those that are unsafe in float16 anywhere."),
        ]), "What the runtime does with float16."),
        new("costs", CostShapes.Costs, "What operators cost, in nanoseconds of one thread."),
    ];

    /// <summary>A policy that stands for itself.</summary>
    public static ObjectShape Policy { get; } = new("policy", "What a runtime can execute and is fast at.", Properties);

    /// <summary>A policy that builds on one that ships with the engine.</summary>
    public static ObjectShape Extension { get; } = new("policy", "What a runtime can execute and is fast at.",
    [
        new("extends", Scalars.Text("the name of a runtime"), "The policy that this one builds on: what is not given here comes from there.") { Required = true },
        .. Properties.Select(p => p with { Required = p.Name == "name" }),
    ]);
}
