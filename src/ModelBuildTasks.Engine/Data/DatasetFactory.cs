using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Makes datasets that fit a model.</summary>
public static class DatasetFactory
{
    /// <summary>Opens a manifest's dataset and fits it to a model: element types, a missing batch or channel dimension, layout, batch size.</summary>
    /// <param name="use">The dataset and its narrowing.</param>
    /// <param name="modelInputs">What the model declares.</param>
    /// <param name="modelOutputs">The model's outputs, among which those are looked for that the dataset feeds back; null leaves that to the first run.</param>
    /// <returns>The dataset. Files are read when it is enumerated; what is wrong inside them is thrown then.</returns>
    /// <exception cref="ModelBuildException">A file that cannot be read, a dataset that does not fit the model, or one without samples.</exception>
    public static IDataset Open(DatasetUse use, IReadOnlyList<ValueDescription> modelInputs, IReadOnlyList<ValueDescription>? modelOutputs = null)
    {
        var plan = use.Dataset;
        CheckNames(use, modelInputs);
        CheckFeedback(use, modelInputs, modelOutputs);
        var sources = modelInputs.Select(input => InputSource.Open(input, plan.Inputs[input.Name])).ToList();
        var labels = plan.Labels is null ? null : LabelSource.Open(plan.Labels);
        var narrowing = new Narrowing(use);
        var order = narrowing.Apply(CountOf(sources, labels));
        return new FittedDataset(InputSource.FitAll(sources, order), labels, order, use.Batch ?? plan.Batch, narrowing.ToString(), use.Location);
    }

    /// <summary>Opens a manifest's dataset and fits it to a model.</summary>
    /// <param name="use">The dataset and its narrowing.</param>
    /// <param name="model">The model.</param>
    /// <exception cref="ModelBuildException">A file that cannot be read, a dataset that does not fit the model, or one without samples.</exception>
    public static IDataset Open(DatasetUse use, OnnxModel model) => Open(use, model.Inputs, model.Outputs);

    /// <summary>
    /// Seeded random inputs of the shapes that a model declares, for models without data: floats in [0, 1), integers 0 or 1 (indices that
    /// every table has), uint8 0 to 255. Free dimensions are 1.
    /// </summary>
    /// <param name="modelInputs">What the model declares.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="count">Samples.</param>
    /// <exception cref="ModelBuildException">An input of a type that no dataset can hold, or too large.</exception>
    public static IDataset Random(IReadOnlyList<ValueDescription> modelInputs, int seed = 0, int count = 8)
    {
        var sources = modelInputs.Select(input => InputSource.Open(
            input, new RandomSource(default, 0, input.Type == DataType.Uint8 ? 255 : 1, seed, count, []))).ToList();
        var order = new SampleOrder(count, null);
        return new FittedDataset(InputSource.FitAll(sources, order), null, order, 1, $"random (seed {seed})", default);
    }

    private static void CheckNames(DatasetUse use, IReadOnlyList<ValueDescription> modelInputs)
    {
        var plan = use.Dataset;
        var names = modelInputs.Select(i => i.Name).ToList();
        foreach (var (name, source) in plan.Inputs)
        {
            if (!names.Contains(name))
            {
                throw DatasetError.DoesNotFit(
                    $"The model has no input '{name}'.{NearestName.Hint(name, names)} Its inputs are {string.Join(", ", modelInputs.Select(i => $"'{i.Name}' ({DatasetError.Describe(i.Type, i.Shape)})"))}.",
                    source.Location);
            }
        }

        if (modelInputs.FirstOrDefault(i => !plan.Inputs.ContainsKey(i.Name)) is { } hungry)
            throw DatasetError.DoesNotFit($"{DatasetError.Describe(hungry)}, and the dataset '{plan.Name}' does not feed it", plan.Location);
    }

    private static void CheckFeedback(DatasetUse use, IReadOnlyList<ValueDescription> modelInputs, IReadOnlyList<ValueDescription>? modelOutputs)
    {
        var fedBack = modelInputs.Where(i => use.Dataset.Inputs[i.Name] is FeedbackSource).ToList();
        if (fedBack.Count == 0)
            return;
        if ((use.Shuffle ?? use.Dataset.Shuffle) is not null)
            throw new ModelBuildException(DiagnosticCodes.InvalidValue, AudioBinder.Shuffled, use.Location);
        if ((use.Batch ?? use.Dataset.Batch) > 1)
            throw new ModelBuildException(DiagnosticCodes.InvalidValue, AudioBinder.Batched, use.Location);
        foreach (var input in modelOutputs is null ? [] : fedBack)
            FeedbackFeed.Check(input, (FeedbackSource)use.Dataset.Inputs[input.Name], modelOutputs!);
    }

    private static long CountOf(List<InputSource> sources, LabelSource? labels)
    {
        var counted = sources.Where(s => s.Count is not null).ToList();
        if (counted.FirstOrDefault(s => s.Count != counted[0].Count) is { } other)
        {
            throw DatasetError.DoesNotFit(
                $"The input '{other.Input.Name}' has {other.Count} samples, and '{counted[0].Input.Name}' has {counted[0].Count}", other.Plan.Location);
        }

        if (counted.Count == 0)
            return labels?.Count ?? sources.Select(s => s.Plan).OfType<RandomSource>().Select(r => r.Count).DefaultIfEmpty(1).Max();
        return labels is null || labels.Count == counted[0].Count
            ? counted[0].Count!.Value
            : throw DatasetError.DoesNotFit($"There are {labels.Count} labels for {counted[0].Count} samples of '{counted[0].Input.Name}'", labels.Location);
    }
}
