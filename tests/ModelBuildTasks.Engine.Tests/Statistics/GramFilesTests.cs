using System.Security.Cryptography;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class GramFilesTests
{
    [TestMethod]
    public void Matrices_come_back_bit_by_bit_and_the_data_is_not_run_again()
    {
        using var folder = new TemporaryFolder();
        var (model, data) = (Model(), new StatisticsStoreTests.Counted("a"));
        var first = Matrices(model);
        new StatisticsStore(folder.Path).Collect(model, ["x"], data, grams: first);
        var second = Matrices(model);
        var seen = new StatisticsStore(folder.Path).Collect(model, ["x"], data, grams: second);
        Assert.AreEqual(1, data.Runs);
        Assert.HasCount(1, seen);
        for (var i = 0; i < first.Length; i++)
            AssertSame(first[i], second[i]);
        Assert.IsTrue(first[0].IsValid);
        // Its values are not finite: that is known, too.
        Assert.IsFalse(first[^1].IsValid);
    }

    [TestMethod]
    public void Only_what_is_missing_is_collected()
    {
        using var folder = new TemporaryFolder();
        var (model, data) = (Model(), new StatisticsStoreTests.Counted("a"));
        Collect(Matrices(model)[..1]);
        Collect(Matrices(model)[..1]);
        Assert.AreEqual(1, data.Runs);
        var all = Matrices(model);
        Collect(all);
        Assert.AreEqual(2, data.Runs);
        var alone = Matrices(model);
        new StatisticsStore(null).Collect(model, [], data, grams: alone);
        for (var i = 0; i < all.Length; i++)
            AssertSame(alone[i], all[i]);

        void Collect(GramMatrix[] matrices) => new StatisticsStore(folder.Path).Collect(model, [], data, grams: matrices);
    }

    [TestMethod]
    [DataRow("cut")]
    [DataRow("longer")]
    [DataRow("changed")]
    [DataRow("empty")]
    [DataRow("not finite")]
    [DataRow("impossible")]
    [DataRow("other rows")]
    [DataRow("no rows")]
    public void A_damaged_or_hostile_file_is_no_file_and_is_mended(string damage)
    {
        using var folder = new TemporaryFolder();
        var (model, data) = (Model(), new StatisticsStoreTests.Counted("a"));
        var good = Matrices(model)[..1];
        new StatisticsStore(folder.Path).Collect(model, [], data, grams: good);
        var path = Directory.GetFiles(folder.Path, "*.gram").Single();
        var bytes = File.ReadAllBytes(path);
        // Mark, valid, rows; then G11, G12, G22, m1, m2; the right hash is put behind again.
        Assert.HasCount(17 + 5 * 8 + 32, bytes);
        bytes = damage switch
        {
            "cut" => bytes[..40],
            "longer" => [.. bytes, 0],
            "changed" => [.. bytes[..20], (byte)(bytes[20] ^ 1), .. bytes[21..]],
            "empty" => [],
            "not finite" => Sealed(25, BitConverter.GetBytes(double.NaN)),
            "impossible" => Sealed(25, BitConverter.GetBytes(1e300)),
            "other rows" => Sealed(9, BitConverter.GetBytes(-5L)),
            _ => Sealed(9, BitConverter.GetBytes(0L)),
        };
        File.WriteAllBytes(path, bytes);
        var mended = Matrices(model)[..1];
        new StatisticsStore(folder.Path).Collect(model, [], data, grams: mended);
        Assert.AreEqual(2, data.Runs);
        AssertSame(good[0], mended[0]);
        new StatisticsStore(folder.Path).Collect(model, [], data, grams: Matrices(model)[..1]);
        Assert.AreEqual(2, data.Runs);

        byte[] Sealed(int at, byte[] value)
        {
            value.CopyTo(bytes, at);
            return [.. bytes[..^32], .. SHA256.HashData(bytes[..^32])];
        }
    }

    // y = x·w, r = √x of which some are NaN, z = r·v.
    private static OnnxModel Model() => new SmallModel().Input("x", 2, 2).Random("w", 1, 2, 3).Random("v", 2, 2, 5)
        .Node("MatMul", "x,w", "y").Node("Gemm", "y,u", "g").Random("u", 3, 3, 4).Node("Sqrt", "x", "r").Node("MatMul", "r,v", "z").Output("g", "z").Model;

    private static GramMatrix[] Matrices(OnnxModel model) =>
    [
        .. model.Graph.Node.Where(n => n.OpType is "MatMul" or "Gemm")
            .Select(n => new GramMatrix(n.Input[0], GramGeometry.Of(n, 1, model.Graph.Initializer.First(i => i.Name == n.Input[1]).Dims)!)),
    ];

    private static void AssertSame(GramMatrix expected, GramMatrix actual)
    {
        Assert.AreEqual(expected.IsValid, actual.IsValid);
        if (!expected.IsValid)
            return;
        Assert.AreEqual(expected.Rows, actual.Rows);
        for (var g = 0; g < expected.Geometry.Groups; g++)
        {
            CollectionAssert.AreEqual(expected.Moments(g, true), actual.Moments(g, true));
            CollectionAssert.AreEqual(expected.Moments(g, false), actual.Moments(g, false));
            CollectionAssert.AreEqual(expected.Means(g), actual.Means(g));
        }
    }
}
