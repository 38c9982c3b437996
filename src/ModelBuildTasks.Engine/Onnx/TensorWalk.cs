namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Finds every tensor message of a model, wherever it is.</summary>
internal static class TensorWalk
{
    public static IEnumerable<TensorProto> All(ModelProto model) =>
        Of(model.Graph).Concat(model.Functions.SelectMany(f => f.AttributeProto.SelectMany(Of).Concat(f.Node.SelectMany(n => n.Attribute).SelectMany(Of))));

    private static IEnumerable<TensorProto> Of(GraphProto graph) =>
        graph.Initializer
            .Concat(graph.SparseInitializer.SelectMany(Of))
            .Concat(graph.Node.SelectMany(n => n.Attribute).SelectMany(Of));

    private static IEnumerable<TensorProto> Of(AttributeProto attribute)
    {
        if (attribute.T is not null)
            yield return attribute.T;
        foreach (var tensor in attribute.Tensors)
            yield return tensor;
        if (attribute.SparseTensor is not null)
        {
            foreach (var tensor in Of(attribute.SparseTensor))
                yield return tensor;
        }

        foreach (var tensor in attribute.SparseTensors.SelectMany(Of))
            yield return tensor;
        if (attribute.G is not null)
        {
            foreach (var tensor in Of(attribute.G))
                yield return tensor;
        }

        foreach (var tensor in attribute.Graphs.SelectMany(Of))
            yield return tensor;
    }

    private static IEnumerable<TensorProto> Of(SparseTensorProto sparse)
    {
        if (sparse.Values is not null)
            yield return sparse.Values;
        if (sparse.Indices is not null)
            yield return sparse.Indices;
    }
}
