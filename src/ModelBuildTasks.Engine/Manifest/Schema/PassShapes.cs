namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>Options of passes, and rules.</summary>
internal static class PassShapes
{
    /// <summary>A budget of bits.</summary>
    public const string BitsPattern = "^[1-8](\\.[0-9]{1,3})? bits$";

    /// <summary>N of M weights are left, or a block of output channels and input channels.</summary>
    public const string StructurePattern = "^([1-9][0-9]?:[1-9][0-9]?|[1-9][0-9]{0,2}x[1-9][0-9]{0,2})$";

    /// <summary>What an amount of pruning can be counted in.</summary>
    public static IReadOnlyList<string> PruneMeasures { get; } = ["amount", "parameters", "macs", "bytes", "latency"];

    public static ObjectShape Quantize { get; } = new("quantize", "Quantization: weights and activations in 8 bits, or weights in fewer.",
    [
        new("weights", Scalars.ChoiceOr(BitsPattern, "a number of bits such as 4.2 bits", Scalars.Choice(
            [
                ("int8", "signed 8 bit (default)"),
                ("int4", "4 bit, symmetric"),
                ("uint4", "4 bit with a zero point"),
                ("int3", "3 bit, symmetric"),
                ("uint3", "3 bit with a zero point"),
                ("int2", "2 bit, symmetric"),
                ("uint2", "2 bit with a zero point"),
                ("ternary", "-1, 0 and 1 times a scale"),
                ("binary", "signs times a scale, one or more planes of them"),
            ],
            ["uint8", "float8"])), "What weights become. A number of bits is a budget: the average of all, scales counted, with more bits where they matter."),
        new("method", Scalars.Choice(
            [
                ("auto", "gptq with calibration data, else rtn (default)"),
                ("rtn", "to nearest, with the scale of the least error"),
                ("hqq", "half-quadratic: zero points that let outliers be wrong; needs no data"),
                ("gptq", "column by column, the rest making up for the error; needs calibration data"),
                ("awq", "input channels scaled by their activations first; needs calibration data"),
            ]), "For weights below 8 bits: how codes are found."),
        new("group", Scalars.ChoiceOr("^(16|32|64|128|256)$", "16, 32, 64, 128 or 256", Scalars.Choice([("channel", "all of an output channel")])), "For weights below 8 bits: how many weights of an output channel share a scale (default 32)."),
        new("symmetric", Scalars.Boolean, "For a budget of bits: no zero points (default false)."),
        new("planes", Scalars.Integer(1, 4), "For weights binary: how many planes (default 1)."),
        new("activations", Scalars.Choice(
            [
                ("auto", "what the runtime is fast at, operator by operator (default)"),
                ("uint8", "calibrated 8 bit, of the signedness that the runtime wants; needs calibration data"),
                ("uint16", "calibrated 16 bit, where the runtime has that; needs calibration data"),
                ("dynamic", "8 bit with ranges found at run time"),
                ("none", "stay float; only weights are stored in 8 bits"),
            ],
            ["int8", "int16"]), "What activations become."),
        new("calibrator", Scalars.Choice(
        [
            ("mse", "least squared error on the histogram (default)"),
            ("minmax", "least and greatest value"),
            ("mean-minmax", "mean of the samples' least and of their greatest values"),
            ("percentile", "cuts off the same share of values at both ends"),
            ("entropy", "least divergence of the quantized histogram from the one seen"),
            ("octav", "where the noise of clipping and of rounding balance"),
            ("auto", "tensor by tensor the one of the least predicted error"),
        ]), "How a range is found from the calibration data."),
        new("percentile", Scalars.Number(50, 100, above: true), "For calibrator percentile: the share of values inside the range, in percent (default 99.999)."),
        new("per_channel", Scalars.Boolean, "A scale for each output channel of a weight (default true) instead of one for the tensor."),
        new("bias_correction", Scalars.Boolean, "Biases take back the mean error of quantized weights (default true); needs calibration data."),
        new("adaround", Scalars.Boolean, "Weights are rounded for the least error of their operator's output (default true) instead of to nearest; needs calibration data."),
        new("min_sqnr", Scalars.Number(0, 100), "For activations auto with calibration data: the signal-to-noise ratio of the outputs in dB below which precision is given back whatever it costs (default 20)."),
        new("integer_macs", Scalars.Quantity("a share such as 80%", 0, 1), "For activations auto with calibration data: the share of multiply-accumulates that stays in 8 bit arithmetic whatever min_sqnr asks for; of what may leave it, half may go because float is faster there (default 0%)."),
        new("equalization", Scalars.Boolean, "Cross-layer equalization and high-bias absorption where they help (default true); needs calibration data."),
        new("smoothquant", Scalars.Boolean, "SmoothQuant where it helps (default true); needs calibration data."),
    ])
    {
        MayBeEmpty = true,
    };

    /// <summary>How outputs are compared.</summary>
    public static ScalarShape OutputLosses { get; } = Scalars.Choice(
    [
        ("auto", "scores where a Softmax reads them or a matrix product gives them, else values (default)"),
        ("scores", "the divergence of the probabilities of classes, along the last axis"),
        ("values", "the mean squared error"),
    ]);

    public static ObjectShape Prune { get; } = new("prune", "What is removed, how much of it, and how it is chosen.",
    [
        new("structure", Scalars.ChoiceOr(StructurePattern, "a pattern such as 2:4 or a block such as 4x1", Scalars.Choice(
        [
            ("unstructured", "single weights become zero (default)"),
            ("channels", "channels go, and tensors become smaller"),
            ("heads", "attention heads go"),
            ("layers", "residual blocks go"),
        ])), "What is removed as one. 2:4 leaves 2 of 4 weights along the input channels; a block 4x1 is 4 output channels by 1 input channel that become zero together."),
        new("amount", Share(), "The share that goes, of weights, channels, heads or blocks: 50% or 0.5; below 100%."),
        new("parameters", Share(), "For channels, heads and layers: the share of the model's parameters that goes."),
        new("macs", Share(), "For channels, heads and layers: the share of the multiply-accumulates that goes."),
        new("bytes", Scalars.Bytes, "For channels, heads and layers: the most bytes that are left of the parameters."),
        new("latency", Share(), "For channels, heads and layers: the share of the time that goes, as the runtime's cost table predicts it."),
        new("method", Scalars.Choice(
        [
            ("auto", "with calibration data the one of the least predicted loss, else magnitude (default)"),
            ("magnitude", "the least absolute values, or the least norms"),
            ("wanda", "the least products of weight and norm of its input; needs calibration data"),
            ("sparsegpt", "column by column, the rest making up for the error; needs calibration data"),
            ("obs", "optimal brain surgeon: what the outputs miss least after the rest has made up for it; needs calibration data"),
            ("flap", "for channels and heads: fluctuation of the input times the norm of its weights; needs calibration data"),
        ]), "How it is chosen what goes."),
        new("allocate", Scalars.Choice(
        [
            ("auto", "loss with calibration data, else uniform (default)"),
            ("uniform", "the same share of each layer"),
            ("global", "one threshold on scores, each layer's normalized"),
            ("loss", "where the predicted loss for what is saved is least; needs calibration data"),
        ]), "How the amount is spread over layers."),
        new("repair", Scalars.Choice(
        [
            ("auto", "refit with calibration data where the method makes up for what went, else none (default)"),
            ("refit", "what is left is fitted again by least squares, and biases; needs calibration data"),
            ("bias", "for channels and heads: biases take the mean of what went; needs calibration data"),
            ("none", "weights stay as they were"),
        ]), "How what is left makes up for what went."),
        new("loss", OutputLosses, "For single weights, patterns and blocks: what an error of the outputs costs."),
        new("multiple", Scalars.Integer(1, 1024), "For channels: numbers of channels left are multiples of this where the layer had a multiple (default: what the runtime likes)."),
        new("limit", Share(), "The largest share of one layer that may go, where the amount is not the same for each (default 75% for channels and heads, 95% for single weights and blocks)."),
        new("quantize", Quantize, "The quantize behind it, with the same options for weights: what is left makes up for zeros and rounding together; needs calibration data."),
    ])
    {
        Alternatives = PruneMeasures,
        AnyOf = [.. PruneMeasures, "structure"],
    };

    public static ObjectShape Float16 { get; } = new("float16", "float16 as a form of storage or as arithmetic.",
    [
        new("compute", Scalars.Boolean, "Whether the graph computes in float16 (by default as the runtime is made for it), or weights are only stored so and cast to float32 when the model is loaded."),
        new("keep_io", Scalars.Boolean, "With arithmetic in float16: whether inputs and outputs of the model stay float32 (default true)."),
    ])
    {
        MayBeEmpty = true,
    };

    public static ObjectShape Cluster { get; } = new("cluster", "Weights of few distinct values, stored as codes and a table.",
    [
        new("bits", Scalars.Integer(2, 8), "Bits of a code (default 6): a palette has at most 2^bits values."),
        new("group", Scalars.ChoiceOr("^[1-9][0-9]{0,4}$", "a number of output channels", Scalars.Choice([("tensor", "the whole tensor (default)")])), "What shares a palette: the tensor, or so many output channels."),
        new("method", Scalars.Choice(
        [
            ("auto", "gram with calibration data, else kmeans (default)"),
            ("kmeans", "optimal one-dimensional k-means; with calibration data weighted by what the weights are multiplied with"),
            ("gram", "codes for the least error of outputs and palettes that fit them, in turns; needs calibration data"),
        ]), "How palettes and codes are found."),
        new("entropy", Scalars.Number(1, 7), "Instead of palettes, for package encoding brotli: evenly spaced values in so many bits a weight on average behind an entropy coder, with more bits where they matter."),
    ])
    {
        MayBeEmpty = true,
    };

    public static ObjectShape Store { get; } = new("store", "Each tensor in the form that takes the fewest bytes.",
    [
        new("tolerance", Scalars.Quantity("a share such as 0.05%", 0, 0.1), "The largest error of a value, relative to the largest of its tensor (default 0: outputs stay the same to the bit)."),
    ])
    {
        MayBeEmpty = true,
    };

    public static ListShape Rules { get; } = new(
        new FormsShape("rule", "rule",
        [
            new("nodeRule", "An exception for the nodes that it matches.",
            [
                new("quantize", Scalars.Choice(
                    [
                        ("none", "stay float"),
                        ("int8", "are quantized as the passes say, against an earlier rule"),
                        ("static", "8 bit with calibrated activations"),
                        ("dynamic", "8 bit with ranges of activations found at run time"),
                        ("weights", "8 bit weights with float arithmetic"),
                        ("float16", "float16 weights with float arithmetic"),
                    ],
                    ["int16"]), "What happens to them; a form that the runtime has not, or that does not fit a node, leaves it float.") { Required = true },
                new("match", NodeMatch(), "Which nodes.") { Required = true },
            ]),
            new("pruneRule", "Weights that are not pruned.",
            [
                new("prune", Scalars.Choice([("none", "their weights stay as they are, and so do their channels"), ("auto", "they are pruned as the passes say, against an earlier rule")]), "What pruning does to them.") { Required = true },
                new("match", NodeMatch(), "Which nodes.") { Required = true },
            ]),
            new("tensorRule", "A range that is fixed for the values that it matches.",
            [
                new("range", new ListShape(Scalars.Number(), 2, 2), "Least and greatest value that they are quantized for, whatever calibration finds; zero is always inside.") { Required = true },
                new("match", TensorMatch(), "Which values.") { Required = true },
            ]),
            new("typeRule", "A type that is fixed for the values that it matches.",
            [
                new("type", Scalars.Choice([("uint8", "unsigned 8 bit"), ("int8", "signed 8 bit"), ("uint16", "unsigned 16 bit"), ("int16", "signed 16 bit")]), "What they are quantized to where they are; one of the types that the runtime has.") { Required = true },
                new("match", TensorMatch(), "Which values.") { Required = true },
            ]),
        ]),
        Min: 0);

    internal static ScalarShape Share() => Scalars.Quantity("a share such as 50%", 0, 1, above: true);

    private static ObjectShape TensorMatch() => new("tensorMatch", "What a value must be.",
    [
        new("tensor", Scalars.Pattern, "A regular expression that is found in the value's name.") { Required = true },
    ]);

    private static ObjectShape NodeMatch()
    {
        var names = new UnionShape(Scalars.Text("the name of a node or value"), new ListShape(Scalars.Text("the name of a node or value")), null);
        return new("match", "What a node must be; with several keys, all of it.",
        [
            new("op", new UnionShape(Scalars.Text("an operator type"), new ListShape(Scalars.Text("an operator type")), null), "An operator type such as Gemm, or a list of them."),
            new("name", Scalars.Pattern, "A regular expression that is found in the node's name, or, where it has none, in its first output's."),
            new("subgraph", new ObjectShape("subgraph", "The nodes on all paths between two ends, which belong to it.",
            [
                new("from", names, "Nodes, or values from whose readers on; without it, from the start of the graph."),
                new("to", names, "Nodes, or values up to whose makers; without it, to the end of the graph."),
            ])
            {
                AnyOf = ["from", "to"],
            }, "The part of the graph the node lies in."),
        ])
        {
            AnyOf = ["op", "name", "subgraph"],
        };
    }
}
