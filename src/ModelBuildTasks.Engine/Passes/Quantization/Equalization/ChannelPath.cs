using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>Where the channels lie in a value.</summary>
/// <param name="Axis">Their axis; -1 for the last.</param>
/// <param name="Rank">The value's number of axes, or null where it is not known.</param>
internal readonly record struct ChannelPlace(int Axis, int? Rank)
{
    /// <summary>Whether the channels lie on axis 1, as convolutions want them.</summary>
    public bool IsSecond => Axis == 1 || Axis == -1 && Rank == 2;

    /// <summary>Whether the channels lie on the last axis, as products want them.</summary>
    public bool IsLast => Axis == -1 || Axis == Rank - 1;
}

/// <summary>A linear node at the end of a path.</summary>
/// <param name="Node">The node.</param>
/// <param name="Value">What it reads.</param>
/// <param name="Block">How many of its input channels in a row belong to one channel of the path; more than 1 behind a Flatten.</param>
internal sealed record ChannelReader(NodeProto Node, string Value, int Block);

/// <summary>A constant that is added to a value of a path and has to be scaled with it.</summary>
internal sealed record ChannelSummand(NodeProto Node, int Input, ChannelPlace Place);

/// <summary>
/// What becomes of a value whose channels are scaled by positive factors: every operator on the way gives out the same factors, up
/// to the linear nodes that take them back in their weights. The function of the graph stays the same.
/// </summary>
/// <param name="Values">The scaled values with the axis of their channels (-1 for the last), in the order in which they were reached.</param>
/// <param name="Through">The operators between.</param>
/// <param name="Readers">The linear nodes at the ends.</param>
/// <param name="Summands">Constants that are added on the way.</param>
internal sealed record ChannelPath(
    IReadOnlyDictionary<string, int> Values, IReadOnlyList<NodeProto> Through, IReadOnlyList<ChannelReader> Readers, IReadOnlyList<ChannelSummand> Summands)
{
    /// <summary>Follows a value to its readers.</summary>
    /// <param name="index">The main graph.</param>
    /// <param name="value">The value whose channels are to be scaled.</param>
    /// <param name="place">Where its channels lie.</param>
    /// <param name="channels">How many there are.</param>
    /// <param name="refusal">Why it cannot be scaled, where the result is null.</param>
    public static ChannelPath? From(GraphIndex index, string value, ChannelPlace place, int channels, out string refusal)
    {
        var trace = new Trace(index, channels);
        refusal = trace.Run(value, place) ?? "";
        return refusal.Length == 0 ? trace.Path() : null;
    }

    private sealed class Trace(GraphIndex index, int channels)
    {
        private readonly OrderedDictionary<string, (ChannelPlace Place, bool Flat)> _values = [];
        private readonly List<NodeProto> _through = [];
        private readonly List<ChannelReader> _readers = [];
        private readonly List<ChannelSummand> _summands = [];
        private readonly HashSet<NodeProto> _sums = GraphEdit.Set<NodeProto>();

        public ChannelPath Path() => new(
            _values.ToDictionary(v => v.Key, v => v.Value.Place.IsSecond ? 1 : v.Value.Place.Axis), _through, _readers, _summands);

        public string? Run(string value, ChannelPlace place)
        {
            _values.Add(value, (place, false));
            for (var i = 0; i < _values.Count; i++)
            {
                var (name, (at, flat)) = _values.GetAt(i);
                if (index.IsOutput(name))
                    return $"'{name}' leaves the graph";
                foreach (var node in index.Consumers(name))
                {
                    if (Follow(node, name, at, flat) is { } refusal)
                        return refusal;
                }
            }

            // A sum is scaled only when all its summands are; a product only when one factor is.
            foreach (var node in _through.Where(n => n.Input.Count(i => _values.ContainsKey(i)) > 1 && !_sums.Contains(n)))
                return $"{node.OpType} '{node.DisplayName()}' reads its channels twice";
            if (_sums.FirstOrDefault(n => n.Input.Any(i => !_values.ContainsKey(i))) is { } sum)
                return $"Add '{sum.DisplayName()}' adds another value to it";
            return _readers.Count == 0 ? "nothing linear reads it" : null;
        }

        private string? Follow(NodeProto node, string value, ChannelPlace place, bool flat)
        {
            string Refuse(string why = "reads it") => $"{node.OpType} '{node.DisplayName()}' {why}";
            if (!node.IsStandard() || node.Bodies().Any())
                return Refuse();
            switch (node.OpType)
            {
                case "Conv" or "ConvTranspose" or "Gemm" or "MatMul":
                    var fits = node.OpType is "Conv" or "ConvTranspose" ? place.IsSecond && !flat : place.IsLast;
                    if (!fits || node.Input[0] != value || node.Input.Count(i => i == value) != 1)
                        return Refuse();
                    if (LinearLayer.Weight(index, node) is not { } weight)
                        return Refuse("has no weight of its own");
                    var inputs = LinearLayer.InputCount(node, weight);
                    if (flat ? inputs % channels != 0 : inputs != channels)
                        return Refuse("has another number of channels");
                    _readers.Add(new(node, value, inputs / channels));
                    return null;
                case "Relu" or "LeakyRelu" or "Identity" or "Abs":
                    return Pass(node, place, flat);
                case "PRelu" when node.Input[0] == value && node.Input[1] != value:
                    return Pass(node, place, flat);
                case "MaxPool" or "AveragePool" or "GlobalAveragePool" or "GlobalMaxPool" when place.IsSecond && !flat && node.Output.Count(o => o.Length > 0) == 1:
                    return Pass(node, place, flat);
                case "Transpose" when place is { Rank: { } rank } && !flat && node.Ints("perm") is { } perm && perm.Length == rank:
                    return Pass(node, new ChannelPlace(Array.IndexOf(perm, place.Axis < 0 ? rank + place.Axis : place.Axis), rank), flat);
                case "Flatten" when place.IsSecond && node.Int("axis", 1) == 1:
                    return Pass(node, new ChannelPlace(1, 2), flat: true);
                case "Mul" or "Div" when node.OpType == "Mul" || node.Input[0] == value:
                    // From the right, axes of the other factor cannot move the last one.
                    var other = node.Input[0] == value ? node.Input[1] : node.Input[0];
                    var constant = index.Constant(other);
                    return place.IsLast || constant is not null && place.Rank is { } known && constant.Dims.Count <= known ? Pass(node, place, flat) : Refuse();
                case "Add" or "Sub":
                    return Add(node, value, place, flat) ?? Pass(node, place, flat);
                default:
                    return Refuse();
            }
        }

        private string? Add(NodeProto node, string value, ChannelPlace place, bool flat)
        {
            var input = node.Input[0] == value ? 1 : 0;
            if (index.Constant(node.Input[input]) is not { } constant)
            {
                _sums.Add(node);
                return node.OpType == "Add" && place.IsLast ? null : $"{node.OpType} '{node.DisplayName()}' adds another value to it";
            }

            if (flat || (DataType)constant.DataType != DataType.Float || !IsPerChannel(constant.Dims, place))
                return $"{node.OpType} '{node.DisplayName()}' adds what is not one value a channel";
            if (!_summands.Exists(s => ReferenceEquals(s.Node, node)))
                _summands.Add(new(node, input, place));
            return null;
        }

        private bool IsPerChannel(IReadOnlyList<long> dims, ChannelPlace place)
        {
            var count = ElementTypes.Count(dims);
            if (count == 1)
                return dims.Count <= 1 && (place.IsLast || place.Rank is not null);
            var fromEnd = place.IsLast ? 1 : place.Rank is { } rank ? rank - place.Axis : 0;
            return count == channels && fromEnd > 0 && fromEnd <= dims.Count && dims[^fromEnd] == channels;
        }

        private string? Pass(NodeProto node, ChannelPlace place, bool flat)
        {
            if (_values.TryAdd(node.Output[0], (place, flat)))
                _through.Add(node);
            return null;
        }
    }
}
