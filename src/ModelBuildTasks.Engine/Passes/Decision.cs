namespace ModelBuildTasks.Engine.Passes;

/// <summary>What a pass did with one node, or why it left it: a row of the report.</summary>
/// <param name="Name">The node's name, or its first output's where it has none.</param>
/// <param name="Op">Operator type.</param>
/// <param name="What">What was done: <c>int8 static</c>, <c>left</c>, <c>folded</c>, <c>pruned 50 %</c>, ...</param>
/// <param name="Reason">Why, in words a user understands.</param>
public sealed record Decision(string Name, string Op, string What, string Reason)
{
    /// <summary>Signal-to-noise ratio of the node's weight after the pass in dB, where it is known.</summary>
    public double? Sqnr { get; init; }

    /// <summary>What the node's quantization alone adds to the model's outputs, noise over signal, where it was measured.</summary>
    public double? OutputNoise { get; init; }

    /// <summary>Bytes of the node's weights before.</summary>
    public long BytesBefore { get; init; }

    /// <summary>Bytes of the node's weights, scales and zero points after.</summary>
    public long BytesAfter { get; init; }
}

/// <summary>What a pass gives back.</summary>
/// <param name="Model">The new model; the one given in is unchanged.</param>
/// <param name="Decisions">What was done and left, in graph order.</param>
/// <param name="Summary">One line for people.</param>
public sealed record PassResult(Onnx.OnnxModel Model, IReadOnlyList<Decision> Decisions, string Summary)
{
    /// <summary>What the user should know although the pass did what was asked: a code and its message.</summary>
    public IReadOnlyList<(string Code, string Message)> Warnings { get; init; } = [];
}
