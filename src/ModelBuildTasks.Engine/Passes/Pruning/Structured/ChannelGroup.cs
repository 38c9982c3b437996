using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>
/// A dependency group: units that each go or stay as one, and that all stand for the same axes of the same tensors. A unit is a channel, an
/// attention head, a hidden state, an element of the residual width; it is a set of indices on axes of constant tensors.
/// </summary>
/// <remarks>
/// A unit is dead, and its removal exact, when the columns of all <see cref="Consumers"/> are zero for it, whatever it carries; with
/// <see cref="ReadByStatistics"/> what makes it has to give zero, too.
/// </remarks>
internal sealed record ChannelGroup
{
    /// <summary>The group's index in <see cref="ChannelAnalysis.Groups"/>.</summary>
    public required int Id { get; init; }

    /// <summary>For people: the first node that makes the units, in graph order.</summary>
    public required string Name { get; init; }

    /// <summary><c>channels</c>, <c>heads</c>, <c>hidden</c> (recurrent state, or what is between two products) or <c>width</c> (what residual adds share).</summary>
    public required string Kind { get; init; }

    /// <summary>Number of units.</summary>
    public required int Units { get; init; }

    /// <summary>The number of kept units has to be a multiple of this; 1 where any number will do.</summary>
    public int Multiple { get; init; } = 1;

    /// <summary>Every constant tensor that shrinks, with each of its axes that does.</summary>
    public required IReadOnlyList<ParameterSlice> Slices { get; init; }

    /// <summary>Weighted nodes that read the units and sum over them: what a repair refits.</summary>
    public required IReadOnlyList<ConsumerSlice> Consumers { get; init; }

    /// <summary>Weighted nodes that make the units.</summary>
    public required IReadOnlyList<ProducerSlice> Producers { get; init; }

    /// <summary>Elements of constant tensors that go with each unit. Where units of two groups meet in a tensor, both count the elements.</summary>
    public required IReadOnlyList<long> Parameters { get; init; }

    /// <summary>Multiply-accumulates that go with each unit, of one sample where the first axis is free; 0 where shapes are unknown.</summary>
    public required IReadOnlyList<long> Macs { get; init; }

    /// <summary>
    /// Whether the units are read without weights as well: by the mean or variance of a normalization over them. Removal then keeps what the
    /// statistics would be with zeros in their place, and is exact only for units that carry zero.
    /// </summary>
    public bool ReadByStatistics { get; init; }

    /// <summary>Why parts of the same tensors' axes do not belong to the group: reasons of barriers.</summary>
    public IReadOnlyList<string> HeldBack { get; init; } = [];
}

/// <summary>What a constant tensor does for the units of a group.</summary>
internal enum SliceRole
{
    /// <summary>A weight whose rows make the units.</summary>
    Producer,

    /// <summary>A weight whose columns read the units.</summary>
    Consumer,

    /// <summary>Added to the units or put beside others: a bias. Zero is what a removed unit has.</summary>
    Offset,

    /// <summary>Multiplied with the units, one by one: a norm's scale, a depthwise kernel.</summary>
    Scale,

    /// <summary>Anything else that has an element a unit: a divisor, a variance, an initial state. Zero may mean something else there.</summary>
    Other,
}

/// <summary>An axis of a constant tensor along which units are cut out.</summary>
/// <param name="Graph">The graph that defines the tensor, see <see cref="Onnx.GraphIndex.Number"/>.</param>
/// <param name="Tensor">Its name there.</param>
/// <param name="Axis">The axis.</param>
/// <param name="Role">What the tensor does for the units.</param>
/// <param name="Indices">For each unit, its indices on the axis in ascending order; may be empty for some.</param>
internal sealed record ParameterSlice(int Graph, string Tensor, int Axis, SliceRole Role, int[][] Indices);

/// <summary>A weighted node that reads the units.</summary>
/// <param name="Node">Its place in the model.</param>
/// <param name="Input">Index of the weight among its inputs; 2 is what a recurrent node applies to its own state.</param>
/// <param name="Activation">The value whose elements meet the columns, as the node's graph calls it.</param>
/// <param name="Columns">For each unit, the columns of the im2col row (of every group) that meet it, see <see cref="Statistics.GramGeometry"/>; ascending.</param>
internal sealed record ConsumerSlice(NodeAddress Node, int Input, string Activation, int[][] Columns);

/// <summary>A weighted node that makes the units.</summary>
/// <param name="Node">Its place in the model.</param>
/// <param name="Input">Index of the weight among its inputs.</param>
/// <param name="Rows">For each unit, rows of the weight (output channels; directions·gates·hidden for recurrent nodes); ascending.</param>
internal sealed record ProducerSlice(NodeAddress Node, int Input, int[][] Rows);
