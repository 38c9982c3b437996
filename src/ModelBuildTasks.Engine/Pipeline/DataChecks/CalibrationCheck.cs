using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>
/// Runs the original on the first calibration samples and tells what suggests that they are not what the model is meant for. The
/// original, because clean-up folds away the batch norms, which know what the model was trained on.
/// </summary>
internal static class CalibrationCheck
{
    /// <summary>Runs that are looked at: enough to tell what varies, few enough not to be noticed.</summary>
    private const int Runs = 8;

    // Convolutions with folded batch norms put out 1 to 20 times their biases on the data that they were trained on.
    private const double LargestBiasRatio = 40;
    private const double LargestSaturatedShare = 0.5;

    /// <summary>What is to be warned of; empty when all looks well, and when the model does not run, which the passes find and tell.</summary>
    /// <param name="model">The model as it came.</param>
    /// <param name="use">The data as the manifest names it.</param>
    /// <param name="data">The same, fitted to the model.</param>
    /// <param name="nan">Values that the passes saw becoming NaN on any of the samples.</param>
    /// <param name="cancellation">Ends the runs.</param>
    public static IReadOnlyList<PassNote> Run(OnnxModel model, DatasetUse use, IDataset data, IReadOnlyCollection<string> nan, CancellationToken cancellation)
    {
        var inputs = new InputWatch(model.Inputs.Where(i => Varies(use, i.Name)));
        var norms = new NormalizationWatch(model);
        var activations = new ActivationWatch(model);
        var biases = new BiasWatch(model);
        var saturation = new SaturationWatch(model);
        var clone = model.Clone();
        string[] names = [.. clone.Graph.Output.Select(o => o.Name), .. norms.Names, .. activations.Names, .. biases.Names, .. saturation.Names];
        foreach (var name in names.Distinct().Except(clone.Graph.Output.Select(o => o.Name)).ToList())
            clone.Graph.Output.Add(new ValueInfoProto { Name = name });
        try
        {
            using var session = new Session(clone, new SessionSettings(Threads: 1, Optimize: false));
            var runner = new SequenceRunner(session, data.Feedback);
            foreach (var batch in data.Batches().Take(Runs))
            {
                inputs.Add(batch);
                foreach (var (name, tensor) in runner.Run(batch, [.. names.Distinct()], cancellation))
                {
                    norms.Add(name, tensor);
                    activations.Add(name, tensor);
                    biases.Add(name, tensor);
                    saturation.Add(name, tensor);
                }
            }
        }
        catch (Exception e) when (e is Microsoft.ML.OnnxRuntime.OnnxRuntimeException or ModelBuildException)
        {
            return [];
        }

        return [.. Notes(data, inputs, norms.Finding() ?? Overdriven(biases, saturation), activations, nan)];
    }

    private static IEnumerable<PassNote> Notes(IDataset data, InputWatch inputs, string? scale, ActivationWatch activations, IReadOnlyCollection<string> nan)
    {
        var name = $"the calibration data '{data.Description}'";
        // What follows from constant or broken inputs is not told a second time.
        var notes = inputs.Constant().Select(m => Note(DiagnosticCodes.ConstantCalibrationData, $"{name}: {m}; check the files and the options of the dataset"))
            .Concat(inputs.NonFinite().Concat(activations.NaN().Concat(nan).Select(n => $"the model's value '{n}' becomes NaN on it")).Take(1)
                .Select(m => Note(DiagnosticCodes.NonFiniteCalibrationData, $"{name}: {m}; remove such samples, or check 'scale' and 'std' of the dataset")))
            .ToList();
        if (notes.Count == 0 && scale is not null)
        {
            notes.Add(Note(
                DiagnosticCodes.ScaleOfCalibrationData,
                $"{name}: {scale}; input values are {inputs.Ranges()}; check 'scale', 'mean' and 'std' of the dataset (pixels 0 to 255 or 0 to 1?)"));
        }

        if (notes.Count == 0 && inputs.Vary && activations.Finding() is { } dead)
        {
            notes.Add(Note(
                DiagnosticCodes.DeadOnCalibrationData,
                $"{name}: {dead}; input values are {inputs.Ranges()}; check 'scale', 'mean', 'std', 'channels' and 'layout' of the dataset"));
        }

        if (data.Count == 1 && data.Feedback.Count == 0)
            notes.Add(Note(DiagnosticCodes.FewCalibrationSamples, $"{name} has 1 sample; ranges found from it hold for that sample, so give some dozens that differ"));
        return notes;
    }

    /// <summary>
    /// Where the batch norms are folded already, the biases are what is left of them. A model may have learnt without them and on large
    /// values, but then its outputs are not saturated as well.
    /// </summary>
    private static string? Overdriven(BiasWatch biases, SaturationWatch saturation) =>
        biases.Ratio() is { } ratio and > LargestBiasRatio && saturation.Share() is { } share and > LargestSaturatedShare
            ? string.Create(CultureInfo.InvariantCulture, $"the model's convolutions put out {ratio:F0} times their biases, and {share:P0} of its Sigmoid and Softmax values are saturated")
            : null;

    private static PassNote Note(string code, string message) => new(PassNote.Calibration, message, code);

    // A value, or a state that is fed back, is meant to start the same in every sample.
    private static bool Varies(DatasetUse use, string input) => !use.Dataset.Inputs.TryGetValue(input, out var source) || source is not (ValueSource or FeedbackSource);
}
