using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>How a runtime wants quantized activations: x ≈ scale · (q − zeroPoint), one scale for the tensor.</summary>
/// <param name="Type">Uint8, int8, uint16 or int16.</param>
/// <param name="Symmetric">Whether the zero point is 0 and both signs reach equally far; of signed types only.</param>
internal sealed record ActivationFormat(DataType Type, bool Symmetric)
{
    /// <summary>Unsigned 8 bits with any zero point.</summary>
    public static ActivationFormat Unsigned8 { get; } = new(DataType.Uint8, Symmetric: false);

    /// <summary>Width of a code.</summary>
    public int Bits => Onnx.ElementTypes.Bits(Type);

    /// <summary>Greatest code.</summary>
    public int Greatest => Type switch { DataType.Int8 => 127, DataType.Uint8 => 255, DataType.Int16 => 32767, _ => 65535 };

    /// <summary>Least code that a value gets.</summary>
    public int Least => Type is DataType.Int8 or DataType.Int16 ? Symmetric ? -Greatest : -Greatest - 1 : 0;
}

/// <summary>The numbers that a runtime computes with in its quantized part. The defaults are those of ONNX Runtime on the CPU.</summary>
internal sealed record NumberFormats
{
    /// <summary>Formats of calibrated activations, the usual one first.</summary>
    public IReadOnlyList<ActivationFormat> Activations { get; init; } = [ActivationFormat.Unsigned8];

    /// <summary>Whether weights may have a scale for each output channel.</summary>
    public bool PerChannel { get; init; } = true;

    /// <summary>Weighted operators whose weight has one scale for the tensor all the same.</summary>
    public IReadOnlySet<string> PerTensor { get; init; } = new HashSet<string>();

    /// <summary>
    /// Whether products of 8-bit activations and weights may be added in pairs in int16 with saturation, as the instruction
    /// vpmaddubsw does on processors without VNNI.
    /// </summary>
    public bool PairsSaturate { get; init; }

    /// <summary>Whether biases are int32 at the scale of the products; otherwise they stay float.</summary>
    public bool QuantizedBias { get; init; } = true;

    /// <summary>
    /// Whether an activation vanishes in a range that begins at zero; otherwise it stays between its producer and the
    /// quantization of its output.
    /// </summary>
    public bool AbsorbsActivations { get; init; } = true;

    /// <summary>Operators whose output has a range that the runtime fixes: scale = (max − min) / 2^bits.</summary>
    public IReadOnlyDictionary<string, (double Min, double Max)> FixedRanges { get; init; } = new Dictionary<string, (double, double)>();

    /// <summary>Arithmetic operators whose inputs and output have one scale and zero point.</summary>
    public IReadOnlySet<string> OneScale { get; init; } = new HashSet<string>();

    /// <summary>Whether the runtime computes constant expressions when it loads a model, so that what can be computed need not be stored.</summary>
    public bool FoldsConstants { get; init; }

    /// <summary>Quantization operators of the domain com.microsoft that the runtime executes.</summary>
    public IReadOnlySet<string> Contrib { get; init; } = new HashSet<string>();

    /// <summary>The format of calibrated activations that a pass asks for, or null when the runtime has none of it.</summary>
    public ActivationFormat? Activation(ActivationMode mode) =>
        mode == ActivationMode.Uint16 ? Activations.FirstOrDefault(f => f.Bits == 16) : Activations[0];

    /// <summary>Whether a weight of integer arithmetic has a scale for each output channel.</summary>
    public bool IsPerChannel(string opType) => PerChannel && !PerTensor.Contains(opType);
}
