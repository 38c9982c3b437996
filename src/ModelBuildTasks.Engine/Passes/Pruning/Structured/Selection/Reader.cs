using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// A weight that sums over units: its rows, and the second moments of what they meet. Where a bias can take back a mean, moments are
/// about the mean.
/// </summary>
internal sealed class Reader
{
    // As a share of the diagonal's mean: what was hardly seen is not made up for by what was not seen either.
    private const double Damping = 0.01;

    private readonly WeightRows _rows;
    private readonly float[] _values;
    private readonly Dictionary<int, (double[] Moments, double[] Means)> _moments = [];

    private readonly GramMatrix? _first;
    private readonly GramMatrix? _second;
    private readonly bool _firstOnly;

    /// <param name="node">The node's place in the model.</param>
    /// <param name="weight">Its weight.</param>
    /// <param name="geometry">How it reads.</param>
    /// <param name="first">What one half of the data showed, or all of it; null where nothing was seen.</param>
    /// <param name="second">What the other half showed.</param>
    /// <param name="firstOnly">Whether the first half alone counts.</param>
    /// <param name="bias">Where a mean can be taken back.</param>
    /// <param name="values">The weight's values.</param>
    public Reader(NodeAddress node, NodeWeight weight, GramGeometry geometry, GramMatrix? first, GramMatrix? second, bool firstOnly, BiasPlace? bias, float[] values)
    {
        (Node, Weight, Geometry, _first, _second, _firstOnly, Bias, _values) = (node, weight, geometry, first, second, firstOnly, bias, values);
        _rows = WeightRows.Of(weight, geometry);
        Energy = Math.Max(double.Epsilon, Enumerable.Range(0, Groups).Sum(OutputPower));
    }

    /// <summary>The node's place in the model.</summary>
    public NodeAddress Node { get; }

    /// <summary>The weight.</summary>
    public NodeWeight Weight { get; }

    /// <summary>How the node reads.</summary>
    public GramGeometry Geometry { get; }

    /// <summary>Whether anything was seen of what it reads; else every column counts alike.</summary>
    public bool Seen => _first is not null;

    /// <summary>The same reader with what the first half of the data showed.</summary>
    public Reader Half() => _second is null ? this : new(Node, Weight, Geometry, _first, _second, firstOnly: true, Bias, _values) { OriginalBias = OriginalBias, IsShared = IsShared };

    /// <summary>Where a mean can be taken back; null where nowhere.</summary>
    public BiasPlace? Bias { get; }

    /// <summary>The bias of the original model at <see cref="Bias"/>; null where there is none.</summary>
    public float[]? OriginalBias { get; init; }

    /// <summary>Whether other nodes read the weight, too: it is cut for all of them, and fitted for none, which would be a weight for each.</summary>
    public bool IsShared { get; init; }

    /// <summary>Groups of rows that read different columns.</summary>
    public int Groups => _rows.Groups;

    /// <summary>K, columns of a row.</summary>
    public int Columns => _rows.Columns;

    /// <summary>Rows of all groups.</summary>
    public int RowCount => _rows.Count;

    /// <summary>Mean power of the outputs, about the mean where there is a bias: what losses are measured by.</summary>
    public double Energy { get; }

    /// <summary>The group of a row.</summary>
    public int Group(int row) => _rows.Group(row);

    /// <summary>The output channel of a row.</summary>
    public int Channel(int row) => _rows.Channel(row);

    /// <summary>A row's place in the weight's values.</summary>
    public int Index(int row, int column) => _rows.Index(row, column);

    /// <summary>A row of the weight.</summary>
    public double[] Row(int row)
    {
        var result = new double[Columns];
        for (var c = 0; c < result.Length; c++)
            result[c] = _values[_rows.Index(row, c)];
        return result;
    }

    /// <summary>The rows that the weight has in a clone of the model, whose nodes are where they were.</summary>
    public double[][] RowsIn(OnnxModel clone)
    {
        var map = new NodeMap(clone);
        var index = GraphEdit.Indexes(clone).First(i => i.Number == Node.Graph);
        var values = clone.ReadFloats(index.Constant(map.Node(Node).Input[Weight.Input])!);
        return [.. Enumerable.Range(0, RowCount).Select(r => Enumerable.Range(0, Columns).Select(c => (double)values[_rows.Index(r, c)]).ToArray())];
    }

    /// <summary>Damped moments of a group's columns, [K, K]; not to be changed.</summary>
    public double[] Moments(int group) => Known(group).Moments;

    /// <summary>The means of a group's columns; not to be changed.</summary>
    public double[] Means(int group) => Known(group).Means;

    private (double[] Moments, double[] Means) Known(int group)
    {
        lock (_moments)
        {
            if (_moments.TryGetValue(group, out var known))
                return known;
            var n = Columns;
            var (moments, means) = _first is null ? (new double[n * n], new double[n]) : SeenMoments.Of(_first, _second, group, Bias is not null, _firstOnly);
            double mean = 0;
            for (var i = 0; i < n; i++)
            {
                if (_first is null)
                    moments[i * n + i] = 1;
                mean += moments[i * n + i] / n;
            }

            for (var i = 0; i < n; i++)
                moments[i * n + i] += Damping * (mean > 0 ? mean : 1);
            return _moments[group] = (moments, means);
        }
    }

    /// <summary>WᵀW of a group's rows as a share of <see cref="Energy"/>, [K, K].</summary>
    public double[] Products(int group)
    {
        var n = Columns;
        var result = new double[n * n];
        for (var r = 0; r < RowCount; r++)
        {
            if (Group(r) != group)
                continue;
            var row = Row(r);
            for (var i = 0; i < n; i++)
            {
                if (row[i] != 0)
                    System.Numerics.Tensors.TensorPrimitives.MultiplyAdd(row, row[i] / Energy, result.AsSpan(i * n, n), result.AsSpan(i * n, n));
            }
        }

        return result;
    }

    private double OutputPower(int group)
    {
        var (moments, n, power) = (Moments(group), Columns, 0.0);
        for (var r = 0; r < RowCount; r++)
        {
            if (Group(r) != group)
                continue;
            var row = Row(r);
            for (var i = 0; i < n; i++)
            {
                if (row[i] != 0)
                    power += row[i] * System.Numerics.Tensors.TensorPrimitives.Dot<double>(moments.AsSpan(i * n, n), row);
            }
        }

        return power;
    }
}

/// <summary>The input of a node that is added to the outputs of a weight, one element a channel.</summary>
/// <param name="Node">The node: the weighted one, or an Add behind it.</param>
/// <param name="Input">The input's index; of the weighted node it may be absent so far.</param>
internal sealed record BiasPlace(NodeAddress Node, int Input)
{
    /// <summary>The place for a node's weight, or null where there is none.</summary>
    public static BiasPlace? Of(NodeWeight weight, GraphIndex index, NodeMap map)
    {
        var node = weight.Node;
        switch (node.OpType)
        {
            case "Conv" or "ConvTranspose" or "Gemm":
                if (node.Float("alpha", 1) != 1 || node.Float("beta", 1) != 1)
                    return null;
                if (node.InputOrEmpty(2).Length == 0)
                    return new(map[node], 2);
                return index.Constant(node.Input[2]) is { } bias && ElementTypes.Count(bias.Dims) == Outputs(weight) && bias.Dims[^1] == Outputs(weight) ? new(map[node], 2) : null;
            case "MatMul":
                if (index.IsOutput(node.Output[0]) || index.Consumers(node.Output[0]) is not [{ OpType: "Add" } add] || !add.IsStandard())
                    return null;
                var other = add.Input[0] == node.Output[0] ? 1 : 0;
                return add.Input[1 - other] == node.Output[0] && index.Constant(add.Input[other]) is { Dims.Count: > 0 } offset
                    && ElementTypes.Count(offset.Dims) == weight.Channels && offset.Dims[^1] == weight.Channels ? new(map[add], other) : null;
            default:
                return null;
        }
    }

    private static long Outputs(NodeWeight weight) => weight.Node.OpType == "ConvTranspose" ? weight.Tensor.Dims[1] * weight.Node.Int("group", 1) : weight.Channels;
}
