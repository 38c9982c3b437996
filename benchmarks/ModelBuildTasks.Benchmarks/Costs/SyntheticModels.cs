using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>Chains of equal nodes, long enough that a run's fixed cost counts little, from tiny layers to those of large models.</summary>
internal static class SyntheticModels
{
    /// <summary>The models, each with a name that says its shapes.</summary>
    public static IEnumerable<(string Name, OnnxModel Model)> All()
    {
        foreach (var channels in new[] { 4, 8, 16, 24, 32, 64, 128, 256 })
        {
            foreach (var size in new[] { 5, 10, 20, 40, 80 }.Where(s => channels * s * s is > 60 and < 60_000 && (channels > 4 || s < 40)))
            {
                if ((long)channels * channels * size * size < 8_000_000)
                    yield return Conv("dense", channels, size, 3, 1);
                yield return Conv("pointwise", channels, size, 1, 1);
                yield return Conv("depthwise", channels, size, 3, channels);
                if (channels is 16 or 64 && size <= 20)
                    yield return Conv("grouped", channels, size, 3, channels / 8);
            }
        }

        foreach (var (channels, size) in new[] { (16, 40), (32, 20), (96, 10) })
        {
            yield return Conv("depthwise 5x5", channels, size, 5, channels);
            yield return Conv("dense 5x5", Math.Min(channels, 32), size, 5, 1);
        }

        foreach (var (inputs, channels, size) in new[] { (1, 8, 28), (3, 16, 64), (3, 24, 128), (3, 32, 64), (1, 64, 40), (4, 16, 32), (8, 16, 14) })
        {
            yield return First(inputs, channels, size, 3);
            yield return First(inputs, channels, size, 5);
        }

        foreach (var (channels, size) in new[] { (8, 100), (16, 400), (64, 100), (64, 400), (128, 25), (128, 100) })
        {
            yield return Line(channels, size, 3);
            yield return Line(channels, size, 7);
        }

        foreach (var rows in new[] { 1, 4, 16, 64, 128 })
        {
            foreach (var (depth, columns) in new[] { (8, 8), (32, 32), (64, 64), (64, 172), (128, 128), (257, 512), (256, 256), (512, 512), (1024, 1024) }.Where(s => rows * s.Item1 * s.Item2 < 20_000_000))
            {
                yield return Product("MatMul", rows, depth, columns);
                if (rows is 1 or 4 or 64)
                    yield return Product("Gemm", rows, depth, columns);
            }
        }

        foreach (var (heads, rows, depth, columns) in new[]
        {
            (4, 1, 16, 64), (8, 1, 64, 128), (8, 16, 8, 16), (4, 32, 16, 32), (4, 64, 32, 64), (8, 128, 8, 128), (4, 128, 32, 128), (8, 128, 64, 128), (12, 64, 64, 64),
            (2, 256, 64, 256), (4, 256, 32, 256), (2, 512, 32, 512), (1, 64, 64, 64), (1, 256, 256, 256),
        })
        {
            yield return Products(heads, rows, depth, columns);
            yield return Attention(heads, rows, depth, columns);
        }

        foreach (var (channels, size) in new[] { (8, 5), (16, 10), (16, 40), (64, 10), (64, 40) })
        {
            foreach (var op in new[] { "Add", "Mul", "Sigmoid", "LeakyRelu", "Concat", "AveragePool", "MaxPool", "GlobalAveragePool", "Resize", "Transpose", "Reshape", "Slice" })
                yield return Between(op, channels, size);
            foreach (var op in new[] { "Relu", "Sigmoid", "LeakyRelu", "Add", "Mul", "MaxPool", "Tanh", "Softmax", "Sub", "Sqrt" })
                yield return Alone(op, channels, size);
            yield return Leaving(channels, size);
            yield return Resized(4, channels, size);
            yield return Resized(channels, 4, size);
        }

        foreach (var (inputs, hidden, steps) in new[] { (64, 64, 1), (64, 64, 16), (128, 128, 1), (128, 128, 8), (257, 128, 1), (16, 16, 30) })
        {
            yield return Recurrent("LSTM", 4, inputs, hidden, steps);
            yield return Recurrent("GRU", 3, inputs, hidden, steps);
        }

        foreach (var (channels, size) in new[] { (16, 10), (32, 20), (64, 10) })
            yield return Transposed(channels, size);
    }

    private static int Length(double work) => (int)Math.Clamp(2_000_000 / work, 2, 8);

    private static (string, OnnxModel) Conv(string kind, int channels, int size, int window, int group)
    {
        var graph = new GraphBuilder().Input(1, channels, size, size);
        for (var i = Length((double)channels * channels / group * size * size * window * window); i > 0; i--)
        {
            // Where a chain is tied to ReLU, as in models, float runtimes fuse it and 8-bit ranges absorb it.
            graph.Weighted("Conv", [channels, channels / group, window, window], channels, ("group", [group]), ("pads", [.. Enumerable.Repeat((long)(window / 2), 4)]));
            if (i % 2 == 0)
                graph.Then("Relu");
        }

        return graph.Build($"Conv {kind} {channels}x{size}x{size}");
    }

    private static (string, OnnxModel) First(int inputs, int channels, int size, int window) => new GraphBuilder().Input(1, inputs, size, size)
        .Weighted("Conv", [channels, inputs, window, window], channels, ("pads", [.. Enumerable.Repeat(window / 2L, 4)]))
        .Then("Relu")
        .Weighted("Conv", [channels, channels, 3, 3], channels, ("pads", [1, 1, 1, 1]), ("strides", [2, 2]))
        .Then("Relu")
        .Build($"Conv first {inputs}->{channels}x{size}x{size} window {window}");

    private static (string, OnnxModel) Line(int channels, int size, int window)
    {
        var graph = new GraphBuilder().Input(1, channels, size);
        for (var i = Length((double)channels * channels * size * window); i > 0; i--)
            graph.Weighted("Conv", [channels, channels, window], channels, ("pads", [window / 2, window / 2]));
        return graph.Build($"Conv 1-D {channels}x{size} window {window}");
    }

    private static (string, OnnxModel) Product(string op, int rows, int depth, int columns)
    {
        var graph = new GraphBuilder().Input(rows, depth);
        for (var i = Length((double)rows * depth * columns); i > 0; i--)
        {
            graph.Weighted(op, [depth, columns], op == "Gemm" ? columns : 0);
            if (depth != columns)
                graph.Weighted(op, [columns, depth], op == "Gemm" ? depth : 0);
        }

        return graph.Build($"{op} {rows}x{depth}x{columns}");
    }

    // Products of activations, in 8 bits from one to the next.
    private static (string, OnnxModel) Products(int heads, int rows, int depth, int columns)
    {
        var graph = new GraphBuilder().Input(heads, rows, depth).Input("k", [heads, depth, columns]).Input("v", [heads, columns, depth]);
        for (var i = 0; i < 2; i++)
            graph.Times("k").Times("v");
        return graph.Build($"products {heads}x{rows}x{depth}x{columns}");
    }

    // The same with a float operator between them.
    private static (string, OnnxModel) Attention(int heads, int rows, int depth, int columns)
    {
        var graph = new GraphBuilder().Input(heads, rows, depth).Input("k", [heads, depth, columns]).Input("v", [heads, columns, depth]);
        for (var i = 0; i < 2; i++)
            graph.Times("k").Then("Softmax").Times("v");
        return graph.Build($"attention {heads}x{rows}x{depth}x{columns}");
    }

    // Between convolutions, which keep it in the 8-bit part.
    private static (string, OnnxModel) Between(string op, int channels, int size)
    {
        var graph = new GraphBuilder().Input(1, channels, size, size);
        var once = op is "GlobalAveragePool" or "Resize" or "Slice";
        long inputs = channels;
        for (var i = 0; i < (once ? 1 : 3); i++)
        {
            graph.Weighted("Conv", [channels, inputs, 1, 1], channels).Operator(op, channels, size);
            inputs = op == "Concat" ? 2 * channels : channels;
        }

        return graph.Weighted("Conv", [channels, inputs, 1, 1], channels).Build($"{op} between {channels}x{size}x{size}");
    }

    private static (string, OnnxModel) Alone(string op, int channels, int size)
    {
        var graph = new GraphBuilder().Input(1, channels, size, size);
        for (var i = 0; i < 6; i++)
            graph.Operator(op, channels, size).Then("Abs");
        return graph.Build($"{op} {channels}x{size}x{size}");
    }

    // Convolutions with float operators between them: each is a part of its own.
    private static (string, OnnxModel) Leaving(int channels, int size)
    {
        var graph = new GraphBuilder().Input(1, channels, size, size);
        for (var i = 0; i < 4; i++)
            graph.Weighted("Conv", [channels, channels, 1, 1], channels).Then("Abs");
        return graph.Build($"Conv and float {channels}x{size}x{size}");
    }

    // What enters the 8-bit part is larger than what leaves it, or the other way round.
    private static (string, OnnxModel) Resized(int inputs, int outputs, int size) => new GraphBuilder().Input(1, inputs, size, size)
        .Weighted("Conv", [outputs, inputs, 1, 1], outputs).Build($"Conv {inputs}->{outputs}x{size}x{size}");

    private static (string, OnnxModel) Recurrent(string op, int gates, int inputs, int hidden, int steps)
    {
        var graph = new GraphBuilder().Input(steps, 1, inputs);
        graph.Recurrent(op, gates, inputs, hidden);
        return graph.Build($"{op} {inputs}->{hidden} {steps} steps");
    }

    private static (string, OnnxModel) Transposed(int channels, int size) => new GraphBuilder().Input(1, channels, size, size)
        .Weighted("ConvTranspose", [channels, channels, 2, 2], channels, ("strides", [2, 2]))
        .Build($"ConvTranspose {channels}x{size}x{size}");
}
