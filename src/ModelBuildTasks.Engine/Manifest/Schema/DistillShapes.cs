namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>Options of distillation.</summary>
internal static class DistillShapes
{
    private static ObjectShape HiddenPair { get; } = new("hiddenPair", "A value of the student and the one of its teacher that it is compared with.",
    [
        new("student", Scalars.Text("the name of a value"), "The name of the student's value.") { Required = true },
        new("teacher", Scalars.Text("the name of a value"), "The name of the teacher's value.") { Required = true },
    ]);

    private static readonly ScalarShape _structure = Scalars.ChoiceOr(PassShapes.StructurePattern, "a pattern such as 2:4 or a block such as 4x1", Scalars.Choice([("unstructured", "single weights become zero (default)")]));

    private static ObjectShape Gradual { get; } = new("gradual", "What becomes zero while the model is trained.",
    [
        new("structure", _structure with
        {
            Parse = s => s.Text is "channels" or "heads" or "layers" ? new(null, $"{s.Text} make tensors smaller, which training cannot; put 'prune: {{ structure: {s.Text} }}' in front of distill") : _structure.Parse(s),
        }, "What becomes zero as one."),
        new("amount", PassShapes.Share(), "The share that becomes zero, of weights or blocks: 50% or 0.5; below 100%."),
        new("until", Scalars.Quantity("a share such as 50%", 0, 1, above: true), "The share of the steps in which zeros grow (default 50%); in the rest they stay."),
        new("allocate", Scalars.Choice(
        [
            ("auto", "loss with calibration data, else uniform (default)"),
            ("uniform", "the same share of each layer"),
            ("global", "one threshold on magnitudes, each layer's normalized"),
            ("loss", "where the predicted loss for what is saved is least; needs calibration data"),
        ]), "How the amount is spread over layers."),
        new("limit", PassShapes.Share(), "The largest share of one layer that may go, where the amount is not the same for each (default 95%)."),
    ])
    {
        AnyOf = ["amount", "structure"],
    };

    public static ObjectShape Distill { get; } = new("distill", "How the model is trained to answer like the original.",
    [
        new("data", DatasetShapes.UseOrName, "What is trained on (default: the target's calibration data)."),
        new("epochs", Scalars.Integer(1, 100_000), "Times that the data is gone through (default 2; with method blockwise for each block, 50)."),
        new("steps", Scalars.Integer(1), "Steps at most, with method blockwise of each block (default: what the epochs take)."),
        new("batch", Scalars.Integer(1, 65_536), "Samples in a step (default 64)."),
        new("learning_rate", Scalars.Number(0, 10, above: true), "The highest learning rate (default 0.001); it falls to zero along half a cosine."),
        new("weight_decay", Scalars.Number(0, 10), "The share of the learning rate by which weights shrink in a step (default 0.01)."),
        new("warm_up", Scalars.Quantity("a share such as 5%", 0, 1), "The share of steps in which the learning rate rises (default 5%)."),
        new("loss", PassShapes.OutputLosses, "How the outputs are compared."),
        new("temperature", Scalars.Number(0, 1000, above: true), "What scores of both models are divided by before they are compared (default 2)."),
        new("labels", Scalars.Quantity("a share such as 30%", 0, 1), "The share of the loss that the data's labels have (default 0%); the rest has the original."),
        new("hidden", new UnionShape(
            Scalars.Choice([("auto", "values of the same name and shape in both")]), new ListShape(new UnionShape(Scalars.Text("the name of a value"), null, HiddenPair)), null),
            "Values inside the models that are compared, too: their names, pairs of names, or auto."),
        new("hidden_loss", Scalars.Choice([("mse", "mean squared error (default)"), ("cosine", "one minus the cosine of the angle along the last axis")]), "How they are compared."),
        new("hidden_weight", Scalars.Number(0, 1e6, above: true), "The factor before the mean of their losses (default 1)."),
        new("held_back", Scalars.Quantity("a share such as 10%", 0, 1, above: true), "The share of samples that is held back to see which weights are best (default 10%)."),
        new("patience", Scalars.Integer(1), "Epochs without a better loss on what is held back after which training ends (default 5)."),
        new("memory", Scalars.Bytes, "What a step of training may take (default 4 GB): activations that do not fit are computed again on the way back."),
        new("seed", Scalars.Integer(0), "The seed of the order of samples, and of new weights (default 0)."),
        new("student", Scalars.Text("the path of a model"), "Another model that is trained in place of this one, with the same inputs and outputs."),
        new("quantize", PassShapes.Quantize, "The quantize behind it, with the same options for weights: weights are trained as they will be stored, with straight-through gradients."),
        new("prune", Gradual, "What becomes zero while the model is trained, a little more every few steps (Zhu and Gupta 2017)."),
        new("window", Scalars.Integer(1, 1024), "For data whose outputs are fed back: the runs of a stream through which a gradient goes (default 8)."),
        new("scratch", Scalars.Boolean, "Whether the weights are drawn anew instead of trained on (default false)."),
        new("method", Scalars.Choice([("end-to-end", "all weights together, by what the model answers (default)"), ("blockwise", "block by block from the inputs on, each by what the original has at the block's end")]), "How it is trained."),
        new("max_time", Scalars.Never("a clock may not choose what a build makes: 'epochs' and 'steps' bound training, and a time limit has its place in 'tune'"), "Not in a build: 'epochs' and 'steps' bound training."),
    ])
    {
        MayBeEmpty = true,
    };
}
