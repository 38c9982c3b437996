namespace ModelBuildTasks.Engine.Manifest;

/// <summary>
/// What operators cost on a runtime, in nanoseconds of one thread: a linear model, measured once by the benchmarks (verb <c>costs</c>)
/// and shipped with the policy, so that no clock decides in a build.
/// </summary>
internal sealed record CostTable
{
    /// <summary>A table that says nothing: everything costs 0.</summary>
    public static CostTable Empty { get; } = new();

    /// <summary>What one run costs beside its nodes.</summary>
    public double Run { get; init; }

    /// <summary>Kernels compute output channels in blocks of this many; what is left of the last block costs as much as a whole one.</summary>
    public long Block { get; init; } = 1;

    /// <summary>Operators that vanish into a float Conv or Gemm whose output nobody else reads.</summary>
    public IReadOnlySet<string> Fused { get; init; } = new HashSet<string>();

    /// <summary>
    /// What it costs more that the 8-bit part begins right behind an operator: the runtime quantizes in front of it instead and has only a
    /// slow 8-bit kernel there.
    /// </summary>
    public IReadOnlyList<KernelRow> Behind { get; init; } = [];

    /// <summary>Float to 8 bits where the 8-bit part begins.</summary>
    public KernelCost Quantize { get; init; }

    /// <summary>8 bits to float where it ends.</summary>
    public KernelCost Dequantize { get; init; }

    /// <summary>Float to 8 bits with a range taken at run time.</summary>
    public KernelCost DynamicQuantize { get; init; }

    /// <summary>The kernels. The first that fits an operator counts.</summary>
    public IReadOnlyList<KernelRow> Kernels { get; init; } = [];

    /// <summary>The costs of an operator; null when nothing is known of it.</summary>
    /// <param name="opType">The operator.</param>
    /// <param name="kind">The kind of kernel that its shapes ask for.</param>
    public KernelRow? Find(string opType, KernelKind kind)
    {
        foreach (var row in Kernels)
        {
            if ((row.Operators.Count == 0 || row.Operators.Contains(opType)) && (row.Kind is null || row.Kind == kind))
                return row;
        }

        return null;
    }
}

/// <summary>What one kernel costs in each form.</summary>
/// <param name="Operators">The operators that it is for; empty for all that no other row names.</param>
/// <param name="Kind">The kind of shapes that it is for, or null for all.</param>
/// <param name="Float">Its cost in float.</param>
internal sealed record KernelRow(IReadOnlyList<string> Operators, KernelKind? Kind, KernelCost Float)
{
    /// <summary>Its cost on 8-bit values; null when it is not known and taken for the same.</summary>
    public KernelCost? Static { get; init; }

    /// <summary>Its cost with a range taken at run time, without the quantization of its input.</summary>
    public KernelCost? Dynamic { get; init; }
}

/// <summary>Kinds of kernels of one operator that differ in speed.</summary>
internal enum KernelKind
{
    /// <summary>None of the others.</summary>
    Plain,

    /// <summary>Convolution with a window of one element.</summary>
    Pointwise,

    /// <summary>Convolution with as many groups as channels.</summary>
    Depthwise,

    /// <summary>Convolution with groups of several channels.</summary>
    Grouped,

    /// <summary>Convolution along one axis.</summary>
    Line,

    /// <summary>A matrix product with one row: as fast as the weight is read.</summary>
    Row,

    /// <summary>A product of two activations, none of which was packed when the model was loaded.</summary>
    Product,
}

/// <summary>A cost in nanoseconds, linear in the amount of work.</summary>
/// <param name="Node">For the call.</param>
/// <param name="Mac">For each multiply-accumulate, channels filled up to whole blocks.</param>
/// <param name="In">For each element of activations that is read.</param>
/// <param name="Out">For each element that is written.</param>
/// <param name="Weight">For each element of weights.</param>
/// <param name="Column">For each element that is gathered in front of a product (the matrix of im2col).</param>
/// <param name="Tap">For each place of a convolution's window at each place of its output.</param>
internal readonly record struct KernelCost(double Node, double Mac, double In, double Out, double Weight, double Column, double Tap = 0)
{
    /// <summary>Nanoseconds.</summary>
    public double Of(in KernelWork work) =>
        Node + Mac * work.Macs + In * work.In + Out * work.Out + Weight * work.Weight + Column * work.Column + Tap * work.Taps;
}

/// <summary>An amount of work.</summary>
/// <param name="Macs">Multiply-accumulates, channels filled up to whole blocks.</param>
/// <param name="In">Elements of activations read.</param>
/// <param name="Out">Elements written.</param>
/// <param name="Weight">Elements of weights.</param>
/// <param name="Column">Elements gathered in front of a product.</param>
/// <param name="Taps">Places of a convolution's window times places of its output.</param>
internal readonly record struct KernelWork(double Macs, double In, double Out, double Weight, double Column, double Taps = 0);
