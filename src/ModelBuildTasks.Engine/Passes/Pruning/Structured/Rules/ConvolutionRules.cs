using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>
/// Conv and ConvTranspose. Groups share the weight's axis of input channels (of output channels in a transposed convolution): either the same channels go
/// in every group, or whole groups do, whichever leaves more choice.
/// </summary>
internal static class ConvolutionRules
{
    /// <summary>Why the spatial axes of a kernel stay. Nobody expects them to go, and no report says so.</summary>
    public const string Window = "it is the window of a convolution";

    private const string Reads = "it reads channels that cannot shrink";

    public static bool Apply(Visit visit)
    {
        if (visit.Node.OpType is not ("Conv" or "ConvTranspose"))
            return false;
        var weight = visit.Simple(1);
        var input = visit.Simple(0, weight.Rank, a => a == 1 ? 1 : 0);
        for (var axis = 0; axis < input.Rank; axis++)
        {
            if (axis > 1)
                visit.Pin(input, axis, "a convolution moves along it");
        }

        for (var axis = 2; axis < weight.Rank; axis++)
            visit.Pin(weight, axis, Window);
        var transposed = visit.Node.OpType == "ConvTranspose";
        var groups = (int)visit.Node.Int("group", 1);
        var (inputs, outputs) = transposed ? (0, 1) : (1, 0);
        var channels = groups == 1 ? Dense(visit, input, weight, inputs, outputs) : Grouped(visit, input, weight, groups, transposed);
        if (channels is not null && visit.Has(2))
        {
            var bias = visit.Simple(2);
            visit.Role(bias, 0, SliceRole.Offset);
            visit.Tie(new Layout([[Atom.Of(Block.Of(channels))]]), 0, bias, 0, Reads);
        }
        else if (visit.Has(2))
        {
            visit.PinAll(visit.Layout(2), visit.Barrier(Reads));
        }

        var shape = visit.Labelling.Shape(visit.Node.Output[0]);
        IReadOnlyList<Atom> made = channels is not null ? [Atom.Of(Block.Of(channels))] : weight.Length(outputs) * (transposed ? groups : 1) is var count and > 1 ? [Atom.Opaque(count)] : [];
        var spatial = Layout.Opaque(Enumerable.Range(2, Math.Max(0, input.Rank - 2)).Select(a => shape?.Length == input.Rank ? shape[a] : -1)).Axes;
        visit.Set(0, new Layout([input.Axes[0], made, .. spatial]), IsWeight(weight));
        return true;
    }

    /// <summary>Whether whole groups go, and not the same channels of every group: whichever there are more of.</summary>
    public static bool WholeGroups(Layout weight, int groups, bool transposed)
    {
        var (major, minor) = (weight.Length(0) / groups, weight.Length(1));
        return groups >= Math.Max(transposed ? major : minor, transposed ? minor : major);
    }

    private static bool IsWeight(Layout weight) => weight.Blocks.Any(b => b.Origin is not null);

    private static int[]? Dense(Visit visit, Layout input, Layout weight, int inputs, int outputs)
    {
        var read = visit.CellsOf(weight, inputs);
        visit.Role(weight, inputs, SliceRole.Consumer);
        visit.Tie(input, 1, weight, inputs, Reads);
        if (read is not null)
        {
            var taps = (int)Layout.Length(weight.Axes.Skip(2).SelectMany(a => a));
            visit.Labelling.Consumers.Add(new(visit.Address, 1, visit.Node.Input[0], read, taps));
        }

        return Made(visit, weight, outputs, SliceRole.Producer);
    }

    private static int[]? Made(Visit visit, Layout weight, int axis, SliceRole role)
    {
        var made = visit.CellsOf(weight, axis);
        visit.Role(weight, axis, role);
        if (made is not null && role == SliceRole.Producer)
            visit.Labelling.Producers.Add(new(visit.Address, 1, made));
        return made;
    }

    private static int[]? Grouped(Visit visit, Layout input, Layout weight, int groups, bool transposed)
    {
        var (major, minor) = (visit.CellsOf(weight, 0), visit.CellsOf(weight, 1));
        var read = visit.CellsOf(input, 1);
        if (major is null || major.Length % groups != 0)
        {
            visit.PinAll(weight, visit.Barrier(Reads));
            visit.PinAll(input, visit.Barrier(Reads));
            return null;
        }

        var (perMajor, perMinor) = (major.Length / groups, minor?.Length ?? 1);
        var (perInput, perOutput) = transposed ? (perMajor, perMinor) : (perMinor, perMajor);
        if (read is null || read.Length != groups * perInput)
        {
            // The input channels stay, and with them the number of groups and what each reads.
            visit.Pin([.. read ?? []], visit.Barrier(Reads));
            read = Enumerable.Repeat(ChannelCells.Fixed, groups * perInput).ToArray();
        }

        var whole = WholeGroups(weight, groups, transposed);
        var output = new int[groups * perOutput];
        for (var g = 0; g < groups; g++)
        {
            for (var i = 0; i < perInput; i++)
            {
                // The weight's cell that the input channel meets.
                var cell = transposed ? major[g * perInput + i] : whole ? major[g * perOutput] : minor?[i] ?? ChannelCells.Fixed;
                visit.Union([read[g * perInput + i]], [cell], Reads);
                if (whole)
                    visit.Union([major[g * perMajor]], [cell], Reads);
                else
                    visit.Union([transposed ? major[i] : cell], [cell], Reads);
            }

            for (var o = 0; o < perOutput; o++)
            {
                var cell = transposed ? whole ? major[g * perMajor] : minor?[o] ?? ChannelCells.Fixed : major[g * perOutput + o];
                output[g * perOutput + o] = cell;
                if (whole)
                    visit.Union([major[g * perMajor]], [cell], Reads);
                else if (!transposed)
                    visit.Union([major[o]], [cell], Reads);
            }
        }

        if (whole && minor is not null)
            visit.Pin(minor, visit.Barrier("every group has as many channels; whole groups go instead"));
        Roles(visit, weight, whole, transposed, minor ?? [], output, (int)Layout.Length(weight.Axes.Skip(2).SelectMany(a => a)));
        return output;
    }

    private static void Roles(Visit visit, Layout weight, bool whole, bool transposed, int[] minor, int[] output, int taps)
    {
        visit.Role(weight, 0, whole ? SliceRole.Scale : transposed ? SliceRole.Consumer : SliceRole.Producer);
        visit.Role(weight, 1, transposed ? SliceRole.Producer : SliceRole.Consumer);
        if (whole)
            return;
        visit.Labelling.Producers.Add(new(visit.Address, 1, transposed ? minor : output));
        visit.Labelling.Consumers.Add(new(visit.Address, 1, visit.Node.Input[0], transposed ? Layout0(weight, visit) : minor, taps));
    }

    // The rows of one group: the same go in each.
    private static int[] Layout0(Layout weight, Visit visit) =>
        visit.CellsOf(weight, 0) is { } cells ? cells[..(cells.Length / (int)visit.Node.Int("group", 1))] : [];
}
