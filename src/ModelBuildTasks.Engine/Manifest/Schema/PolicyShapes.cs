namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>A runtime policy file.</summary>
internal static class PolicyShapes
{
    private static readonly ListShape Operators = new(Scalars.Text("an operator type"), Min: 0);

    public static ObjectShape Policy { get; } = new("policy", "What a runtime can execute and is fast at.",
    [
        new("name", Scalars.Text("the runtime's name"), "The runtime's name, for reports.") { Required = true },
        new("opset", Scalars.Integer(13, 25), "The operator set that models are upgraded to where they can be.") { Required = true },
        new("weighted", new MapShape("operator type", new ListShape(Scalars.Choice(
        [
            ("static", "quantize/dequantize pairs with calibrated ranges"),
            ("dynamic", "ranges found at run time, integer arithmetic"),
            ("weights", "weights in 8 bits, arithmetic in float"),
        ]))), "Operators with a weight, each with the forms the runtime executes, the preferred first.") { Required = true },
        new("arithmetic", Operators, "Operators that compute on quantized activations with scales of their own."),
        new("movement", Operators, "Operators that move values and keep scale and zero point."),
        new("activation", Operators, "Operators that are absorbed into their producer's range."),
    ]);
}
