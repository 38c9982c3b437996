using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>Changes what a node says of lengths: attributes and constant inputs. Most nodes say nothing.</summary>
internal static class NodeSurgery
{
    public static void Apply(NodeCut node)
    {
        if (!node.Node.IsStandard() || RegatherSurgery.Apply(node))
            return;
        switch (node.Node.OpType)
        {
            case "Reshape" when node.Output(0) is { } output && node.Cut.Changes(output):
                node.Target.RemoveAttribute("allowzero");
                node.Target.SetInput(1, node.Edit.Vector(node.Address, "shape", ShapeEntries.Of(node.Input(0)!, output, a => node.Cut.Length(output, a))
                    ?? throw new InvalidOperationException($"'{node.Node.DisplayName()}': its shape cannot be written")));
                break;
            case "Expand" when node.Output(0) is { } output && node.Cut.Changes(output):
                Expand(node, output);
                break;
            case "Resize" when node.Node.InputOrEmpty(3).Length > 0 && node.Cut.Changes(node.Input(0)) && node.Cut.Labelling.Integers(node.Scope, node.Node.Input[3]) is { } sizes:
                var resized = node.Input(0)!;
                var axes = node.Node.Ints("axes")?.Select(resized.Axis).ToList() ?? [.. Enumerable.Range(0, resized.Rank)];
                node.Target.SetInput(3, node.Edit.Vector(node.Address, "sizes", [.. sizes.Select((s, i) => node.Cut.Kept(resized, axes[i])?.Count(k => k) ?? s)]));
                break;
            case "Split" or "Slice" or "Gather":
                SelectionSurgery.Apply(node);
                break;
            case "Conv" or "ConvTranspose" when node.Node.Int("group", 1) > 1 && node.Input(1) is { } weight:
                // Whole groups go with their rows; otherwise every group loses rows.
                var groups = node.Node.Int("group", 1);
                if (ConvolutionRules.WholeGroups(weight, (int)groups, node.Node.OpType == "ConvTranspose"))
                    node.Target.Set("group", node.Cut.Length(weight, 0) / (weight.Length(0) / groups));
                break;
            case "GroupNormalization" when node.Input(0) is { } input && node.Cut.Kept(input, 1) is { } kept:
                node.Target.Set("num_groups", node.Node.Int("num_groups") * kept.Count(k => k) / kept.Length);
                break;
            case "LSTM" or "GRU" or "RNN" when node.Input(2) is { } recurrent && node.Cut.Kept(recurrent, 2) is { } kept:
                node.Target.Set("hidden_size", kept.Count(k => k));
                for (var i = 5; i < Math.Min(7, node.Node.Input.Count); i++)
                {
                    if (RecurrentRules.IsZeroState(node.Cut.Labelling.Model, node.Scope.Index, node.Node.Input[i]))
                        node.Target.Input[i] = "";
                }

                break;
            case "LayerNormalization" or "RMSNormalization" or "ReduceMean":
                StatisticsSurgery.Apply(node);
                break;
            default:
                break;
        }
    }

    // A length of 1 takes what the input has.
    private static void Expand(NodeCut node, Labels.Layout output)
    {
        if (node.Cut.Labelling.Integers(node.Scope, node.Node.Input[1]) is not { } wanted)
            return;
        var skip = output.Rank - wanted.Length;
        node.Target.SetInput(1, node.Edit.Vector(node.Address, "shape", [.. wanted.Select((w, i) => node.Cut.Kept(output, i + skip) is null ? w : 1)]));
    }
}
