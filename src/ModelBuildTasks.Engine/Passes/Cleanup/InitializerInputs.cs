using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Makes initializers that are also listed as inputs constants. Files of IR version 3 had to list them, and many exporters
/// went on doing so; as long as they are listed, a runtime must expect other values for them and cannot prepare weights.
/// </summary>
internal static class InitializerInputs
{
    /// <summary>The first IR version in which an initializer need not be an input.</summary>
    private const long IrVersion = 4;

    public static StepResult Apply(OnnxModel model)
    {
        if (model.Proto.IrVersion < IrVersion)
            model.Proto.IrVersion = IrVersion;

        // A body is always given all its inputs, so that an initializer behind one of them is never read.
        var changes = 0;
        foreach (var body in model.Graph.WithBodies().Skip(1))
        {
            var inputs = body.Input.Select(i => i.Name).ToHashSet();
            var hidden = GraphEdit.Set<TensorProto>();
            hidden.UnionWith(body.Initializer.Where(t => inputs.Contains(t.Name)));
            GraphEdit.RemoveInitializers(body, hidden);
            changes += hidden.Count;
        }

        var listed = GraphEdit.RemoveInitializedInputs(model.Graph);
        if (listed == 0)
            return new StepResult(changes, []);
        return new StepResult(changes + listed, [new Decision(model.Graph.Name, "Graph", "inputs made constant", $"{listed} weights were listed as inputs, too; they are constants now, and callers can no longer replace them")]);
    }
}
