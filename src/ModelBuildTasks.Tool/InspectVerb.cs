using System.CommandLine;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Tool;

/// <summary><c>modelbuild inspect MODEL</c>: what a model is made of.</summary>
internal static class InspectVerb
{
    public static Command Create(Terminal terminal)
    {
        var model = new Argument<string>("MODEL") { Description = "The model to look into." };
        var json = Options.Json();
        var command = new Command("inspect", "Show what a model is made of, and what int8 could save.") { model, json };
        command.SetAction((parsed, cancellation) => Verb.RunAsync(terminal, parsed.GetValue(json), () =>
        {
            var inspection = Inspector.Inspect(CommandLineFile.Existing(parsed.GetRequiredValue(model), "model"), RuntimePolicies.Get(RuntimePolicies.Default));
            if (!parsed.GetValue(json))
                Write(terminal, inspection);
            return new(ExitCode.Done, [], "inspection", inspection.ToJson());
        }, cancellation));
        return command;
    }

    private static void Write(Terminal terminal, Inspection m)
    {
        var o = terminal.Out;
        o.WriteLine($"{m.File}: {GateText.Bytes(m.Size)} ({m.Size} bytes), IR {m.IrVersion}, opset {string.Join(", ", m.Opsets.Select(s => s.Key == "ai.onnx" ? $"{s.Value}" : $"{s.Key} {s.Value}"))}{(m.Producer.Length > 0 ? $", by {m.Producer}" : "")}");
        if (m.ExternalData.Count > 0)
            o.WriteLine($"external data: {string.Join(", ", m.ExternalData)}");
        if (m.Quantized)
            o.WriteLine("quantized already: yes");
        WriteTable(terminal, "inputs and outputs", ["", "name", "type", "shape"], [.. m.Inputs.Select(v => Row("in", v)), .. m.Outputs.Select(v => Row("out", v))]);
        WriteTable(terminal, "operators", ["operator", "count"], [.. m.Operators.Select(p => (IReadOnlyList<string>)[p.Op, $"{p.Count}"])]);
        WriteTable(terminal, "weights", ["type", "tensors", "parameters", "bytes"], [.. m.Weights.Select(w => (IReadOnlyList<string>)[w.Type, $"{w.Tensors}", $"{w.Parameters}", GateText.Bytes(w.Bytes)])]);
        WriteTable(terminal, "where they are", ["place", "bytes"], [.. m.WeightBytesByPlace.Select(p => (IReadOnlyList<string>)[p.Key, GateText.Bytes(p.Value)])]);
        WriteTable(terminal, "largest weights", ["name", "type", "shape", "bytes"], [.. m.LargestWeights.Select(w => (IReadOnlyList<string>)[w.Name, w.Type, $"[{string.Join(", ", w.Shape)}]", GateText.Bytes(w.Bytes)])]);
        WriteTable(terminal, "largest layers", ["name", "operator", "bytes"], [.. m.LargestLayers.Select(l => (IReadOnlyList<string>)[l.Name, l.Op, GateText.Bytes(l.Bytes)])]);
        o.WriteLine();
        o.WriteLine(m.Int8.Layers == 0
            ? "int8: no float weights of operators that the runtime executes in 8 bits"
            : $"int8: {m.Int8.Layers} operators with {GateText.Bytes(m.Int8.WeightBytes)} of float weights; about {GateText.Bytes(m.Int8.Size)} in all ({GateText.Number(m.Int8.Ratio, 2)}x smaller)");
    }

    private static IReadOnlyList<string> Row(string direction, ValueInspection v) =>
        [direction, v.Name, v.Type, v.Shape is null ? "any" : $"[{string.Join(", ", v.Shape)}]"];

    private static void WriteTable(Terminal terminal, string title, IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        if (rows.Count == 0)
            return;
        terminal.Out.WriteLine();
        terminal.Out.WriteLine($"{title}:");
        terminal.Table(headers, rows);
    }
}
