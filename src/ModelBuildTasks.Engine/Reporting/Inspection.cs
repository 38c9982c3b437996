using System.Text.Json;
using System.Text.Json.Serialization;

namespace ModelBuildTasks.Engine.Reporting;

/// <summary>What a model is made of.</summary>
public sealed record Inspection
{
    /// <summary>File name.</summary>
    public required string File { get; init; }

    /// <summary>Bytes, external data included.</summary>
    public required long Size { get; init; }

    /// <summary>Files of external data, in the model's order.</summary>
    public IReadOnlyList<string> ExternalData { get; init; } = [];

    /// <summary>Version of the file format.</summary>
    public long IrVersion { get; init; }

    /// <summary>Version of each operator set by domain; the default domain is <c>ai.onnx</c>.</summary>
    public IReadOnlyDictionary<string, long> Opsets { get; init; } = new Dictionary<string, long>();

    /// <summary>What wrote the file, with its version.</summary>
    public string Producer { get; init; } = "";

    /// <summary>The inputs that a caller gives.</summary>
    public IReadOnlyList<ValueInspection> Inputs { get; init; } = [];

    /// <summary>The outputs.</summary>
    public IReadOnlyList<ValueInspection> Outputs { get; init; } = [];

    /// <summary>Nodes by operator, bodies of control flow included, the most frequent first.</summary>
    public IReadOnlyList<OperatorInspection> Operators { get; init; } = [];

    /// <summary>Constant tensors by element type, the largest share first.</summary>
    public IReadOnlyList<WeightsInspection> Weights { get; init; } = [];

    /// <summary>Bytes of constant tensors by where they are: <c>initializers</c>, <c>Constant nodes</c>, <c>bodies</c> (either kind inside control flow), <c>other attributes</c>.</summary>
    public IReadOnlyDictionary<string, long> WeightBytesByPlace { get; init; } = new Dictionary<string, long>();

    /// <summary>The largest constant tensors.</summary>
    public IReadOnlyList<TensorInspection> LargestWeights { get; init; } = [];

    /// <summary>The nodes that read the most bytes of constants.</summary>
    public IReadOnlyList<LayerInspection> LargestLayers { get; init; } = [];

    /// <summary>Whether the model has operators of quantized arithmetic already.</summary>
    public bool Quantized { get; init; }

    /// <summary>What int8 weights would save.</summary>
    public required Int8Estimate Int8 { get; init; }

    /// <summary>The inspection as JSON text.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, InspectionJson.Default.Inspection);
}

/// <summary>An input or output.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Element type, such as <c>float32</c>; <c>other</c> for sequences and maps.</param>
/// <param name="Shape">Dimensions as numbers or names, <c>?</c> where free; null when even the rank is.</param>
public sealed record ValueInspection(string Name, string Type, IReadOnlyList<string>? Shape);

/// <summary>How often an operator occurs.</summary>
/// <param name="Op">Operator type, with its domain where that is not the default one.</param>
/// <param name="Count">Nodes.</param>
public sealed record OperatorInspection(string Op, int Count);

/// <summary>Constant tensors of one element type.</summary>
/// <param name="Type">Element type.</param>
/// <param name="Tensors">Number of tensors.</param>
/// <param name="Parameters">Number of elements.</param>
/// <param name="Bytes">Bytes.</param>
public sealed record WeightsInspection(string Type, int Tensors, long Parameters, long Bytes);

/// <summary>A constant tensor.</summary>
/// <param name="Name">Its name, or that of the node's output that holds it.</param>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Dimensions.</param>
/// <param name="Bytes">Bytes.</param>
public sealed record TensorInspection(string Name, string Type, IReadOnlyList<long> Shape, long Bytes);

/// <summary>A node and its constants.</summary>
/// <param name="Name">The node's name, or its first output's.</param>
/// <param name="Op">Operator type.</param>
/// <param name="Bytes">Bytes of the constants it reads.</param>
public sealed record LayerInspection(string Name, string Op, long Bytes);

/// <summary>An estimate from sizes alone: one byte a weight, and a scale and zero point for each output channel.</summary>
/// <param name="Layers">Operators whose float weights could be stored in 8 bits.</param>
/// <param name="WeightBytes">Bytes of those weights now.</param>
/// <param name="Size">Estimated bytes of the whole model then.</param>
/// <param name="Ratio">Size now / size then.</param>
public sealed record Int8Estimate(int Layers, long WeightBytes, long Size, double Ratio);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(Inspection))]
internal sealed partial class InspectionJson : JsonSerializerContext;
