using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes plans of the checked <c>datasets:</c>.</summary>
internal sealed class DatasetBinder(ManifestFiles files, DiagnosticBag errors)
{
    /// <summary>The datasets by name; null stands for one that has errors.</summary>
    public OrderedDictionary<string, DatasetPlan?> Bind(ObjectValue? datasets)
    {
        var result = new OrderedDictionary<string, DatasetPlan?>();
        foreach (var member in datasets?.Members ?? [])
            result[member.Key] = Dataset(member.Key, member.KeyLocation, (ObjectValue)member.Value);
        return result;
    }

    private DatasetPlan? Dataset(string name, SourceLocation location, ObjectValue value)
    {
        var inputs = new OrderedDictionary<string, SourcePlan>();
        var complete = value.Complete;
        foreach (var member in (value["inputs"] as ObjectValue)?.Members ?? [])
        {
            if (Source((ObjectValue)member.Value) is { } source)
                inputs[member.Key] = source;
            else
                complete = false;
        }

        var labels = value["labels"] is ObjectValue given ? Source(given) : null;
        AudioBinder.CheckOrder(inputs.Values, value, errors);
        if (!complete || (labels is null && value.Meant("labels")))
            return null;
        return new()
        {
            Name = name,
            Location = location,
            Inputs = inputs,
            Labels = labels,
            Shuffle = (int?)value.Get<long>("shuffle"),
            Skip = value.Get<long>("skip") ?? 0,
            Take = value.Get<long>("take"),
            Batch = (int)(value.Get<long>("batch") ?? 1),
        };
    }

    // Files are looked for even where an option beside them is wrong: the build wants to know of them.
    private SourcePlan? Source(ObjectValue value)
    {
        var path = value.Form is "npy" or "idx" or "csv" or "tsv" && value.Text(value.Form) is { } written
            ? files.File(written, value[value.Form]!.Location, "the file")
            : null;
        if (value.Form == "images" && value.Text("images") is { } wildcards)
            files.Photos(wildcards, value["images"]!.Location);
        if (value.Form == "wav" && value.Text("wav") is { } recordings)
            files.Recordings(recordings, value["wav"]!.Location);
        if (!value.Complete)
            return null;
        return value.Form switch
        {
            "images" => Image(value) is { } image ? new ImagesSource(value.Location, files.BaseDirectory, value.Text("images")!, image) : null,
            "npy" => Image(value) is { } image ? new NpySource(value.Location, path!, image) : null,
            "idx" => Image(value) is { } image ? new IdxSource(value.Location, path!, image) : null,
            "csv" => Table(value, path!, ','),
            "tsv" => Table(value, path!, '\t'),
            "wav" => AudioBinder.Wav(value, files.BaseDirectory, errors),
            "feedback" => AudioBinder.Feedback(value),
            "value" => new ValueSource(value.Location, Numbers(value["value"])),
            "random" => Random(value.Location, (ObjectValue)value["random"]!),
            _ => null,
        };
    }

    private TableSource? Table(ObjectValue value, string path, char separator)
    {
        var columns = (value["columns"] ?? value["column"]) switch
        {
            ListValue list => list.Contents<string>(),
            ScalarValue { Content: string column } => [column],
            _ => [],
        };
        var classes = value["classes"] is ListValue names ? names.Contents<string>() : [];
        if (classes.GroupBy(c => c).FirstOrDefault(g => g.Count() > 1) is { } twice)
            return Senseless<TableSource>($"the class '{twice.Key}' is listed twice", value["classes"]!.Location);
        var byName = columns.Any(c => !c.All(char.IsAsciiDigit));
        if (byName && value.Get<bool>("header") == false)
            return Senseless<TableSource>("a column is given by name, but 'header: false' says that the file has no names", value["header"]!.Location);
        return new(value.Location, path, separator, columns, value.Get<bool>("header"), classes);
    }

    private RandomSource? Random(SourceLocation location, ObjectValue value)
    {
        var min = value.Get<double>("min") ?? 0;
        var max = value.Get<double>("max") ?? Math.Max(min, 1);
        if (!value.Complete)
            return null;
        if (min > max)
            return Senseless<RandomSource>($"min {Text(min)} is greater than max {Text(max)}", (value["min"] ?? value["max"])!.Location);
        IReadOnlyList<long> shape = value["shape"] is ListValue list ? list.Contents<long>() : [];
        if (shape.Aggregate(1.0, (product, d) => product * d) > int.MaxValue)
            return Senseless<RandomSource>("the shape has more than 2147483647 elements", value["shape"]!.Location);
        return new(location, min, max, (int)(value.Get<long>("seed") ?? 0), value.Get<long>("count") ?? 16, shape);
    }

    private ImageOptions? Image(ObjectValue value)
    {
        var resize = Sides(value["resize"]);
        var crop = Sides(value["crop"]);
        var exact = value["resize"] is ListValue;
        if (resize is { } space && crop is { } cut && (exact ? cut.Width > space.Width || cut.Height > space.Height : Math.Min(cut.Width, cut.Height) > space.Width))
        {
            var left = exact ? $"{space.Width} x {space.Height}" : $"a short side of {space.Width}";
            return Senseless<ImageOptions>($"the crop of {cut.Width} x {cut.Height} does not fit into what 'resize' leaves: {left}", value["crop"]!.Location);
        }

        var channels = value.Text("channels") switch { "BGR" => Channels.Bgr, "GRAY" => Channels.Gray, _ => Channels.Rgb };
        var known = value.Form == "images" || value.Has("channels");
        var count = channels == Channels.Gray ? 1 : 3;
        foreach (var key in new[] { "mean", "std" })
        {
            if (known && value[key] is ListValue { Items.Count: var given } list && given != 1 && given != count)
                return Senseless<ImageOptions>($"'{key}' has {given} values for {count} channel{(count == 1 ? "" : "s")}", list.Location);
        }

        var std = Numbers(value["std"]);
        if (std.Contains(0))
            return Senseless<ImageOptions>("'std' divides, so it cannot be 0", value["std"]!.Location);
        return new()
        {
            ResizeShortSide = exact ? null : resize?.Width,
            ResizeExact = exact ? resize : null,
            Crop = crop,
            Channels = channels,
            ChannelsGiven = value.Has("channels"),
            Scale = value.Get<double>("scale") ?? 1,
            Mean = Numbers(value["mean"]),
            Std = std,
            Layout = value.Text("layout") switch { "NHWC" => ArrayLayout.Nhwc, "NCHW" => ArrayLayout.Nchw, _ => null },
        };
    }

    private static (int Width, int Height)? Sides(Value? value) => value switch
    {
        ScalarValue { Content: long side } => ((int)side, (int)side),
        ListValue list when list.Contents<long>() is [var width, var height] => ((int)width, (int)height),
        _ => null,
    };

    private static IReadOnlyList<double> Numbers(Value? value) => value switch
    {
        ScalarValue { Content: double number } => [number],
        ListValue list => list.Contents<double>(),
        _ => [],
    };

    private T? Senseless<T>(string message, SourceLocation location) where T : class
    {
        errors.Error(DiagnosticCodes.InvalidValue, message, location);
        return null;
    }

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}
