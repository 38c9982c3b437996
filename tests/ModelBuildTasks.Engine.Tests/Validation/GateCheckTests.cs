using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Tests.Validation;

[TestClass]
public sealed class GateCheckTests
{
    private static readonly Measurements s_measured = new()
    {
        Data = "photos",
        Samples = 200,
        Values = 1000,
        OriginalBytes = 4_955_097,
        ArtifactBytes = 1_512_345,
        Agreement = 0.915,
        Sqnr = 19.96,
        Cosine = 0.995,
        Mse = 0.25,
        Nll = new(1.79, 1.85),
        Accuracy = new() { [1] = new(0.989, 0.979), [5] = new(1, 0.995) },
        Latency = new() { [1] = new(10, 8, 0.81), [2] = new(6, 3, 0.5) },
    };

    [TestMethod]
    [DataRow(Metric.Agreement, LimitKind.Min, 0.95, "MBT3002", "SqueezeNet: agreement 91.5 % is below the 95 % that line 12 asks for")]
    [DataRow(Metric.Agreement, LimitKind.MaxDrop, 0.05, "MBT3002", "SqueezeNet: agreement 91.5 % is 8.5 points below the original's 100 %, and line 12 allows 5 points")]
    [DataRow(Metric.Accuracy, LimitKind.Min, 0.98, "MBT3001", "SqueezeNet: accuracy 97.9 % is below the 98 % that line 12 asks for")]
    [DataRow(Metric.Accuracy, LimitKind.MaxDrop, 0.002, "MBT3001", "SqueezeNet: accuracy 97.9 % is 1 point below the original's 98.9 %, and line 12 allows 0.2 points")]
    [DataRow(Metric.Accuracy, LimitKind.MaxDropRelative, 0.01, "MBT3001", "SqueezeNet: accuracy 97.9 % is 1.01 % below the original's 98.9 %, and line 12 allows 1 %")]
    [DataRow(Metric.Sqnr, LimitKind.Min, 20, "MBT3003", "SqueezeNet: sqnr 19.96 dB is below the 20 dB that line 12 asks for")]
    [DataRow(Metric.Cosine, LimitKind.Min, 0.9951, "MBT3004", "SqueezeNet: cosine 0.995 is below the 0.9951 that line 12 asks for")]
    [DataRow(Metric.Mse, LimitKind.Max, 0.2, "MBT3005", "SqueezeNet: mse 0.25 is above the 0.2 that line 12 allows")]
    [DataRow(Metric.Mse, LimitKind.MaxDrop, 0.1, "MBT3005", "SqueezeNet: mse 0.25 is 0.25 above the original's 0, and line 12 allows 0.1")]
    [DataRow(Metric.Nll, LimitKind.Max, 1.8, "MBT3006", "SqueezeNet: nll 1.85 is above the 1.8 that line 12 allows")]
    [DataRow(Metric.Nll, LimitKind.MaxDrop, 0.05, "MBT3006", "SqueezeNet: nll 1.85 is 0.06 above the original's 1.79, and line 12 allows 0.05")]
    [DataRow(Metric.Nll, LimitKind.MaxDropRelative, 0.01, "MBT3006", "SqueezeNet: nll 1.85 is 3.35 % above the original's 1.79, and line 12 allows 1 %")]
    [DataRow(Metric.Size, LimitKind.Max, 1.4e6, "MBT3007", "SqueezeNet: size 1.51 MB is above the 1.4 MB that line 12 allows")]
    [DataRow(Metric.Size, LimitKind.Max, 1_512_344, "MBT3007", "SqueezeNet: size 1.512345 MB is above the 1.512344 MB that line 12 allows")]
    [DataRow(Metric.Size, LimitKind.Ratio, 3.5, "MBT3007", "SqueezeNet: size ratio 3.28 (4.96 MB to 1.51 MB) is below the 3.5 that line 12 asks for")]
    [DataRow(Metric.Latency, LimitKind.Ratio, 0.7, "MBT3008", "SqueezeNet: latency ratio 0.81 (10 ms to 8 ms) is above the 0.7 that line 12 allows")]
    public void A_missed_gate_names_measured_and_allowed(Metric metric, LimitKind kind, double limit, string code, string message)
    {
        var verdict = Judge(Gate(metric, kind, limit));
        Assert.AreEqual(new Diagnostic(code, DiagnosticSeverity.Error, message, new SourceLocation("compression.yaml", 12, 7)), verdict.Failures.Single());
        Assert.IsFalse(verdict.Report.Passed);
        Assert.IsFalse(verdict.Report.Metrics.Single(m => m.Limit is not null).Passed);
    }

    [TestMethod]
    [DataRow(Metric.Agreement, LimitKind.Min, 0.915)]
    [DataRow(Metric.Agreement, LimitKind.MaxDrop, 0.085)]
    [DataRow(Metric.Accuracy, LimitKind.MaxDrop, 0.01)]
    [DataRow(Metric.Accuracy, LimitKind.MaxDropRelative, 0.0102)]
    [DataRow(Metric.Sqnr, LimitKind.Min, 19.96)]
    [DataRow(Metric.Mse, LimitKind.Max, 0.25)]
    [DataRow(Metric.Nll, LimitKind.MaxDrop, 0.06)]
    [DataRow(Metric.Size, LimitKind.Max, 1_512_345)]
    [DataRow(Metric.Size, LimitKind.Ratio, 3.276)]
    [DataRow(Metric.Latency, LimitKind.Ratio, 0.81)]
    public void A_limit_that_is_just_reached_holds(Metric metric, LimitKind kind, double limit)
    {
        var verdict = Judge(Gate(metric, kind, limit));
        Assert.IsEmpty(verdict.Failures);
        Assert.IsTrue(verdict.Report.Passed);
    }

    [TestMethod]
    public void A_tiny_limit_is_not_lost_in_the_tolerance()
    {
        var verdict = GateCheck.Judge("T", null, s_measured with { Mse = 5e-10 }, [Gate(Metric.Mse, LimitKind.Max, 1e-10)]);
        Assert.HasCount(1, verdict.Failures);
    }

    [TestMethod]
    public void Accuracy_of_five_classes_and_latency_of_two_threads_are_gates_of_their_own()
    {
        var verdict = Judge(Gate(Metric.Accuracy, LimitKind.MaxDrop, 0.001) with { Top = 5 }, Gate(Metric.Latency, LimitKind.Ratio, 0.4) with { Threads = 2 });
        StringAssert.Contains(verdict.Failures[0].Message, "accuracy@5 99.5 % is 0.5 points below");
        StringAssert.Contains(verdict.Failures[1].Message, "latency ratio 0.5 (6 ms to 3 ms)");
    }

    [TestMethod]
    public void Failures_come_in_the_order_of_the_manifest()
    {
        var verdict = Judge(Gate(Metric.Size, LimitKind.Max, 1), Gate(Metric.Sqnr, LimitKind.Min, 50), Gate(Metric.Agreement, LimitKind.Min, 1));
        CollectionAssert.AreEqual(new[] { "MBT3007", "MBT3003", "MBT3002" }, verdict.Failures.Select(f => f.Code).ToArray());
    }

    [TestMethod]
    public void A_gate_whose_metric_has_no_value_fails()
    {
        var verdict = GateCheck.Judge("T", null, s_measured with { Nll = null, NonFinite = 3 }, [Gate(Metric.Nll, LimitKind.Max, 9)]);
        StringAssert.Contains(verdict.Failures[0].Message, "NaN or infinity in 3 of 1000 values");
        StringAssert.Contains(verdict.Failures[1].Message, "nll has no value");
    }

    [TestMethod]
    public void Metrics_without_a_gate_are_reported_without_a_limit()
    {
        var rows = Judge().Report.Metrics;
        CollectionAssert.AreEqual(
            new[] { "accuracy", "accuracy@5", "agreement", "sqnr", "cosine", "mse", "nll", "size", "latency" }, rows.Select(r => r.Name).ToArray());
        Assert.IsTrue(rows.All(r => r is { Passed: true, Limit: null }));
        Assert.AreEqual(new MetricReport("nll", 1.79, 1.85, null, true), rows.Single(r => r.Name == "nll"));
        Assert.IsNull(rows.Single(r => r.Name == "sqnr").Reference);
    }

    [TestMethod]
    [DataRow(Metric.Agreement, LimitKind.Min, 0.95, "min 95 %")]
    [DataRow(Metric.Accuracy, LimitKind.MaxDrop, 0.01, "max drop 1 point")]
    [DataRow(Metric.Nll, LimitKind.MaxDropRelative, 0.01, "max drop 1 %")]
    [DataRow(Metric.Size, LimitKind.Max, 1.4e6, "max 1.4 MB")]
    [DataRow(Metric.Size, LimitKind.Ratio, 3.5, "min ratio 3.5")]
    [DataRow(Metric.Latency, LimitKind.Ratio, 0.7, "max ratio 0.7")]
    public void A_limit_stands_in_the_report_in_words(Metric metric, LimitKind kind, double limit, string words) =>
        Assert.AreEqual(words, GateText.Limit(Gate(metric, kind, limit)));

    private static GatePlan Gate(Metric metric, LimitKind kind, double limit) => new(metric, kind, limit, new("compression.yaml", 12, 7));

    private static Verdict Judge(params GatePlan[] gates) => GateCheck.Judge("SqueezeNet", null, s_measured, gates);
}
