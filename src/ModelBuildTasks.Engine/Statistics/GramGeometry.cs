using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// How a weighted node reads its input: which values meet one row of its weight. Convolutions are seen as products with the im2col
/// matrix, transposed ones as convolutions of the input with zeros between its elements; products take the last axis.
/// </summary>
internal sealed class GramGeometry
{
    private GramGeometry(int groups, int channels, int[] kernel)
    {
        (Groups, Channels, Kernel) = (groups, channels, kernel);
        Taps = kernel.Aggregate(1, (product, k) => product * k);
        Strides = [.. kernel.Select(_ => 1)];
        Dilations = [.. kernel.Select(_ => 1)];
        PadsBegin = new int[kernel.Length];
        PadsEnd = new int[kernel.Length];
        OutputPadding = new int[kernel.Length];
    }

    /// <summary>Groups of input channels that different output channels read.</summary>
    public int Groups { get; }

    /// <summary>Input channels of a group.</summary>
    public int Channels { get; }

    /// <summary>Lengths of the kernel's spatial axes; empty for a product.</summary>
    public int[] Kernel { get; }

    /// <summary>Elements of the kernel; 1 for a product.</summary>
    public int Taps { get; }

    /// <summary>K, the length of an im2col row: channel by channel, the taps of a channel in their order in the weight.</summary>
    public int Columns => Channels * Taps;

    /// <summary>Whether the node is a transposed convolution.</summary>
    public bool Transposed { get; private init; }

    private int[] Strides { get; init; }

    private int[] Dilations { get; init; }

    private int[] PadsBegin { get; init; }

    private int[] PadsEnd { get; init; }

    private int[] OutputPadding { get; init; }

    private string AutoPad { get; init; } = "NOTSET";

    /// <summary>Equal for geometries that make the same rows of the same value.</summary>
    public string Key => string.Join(' ', ((int[][])[[Groups, Channels, Transposed ? 1 : 0], Kernel, Strides, Dilations, PadsBegin, PadsEnd, OutputPadding])
        .Select(list => string.Join(',', list))) + AutoPad;

    /// <summary>The geometry of a product.</summary>
    /// <param name="columns">Elements of the last axis.</param>
    public static GramGeometry Product(int columns) => new(1, columns, []);

    /// <summary>The same of a value that has as many channels again behind its own; null where channels are in groups.</summary>
    public GramGeometry? Doubled() => Groups > 1 ? null : new(1, 2 * Channels, Kernel)
    {
        Transposed = Transposed,
        Strides = Strides,
        Dilations = Dilations,
        PadsBegin = PadsBegin,
        PadsEnd = PadsEnd,
        OutputPadding = OutputPadding,
        AutoPad = AutoPad,
    };

    /// <summary>The geometry of a node's data input, or null where its rows are not defined here.</summary>
    /// <param name="node">A Conv, ConvTranspose, MatMul, Gemm, or recurrent node.</param>
    /// <param name="input">Index of the weight among the node's inputs.</param>
    /// <param name="dims">The weight's dimensions.</param>
    public static GramGeometry? Of(NodeProto node, int input, IReadOnlyList<long> dims)
    {
        switch (node.OpType)
        {
            case "Conv" or "ConvTranspose":
                return dims.Count is 3 or 4 or 5 && input == 1 ? Convolution(node, dims) : null;
            case "MatMul":
                return dims.Count == 2 && input == 1 ? new GramGeometry(1, (int)dims[0], []) : null;
            case "Gemm":
                return dims.Count == 2 && input == 1 && node.Int("transA") == 0 ? new GramGeometry(1, (int)dims[node.Int("transB") != 0 ? 1 : 0], []) : null;
            case "LSTM" or "GRU" or "RNN":
                // W [directions, gates·hidden, in] reads the sequence; what R reads is no value of the graph.
                return dims.Count == 3 && input == 1 ? new GramGeometry(1, (int)dims[2], []) : null;
            default:
                return null;
        }
    }

    /// <summary>The lengths of the output's spatial axes.</summary>
    /// <param name="input">Those of the input.</param>
    public int[] Output(ReadOnlySpan<int> input)
    {
        var output = new int[Kernel.Length];
        for (var a = 0; a < output.Length; a++)
        {
            var extent = Dilations[a] * (Kernel[a] - 1) + 1;
            output[a] = Transposed ? Strides[a] * (input[a] - 1) + OutputPadding[a] + extent - PadsBegin[a] - PadsEnd[a]
                : AutoPad.StartsWith("SAME", StringComparison.Ordinal) ? (input[a] + Strides[a] - 1) / Strides[a]
                : (input[a] + PadsBegin[a] + PadsEnd[a] - extent) / Strides[a] + 1;
        }

        return output;
    }

    /// <summary>The index on an input's axis that a tap meets at an output position; negative or beyond the end in the padding.</summary>
    public int Source(int axis, int position, int tap, int input)
    {
        if (Transposed)
        {
            var stuffed = position + PadsBegin[axis] - tap * Dilations[axis];
            return stuffed >= 0 && stuffed % Strides[axis] == 0 ? stuffed / Strides[axis] : -1;
        }

        return position * Strides[axis] - Begin(axis, input) + tap * Dilations[axis];
    }

    private int Begin(int axis, int input)
    {
        if (!AutoPad.StartsWith("SAME", StringComparison.Ordinal))
            return PadsBegin[axis];
        var output = (input + Strides[axis] - 1) / Strides[axis];
        var total = Math.Max(0, (output - 1) * Strides[axis] + Dilations[axis] * (Kernel[axis] - 1) + 1 - input);
        return AutoPad == "SAME_LOWER" ? (total + 1) / 2 : total / 2;
    }

    private static GramGeometry? Convolution(NodeProto node, IReadOnlyList<long> dims)
    {
        var transposed = node.OpType == "ConvTranspose";
        var (axes, groups) = (dims.Count - 2, (int)node.Int("group", 1));
        var autoPad = node.String("auto_pad", "NOTSET");
        if (transposed && (autoPad != "NOTSET" || node.Ints("output_shape") is not null))
            return null;
        var pads = List("pads", 2 * axes, 0);
        // VALID means no padding, whatever 'pads' says.
        if (autoPad != "NOTSET")
            pads = new int[2 * axes];
        return new GramGeometry(groups, (int)(transposed ? dims[0] / groups : dims[1]), [.. dims.Skip(2).Select(d => (int)d)])
        {
            Transposed = transposed,
            Strides = List("strides", axes, 1),
            Dilations = List("dilations", axes, 1),
            PadsBegin = pads[..axes],
            PadsEnd = pads[axes..],
            OutputPadding = List("output_padding", axes, 0),
            AutoPad = autoPad,
        };

        int[] List(string name, int count, int otherwise) =>
            node.Ints(name) is { } given && given.Length == count ? [.. given.Select(v => (int)v)] : [.. Enumerable.Repeat(otherwise, count)];
    }
}
