namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>Operators that do something else in training: <c>BatchNormalization</c> and <c>Dropout</c>.</summary>
internal static class NormalizationAdapters
{
    public static IEnumerable<Adapter> All =>
    [
        new("BatchNormalization", 9, "always works by channel", BySpatial),
        new("BatchNormalization", 14, "empty outputs are left out", WithoutTraining),
        new("GroupNormalization", 21, "scale and bias are by channel", ByChannel),
        new("Dropout", 10, "the mask is left out", WithoutMask),
        new("Dropout", 12, "ratio is an input", RatioToInput),
    ];

    private static string? BySpatial(Rewrite rewrite)
    {
        var node = rewrite.Node;
        var spatial = node.Int("spatial", 1) != 0;
        node.RemoveAttribute("spatial");
        // Without axes behind the channels both ways are the same.
        if (spatial || rewrite.ShapeOf(node.Input[0]) is { Length: 2 })
            return null;
        if (Training(rewrite) is { } reason)
            return reason;
        if (node.Input.Count < 5)
            return "it has too few inputs";
        if (rewrite.FloatTypeOf(node.Input[0]) is not { } type)
            return "the element type of its input is not known";

        var output = node.Output[0];
        var (centred, sum, deviation, normal, scaled) = (Name("centred"), Name("variance"), Name("deviation"), Name("normal"), Name("scaled"));
        var epsilon = rewrite.Scalar("epsilon", type, node.Float("epsilon", 1e-5f));
        rewrite.KeepOutputs(1);
        rewrite.Nodes.Clear();
        rewrite.Nodes.AddRange(
        [
            GraphExtensions.Node("Sub", [node.Input[0], node.Input[3]], [centred]),
            GraphExtensions.Node("Add", [node.Input[4], epsilon], [sum]),
            GraphExtensions.Node("Sqrt", [sum], [deviation]),
            GraphExtensions.Node("Div", [centred, deviation], [normal]),
            GraphExtensions.Node("Mul", [normal, node.Input[1]], [scaled]),
            GraphExtensions.Node("Add", [scaled, node.Input[2]], [output], node.Name),
        ]);
        return null;

        string Name(string part) => rewrite.NewName($"{output}_{part}");
    }

    private static string? ByChannel(Rewrite rewrite)
    {
        var node = rewrite.Node;
        var groups = node.Int("num_groups");
        if (rewrite.ShapeOf(node.Input[0]) is not { Length: > 1 } shape || shape[1] <= 0 || groups <= 0 || shape[1] % groups != 0)
            return "the number of its channels is not known";
        for (var i = 1; i < 3; i++)
        {
            // [groups] -> [groups, 1] -> [groups, channels of a group] -> [channels]
            string column = rewrite.NewName($"{node.Output[0]}_column"), wide = rewrite.NewName($"{node.Output[0]}_wide"), flat = rewrite.NewName($"{node.Output[0]}_flat");
            rewrite.Nodes.InsertRange(rewrite.Nodes.Count - 1,
            [
                GraphExtensions.Node("Reshape", [node.Input[i], rewrite.Constant("shape", groups, 1)], [column]),
                GraphExtensions.Node("Expand", [column, rewrite.Constant("shape", groups, shape[1] / groups)], [wide]),
                GraphExtensions.Node("Reshape", [wide, rewrite.Constant("shape", shape[1])], [flat]),
            ]);
            node.Input[i] = flat;
        }

        return null;
    }

    private static string? WithoutTraining(Rewrite rewrite)
    {
        if (Training(rewrite) is { } reason)
            return reason;
        rewrite.KeepOutputs(1);
        return null;
    }

    // Before opset 14 it is the number of outputs that asks for training.
    private static string? Training(Rewrite rewrite) =>
        rewrite.Node.Output.Skip(1).Any(o => o.Length > 0) ? "it normalizes as in training" : null;

    private static string? WithoutMask(Rewrite rewrite)
    {
        // Opset 10 made the mask boolean, and what it holds outside of training was not said before.
        if (rewrite.IsUsed(rewrite.Node.Output.ElementAtOrDefault(1) ?? ""))
            return "its mask is used";
        rewrite.KeepOutputs(1);
        return null;
    }

    private static string? RatioToInput(Rewrite rewrite)
    {
        var node = rewrite.Node;
        // In opset 10 and 11 the mask of inference is not defined, from 12 on it is all true.
        if (WithoutMask(rewrite) is { } reason)
            return reason;
        if (node.Attribute("ratio") is { } ratio)
            node.SetInput(1, rewrite.Scalar("ratio", TensorProto.Types.DataType.Float, ratio.F));
        node.RemoveAttribute("ratio");
        return null;
    }
}
