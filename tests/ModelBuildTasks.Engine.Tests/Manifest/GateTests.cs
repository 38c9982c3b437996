using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class GateTests
{
    [TestMethod]
    [DataRow("agreement: { min: 95 }", Metric.Agreement, LimitKind.Min, 0.95)]
    [DataRow("agreement: { min: 95% }", Metric.Agreement, LimitKind.Min, 0.95)]
    [DataRow("agreement: { min: 97.5 % }", Metric.Agreement, LimitKind.Min, 0.975)]
    [DataRow("agreement: { max_drop: 0.5 }", Metric.Agreement, LimitKind.MaxDrop, 0.005)]
    [DataRow("accuracy: { max_drop: 1 }", Metric.Accuracy, LimitKind.MaxDrop, 0.01)]
    [DataRow("accuracy: { max_drop: 1% }", Metric.Accuracy, LimitKind.MaxDropRelative, 0.01)]
    [DataRow("accuracy: { max: 99 }", Metric.Accuracy, LimitKind.Max, 0.99)]
    [DataRow("nll: { max_drop: 0.1 }", Metric.Nll, LimitKind.MaxDrop, 0.1)]
    [DataRow("nll: { max_drop: 250% }", Metric.Nll, LimitKind.MaxDropRelative, 2.5)]
    [DataRow("mse: { max: 1e-3 }", Metric.Mse, LimitKind.Max, 0.001)]
    [DataRow("sqnr: { min: 20 }", Metric.Sqnr, LimitKind.Min, 20)]
    [DataRow("cosine: { min: 0.99 }", Metric.Cosine, LimitKind.Min, 0.99)]
    [DataRow("cosine: { min: 99% }", Metric.Cosine, LimitKind.Min, 0.99)]
    [DataRow("size: { max: 1.4 MB }", Metric.Size, LimitKind.Max, 1_400_000)]
    [DataRow("size: { max: 460kB }", Metric.Size, LimitKind.Max, 460_000)]
    [DataRow("size: { max: 1 MiB }", Metric.Size, LimitKind.Max, 1_048_576)]
    [DataRow("size: { max: 0.5 KiB }", Metric.Size, LimitKind.Max, 512)]
    [DataRow("size: { max: 2 GB }", Metric.Size, LimitKind.Max, 2e9)]
    [DataRow("size: { max: 12000 }", Metric.Size, LimitKind.Max, 12_000)]
    [DataRow("size: { ratio: 3.5 }", Metric.Size, LimitKind.Ratio, 3.5)]
    [DataRow("latency: { ratio: 0.7 }", Metric.Latency, LimitKind.Ratio, 0.7)]
    public void A_limit_is_read_in_its_unit(string limit, Metric metric, LimitKind kind, double value)
    {
        var gate = Gates(limit).Single();
        Assert.AreEqual((metric, kind), (gate.Metric, gate.Kind));
        Assert.AreEqual(value, gate.Limit, 1e-12);
    }

    [TestMethod]
    public void A_metric_may_have_several_limits_and_all_become_gates_in_their_order()
    {
        var gates = Gates("latency: { ratio: 0.9, threads: 4 }, accuracy: { top: 5, max_drop: 1, min: 90 }, size: { ratio: 2, max: 5 MB }");
        CollectionAssert.AreEqual(
            new[] { (Metric.Latency, LimitKind.Ratio), (Metric.Accuracy, LimitKind.MaxDrop), (Metric.Accuracy, LimitKind.Min), (Metric.Size, LimitKind.Ratio), (Metric.Size, LimitKind.Max) },
            gates.Select(g => (g.Metric, g.Kind)).ToArray());
        Assert.AreEqual((4, 1), (gates[0].Threads, gates[0].Top));
        Assert.AreEqual((5, 5, 1), (gates[1].Top, gates[2].Top, gates[1].Threads));
    }

    private static IReadOnlyList<GatePlan> Gates(string validate)
    {
        using var folder = new ManifestFolder("a.onnx", "x.npy");
        return folder.Read($$"""
            version: 1
            datasets: { d: { inputs: { x: { npy: x.npy } }, labels: { npy: x.npy } } }
            targets: [ { model: a.onnx, recipe: int8, calibration: d, validate: { {{validate}} } } ]
            """).Targets.Single().Validation!.Gates;
    }
}
