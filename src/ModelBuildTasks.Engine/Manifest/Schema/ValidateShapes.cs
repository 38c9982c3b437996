namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary><c>validate:</c> with its metrics.</summary>
internal static class ValidateShapes
{
    private static readonly string[] Limits = ["min", "max", "max_drop"];

    private static readonly ScalarShape Points = Scalars.Quantity("percentage points such as 95 or 95%", 0, 100);
    private static readonly ScalarShape Decibel = Scalars.Number(-200, 200);
    private static readonly ScalarShape Cosine = Scalars.Quantity("a number from -1 to 1, or a percentage", -1, 1);
    private static readonly ScalarShape Loss = Scalars.Number(0);

    // A loss may grow to any multiple; a share cannot shrink by more than all of it.
    private static readonly ScalarShape LossIncrease = Scalars.Quantity("a number, or a percentage of the original's value", 0, maxPercent: 1e6);
    private static readonly ScalarShape Drop = Scalars.Quantity("a number, or a percentage of the original's value", 0);

    public static UnionShape Validate { get; } = new(
        Scalars.Choice([("none", "no run against the original; that the artifact loads is checked all the same")]),
        null,
        new ObjectShape("validate", "Data and limits; a limit that does not hold fails the build.",
        [
            new("data", DatasetShapes.UseOrName, "The data to run both models on; by default the calibration data, and without that seeded random inputs."),
            Metric("accuracy", "Share of samples whose label is the model's first class.", Points, Points, Scalars.Quantity("percentage points such as 1, or a percentage of the original's value such as 1%", 0, 100),
                new Property("top", Scalars.Integer(1, 1000), "How many of the model's first classes count (default 1).")),
            Metric("agreement", "Share of samples with the same first class as the original.", Points, Points, Scalars.Quantity("percentage points such as 1, or a percentage of the original's value such as 1%", 0, 100)),
            Metric("sqnr", "Signal-to-quantization-noise ratio in dB, pooled over all samples and float outputs; 200 at most.", Decibel, Decibel, Drop),
            Metric("cosine", "Cosine similarity of the outputs, pooled.", Cosine, Cosine, Drop),
            Metric("mse", "Mean squared error of the outputs, pooled.", Loss, Loss, LossIncrease),
            Metric("nll", "Mean negative log-likelihood in nats: of the labels, or without labels of the next token of the integer input.", Loss, Loss, LossIncrease),
            new("size", new ObjectShape("size", "Limits on the artifact's size.",
            [
                new("max", Scalars.Bytes, "The most bytes: plain, or with B, kB, MB, GB (powers of 1000), KiB, MiB, GiB (of 1024)."),
                new("ratio", Scalars.Number(0, above: true), "The least original size / artifact size."),
            ])
            {
                AnyOf = ["max", "ratio"],
            }, "Limits on the artifact's size."),
            new("latency", new ObjectShape("latency", "A limit on the time of a run, measured interleaved with the original.",
            [
                new("ratio", Scalars.Number(0, above: true), "The most compressed time / original time.") { Required = true },
                new("threads", Scalars.Integer(1, 1024), "Threads of a run (default 1)."),
            ]), "A limit on the time of a run."),
        ]));

    private static Property Metric(string name, string meaning, Shape min, Shape max, Shape drop, params Property[] more) =>
        new(name, new ObjectShape(name, meaning,
        [
            new("min", min, "At least this."),
            new("max", max, "At most this."),
            new("max_drop", drop, "Worse than the original by at most this (for losses: an increase); with % in relation to the original's value."),
            .. more,
        ])
        {
            AnyOf = Limits,
        }, meaning);
}
