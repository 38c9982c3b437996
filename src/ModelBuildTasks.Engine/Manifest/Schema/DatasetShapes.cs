namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary><c>datasets:</c> and the sources in it.</summary>
internal static class DatasetShapes
{
    private const int MaxSide = 16384;

    private static readonly ScalarShape Path = Scalars.Text("the path of a file");
    private static readonly UnionShape NumberOrNumbers = new(Scalars.Number(), new ListShape(Scalars.Number()), null);
    private static readonly UnionShape Side = new(Scalars.Integer(1, MaxSide), new ListShape(Scalars.Integer(1, MaxSide), 2, 2), null);
    private static readonly Property Header = new("header", Scalars.Boolean, "Whether the first row is a header; by default that is seen from the file.");

    private static readonly Property[] Image =
    [
        new("resize", Side, "Antialiased bilinear resizing: the length of the short side, or [width, height] exactly."),
        new("crop", Side, "A central crop: the side of a square, or [width, height]."),
        new("channels", Scalars.Choice([("RGB", "red, green, blue (default)"), ("BGR", "blue, green, red"), ("GRAY", "one channel of luma")]), "Order of channels that the model wants."),
        new("scale", Scalars.Number(), "Factor on a value before mean and std (default 1)."),
        new("mean", NumberOrNumbers, "Subtracted after the factor: a number, or one for each channel in output order."),
        new("std", NumberOrNumbers, "Divisor after the mean: a number, or one for each channel in output order."),
    ];

    private static readonly Property[] Array =
    [
        .. Image,
        new("layout", Scalars.Choice([("NHWC", "height, width, channels"), ("NCHW", "channels, height, width")]), "How the array is laid out, where it holds images; RGB is assumed."),
    ];

    private static readonly FormsShape Source = new("source", "source",
    [
        new("imagesSource", "Photos: jpg and png files, sorted ordinally by relative path.", [new("images", Scalars.Text("a path with wildcards"), "A path, in which *, ? and ** stand for parts of names, names and folders.") { Required = true }, .. Image]),
        new("npySource", "An array file of NumPy; the first axis counts samples.", [new("npy", Path, "The path of an array file of NumPy; the first axis counts samples.") { Required = true }, .. Array]),
        new("idxSource", "An IDX file as MNIST has, plain or .gz; the first axis counts samples.", [new("idx", Path, "The path of an IDX file, plain or .gz; the first axis counts samples.") { Required = true }, .. Array]),
        Table("csv", "A table with commas between columns; a row is a sample.", Columns()),
        Table("tsv", "A table with tabs between columns; a row is a sample.", Columns()),
        AudioShapes.Wav,
        new("valueSource", "The same numbers for every sample.", [new("value", NumberOrNumbers, "A number, or a list of numbers, that every sample gets.") { Required = true }]),
        new("randomSource", "Seeded random numbers of the shape that the model declares.",
        [
            new("random", new ObjectShape("random", "Seeded random numbers.",
            [
                new("min", Scalars.Number(), "The least value (default 0)."),
                new("max", Scalars.Number(), "The greatest value, for integers inclusive (default 1)."),
                new("seed", Scalars.Integer(0), "Seed (default 0)."),
                new("count", Scalars.Integer(1, 1_000_000), "Samples (default 16)."),
                new("shape", new ListShape(Scalars.Integer(1), 0, 8), "Shape of one sample's array where the model's own is not wanted."),
            ])
            {
                MayBeEmpty = true,
            }, "Seeded random numbers.") { Required = true },
        ]),
        AudioShapes.Feedback,
    ])
    {
        NotYet = ["text", "npz", "pb"],
    };

    private static readonly FormsShape Labels = new("labels", "source of labels",
    [
        new("npyLabels", "Labels from an array file of NumPy.", [new("npy", Path, "The path of an array file of NumPy: one label a sample, or one a position.") { Required = true }]),
        new("idxLabels", "Labels from an IDX file.", [new("idx", Path, "The path of an IDX file, plain or .gz.") { Required = true }]),
        Table("csv", "Labels from a table with commas between columns.", LabelColumns(), "Labels"),
        Table("tsv", "Labels from a table with tabs between columns.", LabelColumns(), "Labels"),
    ])
    {
        NotYet = ["npz", "pb", "text"],
    };

    /// <summary>A dataset.</summary>
    public static ObjectShape Dataset { get; } = new("dataset", "Named inputs for a model, sample by sample.",
    [
        new("inputs", new MapShape("the name of a model input", Source), "A source for each input of the model, by the input's name.") { Required = true },
        new("labels", Labels, "The right class of each sample."),
        .. Selection(null),
    ]);

    /// <summary>A dataset's name, alone or with what narrows it.</summary>
    public static UnionShape UseOrName { get; } = new(
        Scalars.Text("the name of a dataset"),
        null,
        new ObjectShape("datasetUse", "A dataset, narrowed.",
        [
            new("use", Scalars.Text("the name of a dataset"), "The dataset's name."),
            .. Selection("the dataset's own"),
        ]));

    private static Property[] Selection(string? other) =>
    [
        new("shuffle", Scalars.Integer(0), $"Seed of a fixed random order, made before skip and take{(other is null ? "" : $"; replaces {other}")}."),
        new("skip", Scalars.Integer(0, long.MaxValue / 4), $"Samples to leave out at the start{(other is null ? "" : $", behind {other} skip and take")} (default 0)."),
        new("take", Scalars.Integer(1, long.MaxValue / 4), $"Samples to use at most{(other is null ? "" : $", behind {other} skip and take")}."),
        new("batch", Scalars.Integer(1, 65536), $"Samples a run{(other is null ? " (default 1)" : $"; replaces {other}")}."),
    ];

    private static ObjectShape Table(string key, string meaning, Property[] columns, string kind = "Source") =>
        new($"{key}{kind}", meaning, [new(key, Path, $"The path of the table. {meaning}") { Required = true }, .. columns, Header]);

    private static Property[] Columns() =>
    [
        new("columns", new UnionShape(Scalars.Column, new ListShape(Scalars.Column), null), "The columns that make a sample, by 0-based index or header name; by default all."),
    ];

    private static Property[] LabelColumns() =>
    [
        new("column", Scalars.Column, "The column with the labels, by 0-based index or header name.") { Required = true },
        new("classes", new ListShape(Scalars.Label("the name of a class")), "For labels as text: the names of the classes in the order of the model's outputs."),
    ];
}
