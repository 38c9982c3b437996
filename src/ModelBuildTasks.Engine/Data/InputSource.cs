using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The opened source of one input, before it is known which samples are used.</summary>
/// <param name="Input">The model's input.</param>
/// <param name="Plan">What the manifest asks for.</param>
/// <param name="Count">Samples in all; null when there are as many as wanted.</param>
/// <param name="Fit">Fits the source, given the samples and the inputs that are fitted already.</param>
internal sealed record InputSource(ValueDescription Input, SourcePlan Plan, long? Count, Func<SampleOrder, IReadOnlyList<Feed>, Feed> Fit)
{
    /// <summary>Opens a source.</summary>
    /// <exception cref="ModelBuildException">It cannot be read, is empty, or can never fit.</exception>
    public static InputSource Open(ValueDescription input, SourcePlan plan)
    {
        if (!ElementConversion.Supports(input.Type))
            throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; datasets hold float16/32/64, 8- to 64-bit integers and bool", plan.Location);
        switch (plan)
        {
            case ImagesSource images:
                var files = Find(images);
                return files.Count > 0
                    ? new(input, plan, files.Count, (order, _) => new PhotoFeed(input, images, files, order))
                    : throw DatasetError.Empty($"No jpg or png file matches '{images.Pattern}'", images.Location);
            case NpySource npy:
                return Of(ArrayFeed.ForArray(input, ArraySamples.OpenNpy(npy.Path, npy.Location), npy.Image), plan);
            case IdxSource idx:
                return Of(ArrayFeed.ForArray(input, ArraySamples.OpenIdx(idx.Path, idx.Location), idx.Image), plan);
            case TableSource table:
                var type = ElementConversion.IsInteger(input.Type) ? DataType.Int64 : DataType.Double;
                return Of(ArrayFeed.ForTable(input, TableSamples.Open(table, type)), plan);
            case WavSource wav:
                return Of(ArrayFeed.ForAudio(input, WavSamples.Open(wav)), plan);
            case FeedbackSource feedback:
                return new(input, plan, null, (_, _) => new FeedbackFeed(input, feedback));
            case ValueSource value:
                return new(input, plan, null, (_, others) => new ConstantFeed(input, value, others));
            case RandomSource random:
                return new(input, plan, null, (_, others) => new RandomFeed(input, random, others));
            default:
                throw new ModelBuildException(DiagnosticCodes.NotAvailable, $"'{plan.GetType().Name}' cannot be read by this version", plan.Location);
        }
    }

    /// <summary>Fits all sources; those without a shape of their own come last, so that they can follow the others.</summary>
    public static IReadOnlyList<Feed> FitAll(IReadOnlyList<InputSource> sources, SampleOrder order)
    {
        var feeds = new List<Feed>();
        foreach (var source in sources.OrderBy(s => s.Count is null))
            feeds.Add(source.Fit(order, feeds));
        return feeds;
    }

    private static IReadOnlyList<string> Find(ImagesSource images)
    {
        try
        {
            return Photos.Find(images.BaseDirectory, images.Pattern);
        }
        catch (ModelBuildException tooMany)
        {
            throw tooMany.At(images.Location);
        }
    }

    private static InputSource Of(ArrayFeed feed, SourcePlan plan) => new(feed.Input, plan, feed.Count, (_, _) => feed);
}
