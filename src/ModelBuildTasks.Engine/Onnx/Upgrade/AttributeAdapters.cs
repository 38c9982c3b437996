namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>Operators whose attributes became inputs, or got another name or default.</summary>
internal static class AttributeAdapters
{
    public static IEnumerable<Adapter> All =>
    [
        new("Slice", 10, "starts, ends and axes are inputs", Slice),
        new("Pad", 11, "pads and value are inputs", Pad),
        new("Clip", 11, "min and max are inputs", Clip),
        new("TopK", 10, "k is an input", TopK),
        new("Split", 13, "split is an input", r => MoveToInput(r, "split")),
        new("Squeeze", 13, "axes are an input", r => MoveToInput(r, "axes")),
        new("Unsqueeze", 13, "axes are an input", r => MoveToInput(r, "axes")),
        new("ReduceSum", 13, "axes are an input", r => MoveToInput(r, "axes")),
        .. new[] { "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare" }
            .Select(op => new Adapter(op, 18, "axes are an input", r => MoveToInput(r, "axes"))),
        new("Split", 18, "an even split says how many parts", EvenSplit),
        new("DFT", 20, "axis is an input", Dft),
        new("GridSample", 20, "modes have other names", GridSample),
        new("Scatter", 11, "became ScatterElements", r => Rename(r, "ScatterElements")),
        new("RoiAlign", 16, "the old placement of pixels has to be asked for", RoiAlign),
    ];

    private static string? MoveToInput(Rewrite rewrite, string attribute)
    {
        rewrite.AttributeToInput(attribute, 1);
        return null;
    }

    private static string? Rename(Rewrite rewrite, string opType)
    {
        rewrite.Node.OpType = opType;
        return null;
    }

    private static string? Slice(Rewrite rewrite)
    {
        if (rewrite.Node.Ints("starts") is not { Length: > 0 } || rewrite.Node.Ints("ends") is not { Length: > 0 })
            return "it has no starts or no ends";
        rewrite.AttributeToInput("starts", 1);
        rewrite.AttributeToInput("ends", 2);
        rewrite.AttributeToInput("axes", 3);
        return null;
    }

    private static string? TopK(Rewrite rewrite)
    {
        if (rewrite.Node.Attribute("k") is not { } k)
            return "it has no k";
        rewrite.Node.SetInput(1, rewrite.Constant("k", k.I));
        rewrite.Node.RemoveAttribute("k");
        return null;
    }

    private static string? Pad(Rewrite rewrite)
    {
        var node = rewrite.Node;
        if (node.Ints("pads") is not { } pads)
            return "it has no pads";
        node.SetInput(1, rewrite.Constant("pads", pads));
        var value = node.Float("value");
        if (value != 0 && node.String("mode", "constant") == "constant")
        {
            if (rewrite.FloatTypeOf(node.Input[0]) is not { } type)
                return "the element type of its input is not known";
            node.SetInput(2, rewrite.Scalar("pad_value", type, value));
        }

        node.RemoveAttribute("pads").RemoveAttribute("value");
        return null;
    }

    private static string? Clip(Rewrite rewrite)
    {
        var node = rewrite.Node;
        var min = node.Float("min", float.MinValue);
        var max = node.Float("max", float.MaxValue);
        node.RemoveAttribute("min").RemoveAttribute("max");
        if (min == float.MinValue && max == float.MaxValue)
            return null;
        if (rewrite.FloatTypeOf(node.Input[0]) is not { } type)
            return "the element type of its input is not known";
        if (min != float.MinValue)
            node.SetInput(1, rewrite.Scalar("min", type, min));
        if (max != float.MaxValue)
            node.SetInput(2, rewrite.Scalar("max", type, max));
        return null;
    }

    private static string? EvenSplit(Rewrite rewrite)
    {
        // Before, the number of outputs said it; parts of different lengths it did not allow.
        if (rewrite.Node.InputOrEmpty(1).Length == 0)
            rewrite.Node.Set("num_outputs", rewrite.Node.Output.Count);
        return null;
    }

    private static string? Dft(Rewrite rewrite)
    {
        rewrite.Node.SetInput(2, rewrite.Scalar("axis", rewrite.Node.Int("axis", 1)));
        rewrite.Node.RemoveAttribute("axis");
        return null;
    }

    private static string? GridSample(Rewrite rewrite)
    {
        if (rewrite.Node.String("mode", "bilinear") is var mode and not "nearest")
            rewrite.Node.Set("mode", mode == "bicubic" ? "cubic" : "linear");
        return null;
    }

    private static string? RoiAlign(Rewrite rewrite)
    {
        rewrite.Node.Set("coordinate_transformation_mode", "output_half_pixel");
        return null;
    }
}
