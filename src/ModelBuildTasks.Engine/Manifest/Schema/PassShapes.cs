namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>Options of passes, and rules.</summary>
internal static class PassShapes
{
    public static ObjectShape Prune { get; } = new("prune", "Magnitude pruning within each layer.",
    [
        new("structure", Scalars.Choice([("unstructured", "single weights (default)")], ["channels", "2:4"]), "What is removed."),
        new("amount", Scalars.Quantity("a share such as 50%", 0, 1, above: true), "The share of each layer's weights that become zero: 50% or 0.5; below 100%.") { Required = true },
        new("method", Scalars.Choice([("magnitude", "the smallest absolute values (default)")], ["obs"]), "Which weights are removed."),
    ])
    {
        NotYet = ["parameters", "macs", "bytes"],
    };

    public static ObjectShape Quantize { get; } = new("quantize", "8 bit quantization.",
    [
        new("weights", Scalars.Choice([("int8", "signed 8 bit (default)")], ["int4", "uint4", "uint8", "int2", "ternary", "binary", "float8"]), "What weights become."),
        new("activations", Scalars.Choice(
            [
                ("auto", "what the runtime is fast at, operator by operator (default)"),
                ("uint8", "calibrated unsigned 8 bit; needs calibration data"),
                ("dynamic", "8 bit with ranges found at run time"),
                ("none", "stay float; only weights are stored in 8 bits"),
            ],
            ["int8", "int16", "uint16"]), "What activations become."),
        new("calibrator", Scalars.Choice(
        [
            ("mse", "least squared error on the histogram (default)"),
            ("minmax", "least and greatest value"),
            ("percentile", "cuts off the same share of values at both ends"),
        ]), "How a range is found from the calibration data."),
        new("percentile", Scalars.Number(50, 100, above: true), "For calibrator percentile: the share of values inside the range, in percent (default 99.999)."),
        new("per_channel", Scalars.Boolean, "A scale for each output channel of a weight (default true) instead of one for the tensor."),
        new("bias_correction", Scalars.Boolean, "Biases take back the mean error of quantized weights (default true); needs calibration data."),
    ])
    {
        MayBeEmpty = true,
    };

    public static ListShape Rules { get; } = new(
        new ObjectShape("rule", "An exception for the nodes that it matches.",
        [
            new("match", new ObjectShape("match", "What a node must be; with both keys, both.",
            [
                new("op", new UnionShape(Scalars.Text("an operator type"), new ListShape(Scalars.Text("an operator type")), null), "An operator type such as Gemm, or a list of them."),
                new("name", Scalars.Pattern, "A regular expression that is found in the node's name, or, where it has none, in its first output's."),
            ])
            {
                AnyOf = ["op", "name"],
            }, "Which nodes.") { Required = true },
            new("quantize", Scalars.Choice([("none", "stay float"), ("int8", "are quantized as the passes say, against an earlier rule")]), "What happens to them.") { Required = true },
        ]),
        Min: 0);
}
