using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>
/// A weight as rows that each meet the im2col rows of one group: output = Σ over the columns of weight row times im2col row.
/// </summary>
internal sealed class WeightRows
{
    private readonly int _perGroup;
    private readonly int _channels;
    private readonly int _taps;
    private readonly int _groupStep;
    private readonly int _rowStep;
    private readonly int _channelStep;

    private WeightRows(int groups, int perGroup, int channels, int inputs, int taps, int groupStep, int rowStep, int channelStep)
    {
        (Groups, _perGroup, _channels, Columns, _taps) = (groups, perGroup, channels, inputs * taps, taps);
        (_groupStep, _rowStep, _channelStep) = (groupStep, rowStep, channelStep);
    }

    /// <summary>Number of groups.</summary>
    public int Groups { get; }

    /// <summary>Rows of all groups.</summary>
    public int Count => Groups * _perGroup;

    /// <summary>K, elements of a row.</summary>
    public int Columns { get; }

    /// <summary>Input channels of a row; each has the same number of columns, one a tap, that follow one another.</summary>
    public int Inputs => Columns / _taps;

    /// <summary>The rows of a weight under a geometry of its node, see <see cref="GramGeometry.Of"/>.</summary>
    public static WeightRows Of(NodeWeight weight, GramGeometry geometry)
    {
        var dims = weight.Tensor.Dims;
        var (groups, inputs, taps) = (geometry.Groups, geometry.Channels, geometry.Taps);
        var outputs = (int)weight.Channels;
        switch (weight.Node.OpType)
        {
            case "Conv":
                var perGroup = outputs / groups;
                return new(groups, perGroup, outputs, inputs, taps, perGroup * inputs * taps, inputs * taps, taps);
            case "ConvTranspose":
                // [in, out/group, taps...]
                var shared = (int)dims[1];
                return new(groups, shared, outputs, inputs, taps, inputs * shared * taps, taps, shared * taps);
            case "LSTM" or "GRU" or "RNN":
                // [directions, gates·hidden, in]
                return new(1, (int)dims[0] * outputs, outputs, inputs, 1, 0, inputs, 1);
            default:
                return weight.ChannelAxis == 0 ? new(1, outputs, outputs, inputs, 1, 0, inputs, 1) : new(1, outputs, outputs, inputs, 1, 0, 1, outputs);
        }
    }

    /// <summary>The group that a row belongs to.</summary>
    public int Group(int row) => row / _perGroup;

    /// <summary>The row's index on the channel axis, which has its scale.</summary>
    public int Channel(int row) => row % _channels;

    /// <summary>Index in the weight of a row's element.</summary>
    public int Index(int row, int column) =>
        row / _perGroup * _groupStep + row % _perGroup * _rowStep + column / _taps * _channelStep + column % _taps;
}
