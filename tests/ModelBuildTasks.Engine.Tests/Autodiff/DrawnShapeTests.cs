using CsCheck;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

/// <summary>Rules whose forms have tests of their own, on shapes that are drawn.</summary>
[TestClass]
public sealed class DrawnShapeTests
{
    // A rank, the dimensions, and an axis of theirs.
    private static readonly Gen<(long[] Dims, int Axis)> _shape =
        from rank in Gen.Int[1, 4]
        from dims in Gen.Long[1, 5].Array[rank]
        from axis in Gen.Int[-rank, rank - 1]
        select (dims, axis);

    [TestMethod]
    public void Products_of_matrices_in_batches_that_are_broadcast() => Gen.Select(Gen.Long[1, 5].Array[3], Gen.Long[1, 3].Array[2], Gen.Int[0, 2], Gen.Int[0, 2], Gen.Int[0, 3]).Each(
        (sizes, batch, left, right, one) =>
        {
            long[] a = [.. batch[..left].Select((d, i) => (one & 1) == 1 && i == left - 1 ? 1 : d), sizes[0], sizes[1]];
            long[] b = [.. batch[..right].Select((d, i) => (one & 2) == 2 && i == right - 1 ? 1 : d), sizes[1], sizes[2]];
            // Batches meet at their ends.
            if (left > 0 && right > 0 && a[left - 1] != b[right - 1] && a[left - 1] != 1 && b[right - 1] != 1)
                b[right - 1] = a[left - 1];
            if (left == 2 && right == 2 && a[0] != b[0])
                b[0] = a[0];
            GradientCheck.All(new SmallModel().Random("a", 1, a).Random("b", 2, b).Node("MatMul", "a,b", "y").Output("y"), 5e-3);
        },
        30);

    [TestMethod]
    [DataRow("Softmax")]
    [DataRow("LogSoftmax")]
    public void Softmax_along_any_axis(string op) => _shape.Each(
        s => GradientCheck.All(new SmallModel().Random("x", 1, s.Dims).Random("fixed", 9, s.Dims).Node("Mul", "x,fixed", "u").Node(op, "u", "y", ("axis", s.Axis)).Output("y"), 1e-2, 2e-2), 20);

    [TestMethod]
    public void Norms_over_the_last_axes() => _shape.Each(
        s =>
        {
            // Of one value there is no deviation.
            if (s.Dims[(s.Axis < 0 ? s.Axis + s.Dims.Length : s.Axis)..].Aggregate(1L, (a, b) => a * b) < 3)
                return;
            long[] scale = s.Dims[(s.Axis < 0 ? s.Axis + s.Dims.Length : s.Axis)..];
            GradientCheck.All(new SmallModel().Random("x", 1, s.Dims).Random("s", 2, scale).Random("b", 3, scale).Node("LayerNormalization", "x,s,b", "y", ("axis", s.Axis), ("epsilon", 0.1f)).Output("y"), 1e-2);
            GradientCheck.All(new SmallModel(23).Random("x", 1, s.Dims).Random("s", 2, scale).Node("RMSNormalization", "x,s", "y", ("axis", s.Axis), ("epsilon", 0.1f)).Output("y"), 1e-2);
        },
        30);

    [TestMethod]
    public void Norms_of_channels() => Gen.Select(Gen.Long[1, 3], Gen.Int[1, 3], Gen.Int[1, 3], Gen.Long[2, 4].Array[2], Gen.Int[1, 2]).Each(
        (batch, groups, size, space, rank) =>
        {
            long channels = groups * size;
            long[] x = [batch, channels, .. space[..rank]];
            GradientCheck.All(new SmallModel().Random("x", 1, x).Random("s", 2, channels).Random("b", 3, channels).Random("fixed_m", 4, channels)
                .Floats("fixed_v", [channels], [.. Enumerable.Range(0, (int)channels).Select(i => 0.5f + i)]).Node("BatchNormalization", "x,s,b,fixed_m,fixed_v", "y").Output("y"), 5e-3);
            GradientCheck.All(new SmallModel().Random("x", 1, x).Random("s", 2, channels).Random("b", 3, channels).Node("InstanceNormalization", "x,s,b", "y", ("epsilon", 0.1f)).Output("y"), 1e-2);
            GradientCheck.All(new SmallModel(21).Random("x", 1, x).Random("s", 2, channels).Random("b", 3, channels).Node("GroupNormalization", "x,s,b", "y", ("num_groups", groups), ("epsilon", 0.1f)).Output("y"), 1e-2);
            if (rank == 2)
                GradientCheck.All(new SmallModel().Random("x", 1, x).Node("LRN", "x", "y", ("size", (2 * size) - 1), ("alpha", 2f)).Output("y"), 5e-3);
        },
        15);

    [TestMethod]
    public void Parts_side_by_side_and_apart() => Gen.Select(_shape, Gen.Long[1, 3].Array[3]).Each(
        t =>
        {
            var (dims, axis) = t.Item1;
            var at = axis < 0 ? axis + dims.Length : axis;
            var small = new SmallModel(18);
            for (var i = 0; i < 3; i++)
            {
                long[] part = [.. dims];
                part[at] = t.Item2[i];
                small.Random($"x{i}", i + 1, part);
            }

            GradientCheck.All(small.Ints("sizes", t.Item2[0], t.Item2[1] + t.Item2[2]).Node("Concat", "x0,x1,x2", "c", ("axis", axis)).Node("Split", "c,sizes", "y,z", ("axis", axis)).Output("y", "z"));
        },
        20);

    [TestMethod]
    public void Rows_that_are_gathered_and_values_that_are_chosen() => Gen.Select(_shape, Gen.Long[1, 4].Array[2], Gen.Int[1, 20]).Each(
        t =>
        {
            var ((dims, axis), rows, seed) = t;
            var size = dims[axis < 0 ? axis + dims.Length : axis];
            GradientCheck.All(new SmallModel().Random("x", 1, dims).Longs("i", rows, [.. Enumerable.Range(0, (int)(rows[0] * rows[1])).Select(i => (i * seed) % size)]).Node("Gather", "x,i", "y", ("axis", axis)).Output("y"));
            GradientCheck.All(new SmallModel().Distinct("x", 1, dims).Ints("k", 1 + (seed % size)).Node("TopK", "x,k", "y,i", ("axis", axis)).Output("y"));
        },
        20);

    [TestMethod]
    public void Pads_and_sizes() => Gen.Select(Gen.Long[2, 5].Array[2], Gen.Long[0, 1].Array[4], Gen.Long[3, 9].Array[2], Gen.Int[0, 3]).Each(
        (space, pads, size, kind) =>
        {
            GradientCheck.All(new SmallModel(19).Random("x", 1, 1, 2, space[0], space[1]).Ints("p", 0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3])
                .Node("Pad", "x,p", "y", ("mode", new[] { "constant", "reflect", "edge", "wrap" }[kind])).Output("y"));
            (string, object)[] how = kind switch
            {
                0 => [("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")],
                1 => [("mode", "linear")],
                2 => [("mode", "linear"), ("coordinate_transformation_mode", "align_corners")],
                _ => [("mode", "cubic")],
            };
            GradientCheck.All(new SmallModel(19).Random("x", 1, 1, 2, space[0], space[1]).Ints("s", 1, 2, size[0], size[1]).Node("Resize", "x,,,s", "y", how).Output("y"));
        },
        24);

    [TestMethod]
    public void Attention_of_any_size() => Gen.Select(Gen.Int[1, 2], Gen.Int[1, 4], Gen.Int[1, 4], Gen.Int[1, 2], Gen.Int[1, 3], Gen.Int[1, 4]).Each(
        (batch, length, reach, shared, keys, size) =>
        {
            var model = new SmallModel(23).Random("q", 1, batch, length, keys * shared * size).Random("k", 2, batch, reach, keys * size).Random("v", 3, batch, reach, keys * 2);
            GradientCheck.All(model.Node("Attention", "q,k,v", "y", ("q_num_heads", keys * shared), ("kv_num_heads", keys)).Output("y"), 1e-2, 1e-3);
        },
        20);
}
