using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// A model as it is trained: for inputs of fixed shapes, so that all arithmetic on shapes is done ahead; with the weights that are trained as
/// inputs; with branches that are decided put in their place.
/// </summary>
internal static class TrainingForm
{
    /// <summary>Operators are read in this form or a newer one: from here on reductions take their axes as an input.</summary>
    private const long LeastOpset = 20;

    /// <summary>
    /// Makes the training form of a copy of the model.
    /// </summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="weights">Initializers or outputs of Constant nodes of the main graph that become inputs.</param>
    /// <param name="sample">A batch as those that will be trained on: its shapes are kept.</param>
    /// <param name="constants">Inputs that have the same value in every step, such as a sampling rate; they are no inputs any more.</param>
    /// <exception cref="ModelBuildException">MBT2041: a weight is no float32 weight of the model. MBT2043: the model's operators cannot be raised to the opset that gradients are written in.</exception>
    public static OnnxModel Of(OnnxModel model, IReadOnlyCollection<string> weights, IReadOnlyDictionary<string, Tensor> sample, IReadOnlyCollection<string> constants)
    {
        var clone = model.Clone();
        NodeOrder.Apply(clone);
        InitializerInputs.Apply(clone);
        var upgrade = OpsetUpgrade.Upgrade(clone, Math.Max(LeastOpset, clone.Opset));
        if (upgrade.Reason is not null)
            throw new ModelBuildException(DiagnosticCodes.OpsetBelowGradients, $"the model cannot be trained: gradients need opset {LeastOpset}, and the model stays at {upgrade.To}: {upgrade.Reason}");
        var form = upgrade.Model.Clone();
        ConstantNodes.Apply(form);
        FixInputs(form, sample, constants);
        FreeWeights(form, weights);
        Settle(form);
        StaleInformation.Apply(form);
        form.Graph.ValueInfo.Clear();
        return form;
    }

    private static void FixInputs(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample, IReadOnlyCollection<string> constants)
    {
        foreach (var input in form.Graph.Input.ToList())
        {
            if (!sample.TryGetValue(input.Name, out var tensor))
                continue;
            if (constants.Contains(input.Name))
            {
                form.Graph.Input.Remove(input);
                form.Graph.Initializer.Add(form.CreateTensor(input.Name, tensor.Type, tensor.Shape, new ReadOnlyMemory<byte>(tensor.Bytes)));
                continue;
            }

            input.Type = TypeOf(tensor.Type, tensor.Shape);
        }
    }

    private static void FreeWeights(OnnxModel form, IReadOnlyCollection<string> weights)
    {
        var tensors = form.Graph.Initializer.ToDictionary(t => t.Name);
        foreach (var name in weights)
        {
            if (!tensors.TryGetValue(name, out var tensor) || (DataType)tensor.DataType != DataType.Float)
                throw new ModelBuildException(DiagnosticCodes.NotTrainable, $"'{name}' cannot be trained: it is no float32 weight of the model");
            form.Graph.Initializer.Remove(tensor);
            form.Graph.Input.Add(new ValueInfoProto { Name = name, Type = TypeOf(DataType.Float, tensor.Dims) });
        }
    }

    internal static TypeProto TypeOf(DataType type, IEnumerable<long> shape)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = new() };
        tensor.Shape.Dim.AddRange(shape.Select(d => new TensorShapeProto.Types.Dimension { DimValue = d }));
        return new TypeProto { TensorType = tensor };
    }

    /// <summary>Folds what is known with fixed shapes until nothing more is.</summary>
    private static void Settle(OnnxModel form)
    {
        var folding = new FoldingState(form);
        int changes;
        do
        {
            var names = new NameAllocator(form);
            var types = new InferredTypes(form);
            changes = PassThroughNodes.Apply(form, types).Changes;
            changes += StaticShapes.Apply(form, types).Changes;
            changes += ConstantFolding.Apply(form, folding, names).Changes;
            changes += ConstantBranches.Apply(form, names);
            changes += DeadNodes.Apply(form).Changes;
        }
        while (changes > 0);
        UnusedInitializers.Remove(form.Graph);
    }
}
