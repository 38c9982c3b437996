using CsCheck;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;

[TestClass]
public sealed class OnGridTests
{
    private const int Lanes = RoundToNearest.Lanes;

    [TestMethod]
    public void Groups_on_a_grid_keep_their_values_whatever_codes_they_use() =>
        Gen.Select(Gen.Int[2, 8], Gen.Bool, Gen.Bool, Gen.Int[0, 1000000], Gen.Int[1, 40]).Sample((bits, symmetric, halves, seed, columns) =>
        {
            var grid = BitGrid.Of(bits, symmetric);
            var random = new Random(seed);
            var tile = new float[columns * Lanes];
            for (var lane = 0; lane < Lanes; lane++)
            {
                // Some groups use few of the codes.
                var (zero, least) = (symmetric ? grid.Zero : random.Next(grid.Top + 1), random.Next(grid.Top + 1));
                var scale = halves ? (float)(Half)(0.001 + random.NextDouble()) : (float)random.NextDouble();
                var most = random.Next(least, grid.Top + 1);
                for (var c = 0; c < columns; c++)
                    tile[(c * Lanes) + lane] = scale * (random.Next(least, most + 1) - zero);
            }

            var decoded = Decode(tile, grid, halves, columns);
            CollectionAssert.AreEqual(tile, decoded);
        }, iter: 2000);

    [TestMethod]
    public void Groups_off_the_grid_are_left_to_the_search()
    {
        var tile = SmallModel.Values(7, 32 * Lanes);
        // The first lane lies on it.
        for (var c = 0; c < 32; c++)
            tile[c * Lanes] = 0.25f * ((c % 5) - 2);
        float[] found = [.. Enumerable.Repeat(99f, 2 * Lanes)];
        OnGrid.Search(tile, BitGrid.Of(4, false), true, found);
        Assert.AreEqual((0.25f, 2f), (found[0], found[Lanes]));
        Assert.IsTrue(found[1..Lanes].Concat(found[(Lanes + 1)..]).All(v => v == 99));
    }

    private static float[] Decode(float[] tile, BitGrid grid, bool halves, int columns)
    {
        var layout = new RowLayout(Lanes, columns, 1, Lanes);
        return RoundToNearest.Each(tile, layout, grid, 0, halves, 1, (t, into, _, _) =>
        {
            RoundToNearest.Best(t, grid, [], into);
            OnGrid.Search(t, grid, halves, into);
        }).Decode();
    }
}
