namespace ModelBuildTasks.Engine.Manifest;

/// <summary>How the codes of weights below 8 bits are found.</summary>
public enum BitsMethod
{
    /// <summary>GPTQ where there is calibration data, else to nearest.</summary>
    Auto,

    /// <summary>To nearest, with the scale of the least squared error.</summary>
    Rtn,

    /// <summary>Half-quadratic: zero points for an error that tolerates outliers; no data (Badri and Shaji 2023).</summary>
    Hqq,

    /// <summary>Column by column, the rest making up for the error (Frantar et al. 2022); needs calibration data.</summary>
    Gptq,

    /// <summary>Input channels scaled by their activations first (Lin et al. 2023); needs calibration data.</summary>
    Awq,
}

/// <summary>Weights below 8 bits, with float arithmetic: <c>weights: int4</c> and what belongs to it.</summary>
/// <param name="Bits">Bits of a code, 1 to 8; 1 for bit planes, each with its scale.</param>
public sealed record BitsPlan(int Bits)
{
    /// <summary>Codes −1, 0 and 1.</summary>
    public bool Ternary { get; init; }

    /// <summary>Not every weight gets <see cref="Bits"/>, but all together at most so many on average, scales and zero points counted; null for the same for all.</summary>
    public double? Average { get; init; }

    /// <summary>How codes are found.</summary>
    public BitsMethod Method { get; init; } = BitsMethod.Auto;

    /// <summary>Weights of an output channel that share a scale; 0 for all of them.</summary>
    public int Group { get; init; } = 32;

    /// <summary>No zero point: codes on both sides of zero.</summary>
    public bool Symmetric { get; init; }

    /// <summary>For <see cref="Bits"/> 1: how many planes, each of the rest that the ones before leave.</summary>
    public int Planes { get; init; } = 1;

    /// <summary>What users call it.</summary>
    public string Word => Average is { } average ? FormattableString.Invariant($"{average:0.###} bits")
        : Ternary ? "ternary" : Bits == 1 ? "binary" : Symmetric ? $"int{Bits}" : $"uint{Bits}";
}
