using CsCheck;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class ShapingRuleTests
{
    [TestMethod]
    public void What_changes_the_shape_only()
    {
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 4).Ints("s", 0, -1).Node("Reshape", "x,s", "y").Node("Flatten", "x", "z", ("axis", 2)).Output("y", "z"));
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 1, 4).Ints("a", 1).Node("Squeeze", "x,a", "y").Node("Unsqueeze", "x,a", "z").Node("Squeeze", "x", "w").Output("y", "z", "w"));
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 4).Node("Transpose", "x", "y", ("perm", new[] { 2, 0, 1 })).Node("Transpose", "x", "z").Output("y", "z"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 1).Ints("s", 2, 1, 4).Node("Expand", "x,s", "y").Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 2).Ints("s", 2, 3).Node("Tile", "x,s", "y").Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4).Node("Trilu", "x", "y", ("upper", 0)).Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4).Node("Cast", "x", "c", ("to", (int)DataType.Float)).Node("Dropout", "c", "y").Output("y"));
    }

    [TestMethod]
    public void Parts_that_are_put_together_and_taken_apart()
    {
        GradientCheck.All(new SmallModel().Random("a", 1, 2, 3).Random("b", 2, 2, 1).Random("c", 3, 2, 2).Node("Concat", "a,b,c", "y", ("axis", -1)).Output("y"));
        GradientCheck.All(new SmallModel(18).Random("x", 1, 2, 6).Ints("s", 1, 3, 2).Node("Split", "x,s", "a,b,c", ("axis", 1)).Output("a", "c"));
        GradientCheck.All(new SmallModel(18).Random("x", 1, 6, 2).Node("Split", "x", "a,b", ("axis", 0), ("num_outputs", 2)).Node("Mul", "a,b", "y").Output("y"));
    }

    [TestMethod]
    [DataRow("DCR")]
    [DataRow("CRD")]
    public void Blocks_between_depth_and_space(string mode)
    {
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 8, 3, 2).Node("DepthToSpace", "x", "y", ("blocksize", 2), ("mode", mode)).Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 2, 3, 4, 6).Node("SpaceToDepth", "x", "y", ("blocksize", 2)).Output("y"));
    }

    [TestMethod]
    public void A_slice_of_nothing_has_a_gradient_of_zeros() =>
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4).Ints("s", 0).Ints("e", 0).Ints("a", 1).Node("Slice", "x,s,e,a", "n").Node("Concat", "n,x", "y", ("axis", 1)).Output("y"));

    [TestMethod]
    public void Slices_with_any_steps() => Gen.Select(Gen.Int[-7, 7], Gen.Int[-9, 9], Gen.Int[-3, 3].Where(s => s != 0), Gen.Int[0, 2]).Each(
        (start, end, step, axis) =>
        {
            // What gives nothing has no gradient.
            long size = 5 + axis;
            var count = Enumerable.Range(0, (int)size).ToArray().AsEnumerable();
            var first = (int)Math.Clamp(start < 0 ? start + size : start, 0, step < 0 ? size - 1 : size);
            var last = (int)Math.Clamp(end < 0 ? end + size : end, step < 0 ? -1 : 0, size);
            if (step > 0 ? first >= last : first <= last)
                return;
            long[] shape = [5, 6, 7];
            GradientCheck.All(new SmallModel().Random("x", 1, shape).Ints("s", start).Ints("e", end < -size ? -100 : end).Ints("a", axis - 3).Ints("p", step).Node("Slice", "x,s,e,a,p", "y").Output("y"));
        },
        40);

    [TestMethod]
    [DataRow(0, new long[] { 2 }, new long[] { 1, 3 })]
    [DataRow(1, new long[] { }, new long[] { 2 })]
    [DataRow(-1, new long[] { 2, 2 }, new long[] { 1, 1, -1, 0 })]
    [DataRow(1, new long[] { 5 }, new long[] { 3, 1, 0, 4, 2 })]
    [DataRow(1, new long[] { 3 }, new long[] { 1, 2, 3 })]
    public void Rows_that_are_gathered(int axis, long[] dims, long[] indices)
    {
        GradientCheck.All(new SmallModel().Random("x", 1, 4, 5, 3).Longs("i", dims, indices).Node("Gather", "x,i", "y", ("axis", axis)).Output("y"));
        // The same with indices that come from outside.
        var computed = new SmallModel().Random("x", 1, 4, 5, 3).Input("i", DataType.Int64, dims).Node("Gather", "x,i", "y", ("axis", axis)).Output("y");
        GradientCheck.Of(computed.Model, ["x"], new Dictionary<string, Engine.Data.Tensor> { ["i"] = Engine.Data.Tensor.Of<long>(DataType.Int64, dims, indices) });
    }

    [TestMethod]
    public void Single_values_that_are_gathered_and_scattered()
    {
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4).Longs("i", [2, 4], 0, 2, 1, 1, 2, 2, 0, 0).Node("GatherElements", "x,i", "y", ("axis", 0)).Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4, 2).Longs("i", [3, 2], 0, 2, 1, -1, 0, 2).Node("GatherND", "x,i", "y").Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4).Random("u", 2, 2, 4).Longs("i", [2, 1], 2, 0).Node("ScatterND", "x,i,u", "y").Output("y"));
        GradientCheck.All(new SmallModel().Random("x", 1, 3, 4).Random("u", 2, 2, 4).Longs("i", [2, 4], 0, 2, 1, 1, 2, 0, 0, 0).Node("ScatterElements", "x,i,u", "y", ("axis", 0)).Output("y"));
        GradientCheck.All(new SmallModel(18).Random("x", 1, 3, 4).Random("u", 2, 2, 4).Longs("i", [2, 4], 0, 2, 1, 1, 0, 2, 1, 1).Node("ScatterElements", "x,i,u", "y", ("axis", 0), ("reduction", "add")).Output("y"));
    }

    [TestMethod]
    [DataRow(1, 1)]
    [DataRow(-1, 0)]
    public void What_is_chosen_by_its_size(int axis, int largest) => GradientCheck.All(
        new SmallModel().Distinct("x", 1, 3, 4, 5).Ints("k", 2).Node("TopK", "x,k", "y,i", ("axis", axis), ("largest", largest)).Output("y"));

    [TestMethod]
    [DataRow("constant")]
    [DataRow("reflect")]
    [DataRow("edge")]
    [DataRow("wrap")]
    public void Pads_of_every_mode(string mode)
    {
        GradientCheck.All(new SmallModel(19).Random("x", 1, 2, 4, 5).Ints("p", 0, 2, 1, 0, 1, 3).Node("Pad", "x,p", "y", ("mode", mode)).Output("y"));
        GradientCheck.All(new SmallModel(19).Random("x", 1, 2, 4, 5).Ints("p", 2, 1).Ints("a", -1).Node("Pad", "x,p,,a", "y", ("mode", mode)).Output("y"));
        if (mode == "constant")
            GradientCheck.All(new SmallModel(19).Random("x", 1, 2, 4, 5).Ints("p", 0, -1, 1, 0, 2, -2).Node("Pad", "x,p", "y").Output("y"));
    }

    [TestMethod]
    [DataRow("nearest", "asymmetric", "floor")]
    [DataRow("nearest", "half_pixel", "round_prefer_floor")]
    [DataRow("linear", "half_pixel", "")]
    [DataRow("linear", "align_corners", "")]
    [DataRow("linear", "pytorch_half_pixel", "")]
    [DataRow("linear", "asymmetric", "")]
    [DataRow("cubic", "half_pixel", "")]
    public void Resizing_in_every_mode(string mode, string coordinates, string nearest)
    {
        (string, object)[] attributes = nearest.Length == 0 ? [("mode", mode), ("coordinate_transformation_mode", coordinates)] : [("mode", mode), ("coordinate_transformation_mode", coordinates), ("nearest_mode", nearest)];
        GradientCheck.All(new SmallModel(19).Random("x", 1, 1, 2, 4, 5).Floats("fixed", [4], 1, 1, 2, 3).Node("Resize", "x,,fixed", "y", attributes).Output("y"));
        GradientCheck.All(new SmallModel(19).Random("x", 1, 1, 2, 4, 5).Floats("fixed", [4], 1, 1, 1.6f, 0.7f).Node("Resize", "x,,fixed", "y", attributes).Output("y"));
        GradientCheck.All(new SmallModel(19).Random("x", 1, 1, 2, 4, 5).Ints("s", 1, 2, 7, 5).Node("Resize", "x,,,s", "y", attributes).Output("y"));
    }
}
