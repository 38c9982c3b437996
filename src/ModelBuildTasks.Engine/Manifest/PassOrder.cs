using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>What a pass demands of the passes before it.</summary>
/// <param name="Pass">The pass.</param>
/// <param name="Requires">Passes of which one must have run before, each with the reason; empty for none.</param>
/// <param name="Forbids">Passes that must not have run before, each with the reason.</param>
internal sealed record PassDemands(string Pass, IReadOnlyList<(string Pass, string Why)> Requires, IReadOnlyList<(string Pass, string Why)> Forbids);

/// <summary>Checks the order of passes before any work.</summary>
internal static class PassOrder
{
    private const string Stored = "what is stored in another form is no weight any more; store comes last";

    private static readonly PassDemands[] Demands =
    [
        new("prune", [],
        [
            ("quantize", "weights in 8 bits have lost the small differences that pruning chooses by; prune first"),
            ("float16", "weights are rounded already; prune first"),
            ("cluster", "palettes are found for the weights that are left; prune first"),
            ("store", Stored),
        ]),
        new("distill", [],
        [
            ("quantize", "weights in 8 bits cannot be trained; distill first"),
            ("float16", "weights are rounded already; distill first"),
            ("cluster", "training would take the weights off their palettes; distill first"),
            ("store", Stored),
        ]),
        new("cluster", [],
        [
            ("cluster", "weights have few distinct values already; keep one cluster"),
            ("quantize", "weights are stored in 8 bits or fewer already; keep one of the two"),
            ("float16", "weights are rounded already, and rounding twice loses more; cluster first, and float16 takes what stays in float"),
            ("store", Stored),
        ]),
        new("quantize", [],
        [
            ("quantize", "weights are stored in 8 bits already; keep one quantize"),
            ("float16", "weights are rounded already, and rounding twice loses more; quantize first, and float16 takes what stays in float"),
            ("cluster", "weights are stored as palettes already; keep one of the two"),
            ("store", Stored),
        ]),
        new("float16", [], [("float16", "weights are in float16 already; keep one float16"), ("store", Stored)]),
        new("store", [], [("store", "everything is stored in its smallest form already; keep one store")]),
    ];

    /// <summary>Reports every pass that cannot stand where it stands.</summary>
    public static void Check(IReadOnlyList<PassPlan> passes, DiagnosticBag errors)
    {
        for (var i = 0; i < passes.Count; i++)
        {
            var pass = passes[i];
            var before = passes.Take(i).Select(p => p.Name).ToHashSet();
            var demands = Demands.First(d => d.Pass == pass.Name);
            foreach (var (other, why) in demands.Forbids.Where(f => before.Contains(f.Pass)))
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"{pass.Name} cannot follow {other}: {why}", pass.Location);
            // Removed input channels would tear groups of N:M apart, and what is refit behind them would fill zeros again.
            if (pass is PrunePlan { RemovesShape: true } && passes.Take(i).OfType<PrunePlan>().FirstOrDefault(p => !p.RemovesShape) is { } zeros)
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"channels, heads and layers cannot go after single weights were pruned (line {zeros.Location.Line}): their zeros would not survive; remove channels first", pass.Location);
            if (pass is PrunePlan { RemovesShape: true } && passes.Take(i).OfType<DistillPlan>().FirstOrDefault(d => d.Prune is not null) is { Prune: { } grown })
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"channels, heads and layers cannot go after distill has pruned single weights (line {grown.Location.Line}): their zeros would not survive; remove channels first", pass.Location);
            if (pass is DistillPlan { Student: { } student } && i > 0)
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"a student takes the place of the model, and what {passes[i - 1].Name} made of it would be lost; put distill first", student.Location);
            if (pass is DistillPlan { Scratch: true } && passes.Take(i).OfType<PrunePlan>().FirstOrDefault(p => !p.RemovesShape) is { } zeroed)
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"weights that are drawn anew lose the zeros of pruning (line {zeroed.Location.Line}); prune behind distill", pass.Location);
            if (pass is DistillPlan { Quantize.Bits.Bits: 1 } && passes.Take(i).FirstOrDefault(p => p is PrunePlan { RemovesShape: false } or DistillPlan { Prune: not null }) is { } signs)
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"weights that are trained as binary are signs, which have no zero: what was pruned in line {signs.Location.Line} would not stay so; take ternary, or leave the zeros out", pass.Location);
            if (pass is DistillPlan { Quantize: { } trained })
                CheckStored("distill trains", passes.Skip(i + 1).OfType<QuantizePlan>().FirstOrDefault(), trained, errors);
            if (pass is PrunePlan { Quantize: { } rounded })
            {
                CheckStored("prune rounds", passes.Skip(i + 1).OfType<QuantizePlan>().FirstOrDefault(), rounded, errors);
                if (passes.Skip(i + 1).FirstOrDefault(p => p is PrunePlan or DistillPlan) is { } moves)
                    errors.Error(DiagnosticCodes.ImpossiblePasses, $"{moves.Name} moves weights off the values that prune rounded them to (line {rounded.Location.Line}); put it in front, or leave 'quantize' out there", moves.Location);
            }

            foreach (var (other, why) in demands.Requires.Where(r => !before.Contains(r.Pass)))
                errors.Error(DiagnosticCodes.ImpossiblePasses, $"{pass.Name} needs {other} before it: {why}", pass.Location);
        }
    }

    // Weights that are trained on one grid and stored on another lose what they were trained for.
    private static void CheckStored(string does, QuantizePlan? stored, QuantizePlan trained, DiagnosticBag errors)
    {
        if (stored is null)
            errors.Error(DiagnosticCodes.ImpossiblePasses, $"{does} weights for a quantize that does not follow; add it, with the same options", trained.Location);
        else if (stored.Bits != trained.Bits || stored.PerChannel != trained.PerChannel)
            errors.Error(DiagnosticCodes.ImpossiblePasses, $"{does} weights as the quantize in line {stored.Location.Line} will not store them; give both the same options for weights", trained.Location);
    }
}
