namespace ModelBuildTasks.Engine.Manifest;

/// <summary>What a runtime can execute and is fast at. Policies are data: <c>build/runtimes/*.yaml</c>, or a user's own file.</summary>
/// <param name="Name">Such as <c>ort-cpu</c>.</param>
/// <param name="Opset">The operator set that models are upgraded to where they can be.</param>
/// <param name="Operators">What is known of each operator type; others are left alone.</param>
public sealed record RuntimePolicy(string Name, int Opset, IReadOnlyDictionary<string, OperatorPolicy> Operators)
{
    /// <summary>The numbers of its quantized arithmetic.</summary>
    internal NumberFormats Formats { get; init; } = new();

    /// <summary>Hash of the file's text, for cache keys.</summary>
    public string ContentHash
    {
        get => field.Length == 0 && Origin.Length > 0 ? Hashing.ContentHash.OfText(Origin) : field;
        init;
    } = "";

    /// <summary>All text that the policy was read from.</summary>
    internal string Origin { get; init; } = "";

    /// <summary>The forms of a MatMul of two activations, the preferred first; empty where it stays in float.</summary>
    internal IReadOnlyList<QuantizedForm> Products { get; init; } = [];

    /// <summary>How weights below 8 bits may be stored; empty where they may not.</summary>
    internal IReadOnlyList<BitsForm> Bits { get; init; } = [];

    /// <summary>What the runtime does with float16.</summary>
    internal HalfPolicy Float16 { get; init; } = new(false, new HashSet<string>());

    /// <summary>What operators cost; empty where the policy does not say.</summary>
    internal CostTable Costs { get; init; } = CostTable.Empty;
}

/// <summary>What a runtime does with float16.</summary>
/// <param name="Compute">Whether it is made for arithmetic in float16.</param>
/// <param name="Float32">Operators that stay float32 there.</param>
internal sealed record HalfPolicy(bool Compute, IReadOnlySet<string> Float32);

/// <summary>The part an operator plays in a quantized graph.</summary>
public enum OperatorRole
{
    /// <summary>Has a weight to quantize: Conv, MatMul, Gemm, Gather.</summary>
    Weighted,

    /// <summary>Computes on quantized activations with scales of its own: Add, Mul, Sigmoid, AveragePool.</summary>
    Arithmetic,

    /// <summary>Moves values and keeps scale and zero point: Reshape, Transpose, MaxPool, Resize.</summary>
    Movement,

    /// <summary>Is joined with its producer, and vanishes in its range where the runtime allows that: Relu, Clip.</summary>
    Activation,
}

/// <summary>How a weighted operator may be quantized.</summary>
public enum QuantizedForm
{
    /// <summary>Quantize/dequantize pairs with calibrated activation ranges.</summary>
    Static,

    /// <summary>DynamicQuantizeLinear and integer arithmetic.</summary>
    Dynamic,

    /// <summary>Weights in 8 bits, arithmetic in float.</summary>
    Weights,

    /// <summary>Weights in float16, arithmetic in float: for a node whose weight loses too much in 8 bits.</summary>
    Half,
}

/// <summary>What a runtime can do with one operator.</summary>
/// <param name="Role">The part it plays.</param>
/// <param name="Forms">For weighted operators: the forms the runtime executes, the preferred first.</param>
public sealed record OperatorPolicy(OperatorRole Role, IReadOnlyList<QuantizedForm> Forms);

/// <summary>How weights below 8 bits are stored.</summary>
internal enum BitsForm
{
    /// <summary>Behind a blocked DequantizeLinear of 2 or 4 bits, which the runtime fuses with the product.</summary>
    Blocked,

    /// <summary>Rows of an embedding are decoded when they are picked (com.microsoft GatherBlockQuantized).</summary>
    Gather,

    /// <summary>Unpacked by constant nodes, which the runtime folds when it loads the model: small on disk, float in memory.</summary>
    Stored,
}
