namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Layers with seeded weights, named after what they make.</summary>
internal static class SmallNets
{
    /// <summary>A 3x3 convolution with bias that keeps the size.</summary>
    public static SmallModel Conv(this SmallModel model, string input, string output, int inputs, int outputs) =>
        model.Random(output + "_w", Seed(output), outputs, inputs, 3, 3).Random(output + "_b", Seed(output) + 1, outputs).Node("Conv", $"{input},{output}_w,{output}_b", output, ("pads", new[] { 1, 1, 1, 1 }));

    /// <summary>A product with a weight and a bias behind it.</summary>
    public static SmallModel Linear(this SmallModel model, string input, string output, int inputs, int outputs) =>
        model.Random(output + "_w", Seed(output), inputs, outputs).Random(output + "_b", Seed(output) + 1, outputs).Node("MatMul", $"{input},{output}_w", output + "_p").Node("Add", $"{output}_p,{output}_b", output);

    // string.GetHashCode differs from run to run.
    private static int Seed(string name) => name.Aggregate(17, (seed, c) => seed * 31 + c);
}
