using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>
/// Split axes stay rectangular. A value whose block lies on several axes can lose whole rows along one of them; unless everything that is read from it can be
/// gathered from the axis before the split, its cells are tied so that it does.
/// </summary>
internal static class Splits
{
    public static void Tie(Labelling labelling)
    {
        bool changed;
        do
        {
            changed = false;
            foreach (var scope in labelling.Scopes)
            {
                foreach (var node in scope.Index.Graph.Node)
                {
                    foreach (var output in node.Output.Where(o => o.Length > 0 && scope.Values.GetValueOrDefault(o)?.Layout is { IsJoint: true } && !IsCovered(scope, o)))
                    {
                        foreach (var block in scope.Values[output].Layout!.Blocks.Where(b => b.IsJoint))
                            changed |= Tie(labelling, block, node);
                    }
                }
            }
        }
        while (changed);
    }

    /// <summary>Whether all that is read from a split value in the end can be gathered past it.</summary>
    public static bool IsCovered(Scope scope, string value) => !scope.Index.IsOutput(value) && scope.Index.Consumers(value).All(n =>
        IsMovement(n) && n.Input[0] == value && n.Output.Where(o => o.Length > 0).All(o => scope.Regatherings.ContainsKey(o)
            || (scope.Values.GetValueOrDefault(o)?.Layout is { IsJoint: true } && IsCovered(scope, o))));

    private static bool IsMovement(NodeProto node) =>
        node.IsStandard() && node.OpType is "Reshape" or "Transpose" or "Squeeze" or "Unsqueeze" or "Flatten" or "Gather" or "Slice" or "Split" or "Identity";

    private static bool Tie(Labelling labelling, Block block, NodeProto node)
    {
        var cells = labelling.Cells;
        int[] roots = [.. block.Cells.Select(cells.Find)];
        var best = Enumerable.Range(0, block.Sizes.Length).Select(p => (Part: p, Classes: Classes(roots, block, p))).OrderByDescending(c => c.Classes).ThenByDescending(c => block.Sizes[c.Part]).ThenBy(c => c.Part).First().Part;
        var first = new int[block.Sizes[best]];
        Array.Fill(first, int.MinValue);
        var changed = false;
        for (var i = 0; i < roots.Length; i++)
        {
            ref var cell = ref first[Index(block, best, i)];
            if (cell == int.MinValue)
                cell = roots[i];
            var (a, b) = (cells.Find(cell), cells.Find(roots[i]));
            if (a == b)
                continue;
            if (a >= 0 && b >= 0)
            {
                changed = true;
                cells.Union(a, b);
            }
            else if (cells.Pin(Math.Max(a, b)) < 0)
            {
                changed = true;
                cells.Pin(Math.Max(a, b), labelling.Barrier(node.DisplayName(), node.OpType, "what goes together with it has to stay"));
            }
        }

        return changed;
    }

    private static int Index(Block block, int part, int i) => i / block.Sizes.Skip(part + 1).Aggregate(1, (p, s) => p * s) % block.Sizes[part];

    /// <summary>How many classes would be left.</summary>
    private static int Classes(int[] roots, Block block, int part)
    {
        var trial = new ChannelCells();
        var numbers = new Dictionary<int, int>();
        var rows = trial.Fresh(block.Sizes[part]);
        for (var i = 0; i < roots.Length; i++)
        {
            if (!numbers.TryGetValue(roots[i], out var number))
                numbers[roots[i]] = number = trial.Fresh(1)[0];
            trial.Union(rows[Index(block, part, i)], number);
        }

        return rows.Select(trial.Find).Distinct().Count();
    }
}
