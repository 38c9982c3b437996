namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary><c>Upsample</c> became <c>Resize</c>, which then got to say where its samples lie.</summary>
internal static class ResizeAdapters
{
    public static IEnumerable<Adapter> All =>
    [
        new("Upsample", 9, "scales are an input", ScalesToInput),
        new("Upsample", 10, "became Resize", UpsampleToResize),
        new("Resize", 11, "the old placement of samples has to be asked for", PlaceSamples),
        new("Resize", 13, "inputs without effect are left out", DropEmptyInputs),
    ];

    private static string? ScalesToInput(Rewrite rewrite)
    {
        if (rewrite.Node.Attribute("scales") is not { } scales)
            return "it has no scales";
        rewrite.Node.SetInput(1, rewrite.Constant("scales", [.. scales.Floats]));
        rewrite.Node.RemoveAttribute("scales");
        return null;
    }

    private static string? UpsampleToResize(Rewrite rewrite)
    {
        rewrite.Node.OpType = "Resize";
        rewrite.Upsampling.Add(rewrite.Node);
        return null;
    }

    /// <summary>
    /// Opset 10 had no attributes for it: coordinates are divided by the scale, and the nearest sample is the one before when
    /// enlarging and the one behind when shrinking.
    /// </summary>
    private static string? PlaceSamples(Rewrite rewrite)
    {
        var node = rewrite.Node;
        node.Set("coordinate_transformation_mode", "asymmetric");
        if (node.String("mode", "nearest") == "nearest")
        {
            var enlarges = true;
            if (!rewrite.Upsampling.Contains(node))
            {
                if (rewrite.ConstantTensor(node.InputOrEmpty(1)) is not { } tensor)
                    return "whether it enlarges or shrinks is not known before it runs";
                var scales = rewrite.Floats(tensor);
                enlarges = Array.TrueForAll(scales, s => s >= 1);
                if (!enlarges && Array.Exists(scales, s => s > 1))
                    return "it enlarges one axis and shrinks another";
            }

            node.Set("nearest_mode", enlarges ? "floor" : "ceil");
        }

        node.Input.Insert(1, rewrite.Constant("roi", Array.Empty<float>()));
        return null;
    }

    private static string? DropEmptyInputs(Rewrite rewrite)
    {
        var node = rewrite.Node;
        if (node.String("coordinate_transformation_mode") != "tf_crop_and_resize")
            node.SetInput(1, "");
        // With sizes, opset 11 wants scales to be there and empty.
        if (node.InputOrEmpty(3).Length > 0)
            node.SetInput(2, "");
        return null;
    }
}
