using System.Globalization;
using System.Text;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>The shape of the table, its numbers as one vector, and the fit of that vector to times.</summary>
internal static class CostFit
{
    private const string Weighted = "node mac in out weight";
    private const string Elementwise = "node out";

    private static readonly (string Operators, KernelKind? Kind, string Float, string Static, string Dynamic)[] s_rows =
    [
        ("Conv", KernelKind.Pointwise, Weighted + " tap", Weighted + " tap", ""),
        ("Conv", KernelKind.Depthwise, "node mac in out tap", "node mac in out tap", ""),
        ("Conv", KernelKind.Grouped, "node mac out column tap", "node mac out column tap", ""),
        ("Conv", KernelKind.Line, Weighted + " column tap", Weighted + " column tap", ""),
        ("Conv", null, Weighted + " column tap", Weighted + " column tap", ""),
        ("MatMul", KernelKind.Product, "node mac in out", "node mac in out", "node mac in out"),
        ("MatMul", KernelKind.Row, "node mac out", "node mac out", "node mac out"),
        ("MatMul", null, Weighted, Weighted, Weighted),
        ("Gemm", KernelKind.Row, "node mac out", "node mac out", "node mac out"),
        ("Gemm", null, Weighted, Weighted, Weighted),
        ("ConvTranspose", null, "node mac out", "", ""),
        ("LSTM GRU RNN", null, "node mac out", "", ""),
        ("Add", null, Elementwise, Elementwise, ""),
        ("Mul", null, Elementwise, Elementwise, ""),
        ("Sigmoid", null, Elementwise, Elementwise, ""),
        ("LeakyRelu", null, Elementwise, Elementwise, ""),
        ("Concat", null, Elementwise, Elementwise, ""),
        ("AveragePool", null, Elementwise, Elementwise, ""),
        ("GlobalAveragePool", null, "node in", "node in", ""),
        ("MaxPool", null, Elementwise, Elementwise, ""),
        ("Resize", null, Elementwise, Elementwise, ""),
        ("Reshape Flatten Squeeze Unsqueeze Identity Shape Constant", null, "node", "node", ""),
        ("Transpose DepthToSpace SpaceToDepth Expand Tile Slice Split Gather", null, Elementwise, Elementwise, ""),
        ("Softmax", null, Elementwise, "", ""),
        ("Tanh Exp Log Erf Pow", null, Elementwise, "", ""),
        ("", null, Elementwise, "", ""),
    ];

    private static readonly (string Row, string Coefficient)[] s_parameters = [.. Parameters()];

    /// <summary>The table that comes nearest, by relative error, to the least times of the variants.</summary>
    public static CostTable Fit(IReadOnlyList<Variant> variants)
    {
        var rows = variants.Select(_ => new double[s_parameters.Length]).ToArray();
        for (var p = 0; p < s_parameters.Length; p++)
        {
            // The prediction is linear in the table's numbers: with one of them 1 and the others 0 it is that number's factor.
            var unit = Table([.. Enumerable.Range(0, s_parameters.Length).Select(i => i == p ? 1.0 : 0)]);
            for (var v = 0; v < rows.Length; v++)
                rows[v][p] = variants[v].Predict(unit) / variants[v].Least;
        }

        // A prediction of half the time is as wrong as one of twice the time: weights turn the relative error into nearly the logarithm's.
        var weights = rows.Select(_ => 1.0).ToArray();
        double[] numbers = [];
        for (var step = 0; step < 4; step++)
        {
            numbers = NonNegativeLeastSquares.Solve(rows, weights);
            for (var v = 0; v < rows.Length; v++)
                weights[v] = 1 / Math.Clamp(rows[v].Zip(numbers, (a, x) => a * x).Sum(), 0.2, 5);
        }

        return Table(numbers);
    }

    /// <summary>The section <c>costs</c> of a policy.</summary>
    public static string Yaml(CostTable table)
    {
        var text = new StringBuilder("costs:\n");
        text.Append(CultureInfo.InvariantCulture, $"  run: {Number(table.Run)}\n  block: {table.Block}\n  fused: [{string.Join(", ", table.Fused)}]\n");
        text.Append(CultureInfo.InvariantCulture, $"  quantize: {Text(table.Quantize)}\n  dequantize: {Text(table.Dequantize)}\n  dynamic_quantize: {Text(table.DynamicQuantize)}\n  kernels:\n");
        foreach (var row in table.Kernels)
        {
            List<string> head = [];
            if (row.Operators.Count > 0)
                head.Add($"operators: [{string.Join(", ", row.Operators)}]");
            if (row.Kind is { } kind)
                head.Add($"kind: {kind.ToString().ToLowerInvariant()}");
            List<string> forms = [$"float: {Text(row.Float)}"];
            if (row.Static is { } fixedRange)
                forms.Add($"static: {Text(fixedRange)}");
            if (row.Dynamic is { } dynamic)
                forms.Add($"dynamic: {Text(dynamic)}");
            text.Append("    - ").AppendJoin("\n      ", [.. head, .. forms]).Append('\n');
        }

        return text.ToString();
    }

    private static IEnumerable<(string, string)> Parameters()
    {
        yield return ("run", "node");
        foreach (var border in new[] { "quantize", "dequantize", "dynamic_quantize" })
        {
            yield return (border, "node");
            yield return (border, "out");
        }

        foreach (var (operators, kind, real, fixedRange, dynamic) in s_rows)
        {
            foreach (var (form, coefficients) in new[] { ("float", real), ("static", fixedRange), ("dynamic", dynamic) })
            {
                foreach (var coefficient in coefficients.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                    yield return ($"{operators} {kind} {form}", coefficient);
            }
        }
    }

    private static CostTable Table(double[] values)
    {
        var byRow = s_parameters.Zip(values).ToLookup(p => p.First.Row, p => (p.First.Coefficient, p.Second));
        return new()
        {
            Run = byRow["run"].Sum(v => v.Second),
            Block = 16,
            Fused = new HashSet<string> { "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Add" },
            Quantize = Cost("quantize") ?? default,
            Dequantize = Cost("dequantize") ?? default,
            DynamicQuantize = Cost("dynamic_quantize") ?? default,
            Kernels = [.. s_rows.Select(r => new KernelRow(r.Operators.Split(' ', StringSplitOptions.RemoveEmptyEntries), r.Kind, Cost($"{r.Operators} {r.Kind} float") ?? default)
            {
                Static = Cost($"{r.Operators} {r.Kind} static"),
                Dynamic = Cost($"{r.Operators} {r.Kind} dynamic"),
            })],
        };

        KernelCost? Cost(string row)
        {
            if (!byRow.Contains(row))
                return null;
            double Of(string coefficient) => byRow[row].Where(v => v.Coefficient == coefficient).Sum(v => v.Second);
            return new(Of("node"), Of("mac"), Of("in"), Of("out"), Of("weight"), Of("column"), Of("tap"));
        }
    }

    private static string Text(KernelCost cost)
    {
        var parts = new[] { ("node", cost.Node), ("mac", cost.Mac), ("in", cost.In), ("out", cost.Out), ("weight", cost.Weight), ("column", cost.Column), ("tap", cost.Tap) };
        return $"{{ {string.Join(", ", parts.Where(p => p.Item2 >= 5e-5).Select(p => $"{p.Item1}: {Number(p.Item2)}"))} }}".Replace("{  }", "{}", StringComparison.Ordinal);
    }

    // Three digits: more would be noise.
    private static string Number(double value) => value >= 100
        ? Math.Round(value, 3 - (int)Math.Ceiling(Math.Log10(value)) is var digits && digits < 0 ? 0 : digits).ToString("0", CultureInfo.InvariantCulture)
        : value.ToString(value >= 1 ? "0.#" : value >= 0.01 ? "0.0##" : "0.0####", CultureInfo.InvariantCulture);
}
