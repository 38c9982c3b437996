using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>Keeps a training step within a bound of memory, that of a number and never that of the machine, which must not decide what comes out.</summary>
internal static class TrainingMemory
{
    // The weights, their gradients and the sums of these, the values at the start and the best so far, what is behind a rounding, and two moments.
    private const int Copies = 8;

    // Shares of the activations that are kept are tried down to this one.
    private const int Smallest = 64;

    /// <summary>The gradient graph that keeps as many activations as fit; the others are computed again on the way back.</summary>
    /// <param name="model">The model that is trained.</param>
    /// <param name="request">What is differentiated.</param>
    /// <param name="memory">Bytes that a step may take.</param>
    /// <exception cref="ModelBuildException">MBT2063: it takes more however many are computed again.</exception>
    public static GradientGraph Build(OnnxModel model, GradientRequest request, long memory)
    {
        var tensors = model.Graph.Initializer.ToDictionary(t => t.Name);
        var weights = Copies * request.Weights.Where(tensors.ContainsKey).Sum(w => sizeof(float) * ElementTypes.Count(tensors[w].Dims));
        var graph = Gradients.Build(model, request);
        var (least, kept) = (PeakMemory.Of(graph.Model), graph);
        var most = least;
        for (var share = 2; least + weights > memory && share <= Smallest; share *= 2)
        {
            var trial = Gradients.Build(model, request with { ActivationBudget = most / share });
            var peak = PeakMemory.Of(trial.Model);
            if (peak < least)
                (least, kept) = (peak, trial);
        }

        return least + weights <= memory ? kept
            : throw new ModelBuildException(DiagnosticCodes.TrainingTooLarge,
                $"a step of training takes {Words(least + weights)}: {Words(weights)} for weights and what is kept of them, {Words(least)} for the activations of {Samples(request)} with as many as can be computed again; it may take {Words(memory)}. A smaller 'batch', a smaller input or more 'memory' helps");
    }

    /// <summary>Bytes of several samples together.</summary>
    /// <exception cref="ModelBuildException">MBT2063: more than one array can have.</exception>
    public static int Together(long bytes, int samples) => bytes * samples <= Array.MaxLength ? (int)(bytes * samples)
        : throw new ModelBuildException(DiagnosticCodes.TrainingTooLarge, $"{samples} samples of {Words(bytes)} are more than one tensor can have; a smaller 'batch' helps");

    /// <summary>Whether memory ran out, in .NET or in ONNX Runtime.</summary>
    public static bool IsExhausted(Exception e) => e switch
    {
        OutOfMemoryException => true,
        OnnxRuntimeException => _exhausted.Any(word => e.Message.Contains(word, StringComparison.OrdinalIgnoreCase)),
        AggregateException all => all.Flatten().InnerExceptions.Any(IsExhausted),
        _ => e.InnerException is { } inner && IsExhausted(inner),
    };

    private static readonly string[] _exhausted = ["failed to allocate memory", "bad_alloc", "bad allocation", "std::length_error", "is smaller than requested bytes", "out of memory", "integer overflow"];

    private static string Words(long bytes) => bytes >= 1_000_000_000 ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.0#} GB") : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0} MB");

    private static string Samples(GradientRequest request) =>
        request.Sample.Where(s => !request.Constants.Contains(s.Key)).Select(s => s.Value.Shape).FirstOrDefault() is [var rows, ..] ? $"{rows} sample{(rows == 1 ? "" : "s")}" : "a run";
}
