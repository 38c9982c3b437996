using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>Writes new rows and biases of readers into a model. What other nodes read, too, is left to them, and the reader gets constants of its own.</summary>
/// <param name="clone">The model that is edited.</param>
internal sealed class ReaderEdits(OnnxModel clone)
{
    private readonly NodeMap _map = new(clone);
    private readonly Dictionary<int, ConstantEdit> _edits = [];
    private readonly Dictionary<int, GraphIndex> _indexes = GraphEdit.Indexes(clone).ToDictionary(i => i.Number);
    private readonly NameAllocator _names = new(clone);

    /// <summary>Sets the rows of a reader, and adds to its bias.</summary>
    /// <param name="reader">The reader; of the model or of one that it is a clone of.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="shift">What each row's output takes in addition; null for nothing.</param>
    public void Set(Reader reader, double[][] rows, double[]? shift) => Write(reader, rows, shift, reader.Bias is null ? null : Biases(reader, reader.Bias));

    /// <summary>Sets the rows of a reader, and its bias to that of the original model with something added.</summary>
    /// <param name="reader">The reader.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="shift">What each row's output takes in addition to the original's bias; null for a bias that stays.</param>
    public void Replace(Reader reader, double[][] rows, double[]? shift) => Write(reader, rows, shift, reader.OriginalBias);

    /// <summary>Makes columns of a weight zero for all nodes that read it.</summary>
    /// <param name="reader">The reader.</param>
    /// <param name="columns">The columns.</param>
    public void Clear(Reader reader, IReadOnlyList<int> columns)
    {
        var index = _indexes[reader.Node.Graph];
        var name = _map.Node(reader.Node).Input[reader.Weight.Input];
        if (index.Constant(name) is not { } tensor)
            return;
        var values = clone.ReadFloats(tensor);
        for (var r = 0; r < reader.RowCount; r++)
        {
            foreach (var c in columns)
                values[reader.Index(r, c)] = 0;
        }

        tensor.PayloadRef = clone.Payloads.Add(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
    }

    private void Write(Reader reader, double[][] rows, double[]? shift, float[]? biases)
    {
        if (reader.IsShared)
            return;
        var values = new float[reader.Weight.Count];
        for (var r = 0; r < rows.Length; r++)
        {
            for (var c = 0; c < reader.Columns; c++)
                values[reader.Index(r, c)] = (float)rows[r][c];
        }

        if (!Array.TrueForAll(values, float.IsFinite))
            return;
        var edit = Edit(reader.Node.Graph);
        edit.Set(_map.Node(reader.Node), reader.Weight.Input, "", reader.Weight.Tensor.Dims, values);
        if (shift is null || reader.Bias is not { } place || Array.TrueForAll(shift, s => s == 0))
            return;
        var node = _map.Node(place.Node);
        var old = _indexes[place.Node.Graph].Constant(node.InputOrEmpty(place.Input));
        biases ??= new float[reader.RowCount];
        if (biases.Length != reader.RowCount)
            return;
        float[] shifted = [.. biases.Select((b, i) => (float)(b + shift[i]))];
        if (Array.TrueForAll(shifted, float.IsFinite))
            edit.Set(node, place.Input, _map.Node(reader.Node).Input[reader.Weight.Input] + "_bias", old is null ? [reader.RowCount] : [.. old.Dims], shifted);
    }

    private float[]? Biases(Reader reader, BiasPlace place) =>
        _indexes[place.Node.Graph].Constant(_map.Node(place.Node).InputOrEmpty(place.Input)) is { } bias && ElementTypes.Count(bias.Dims) == reader.RowCount ? clone.ReadFloats(bias) : null;

    private ConstantEdit Edit(int graph) => _edits.TryGetValue(graph, out var edit) ? edit : _edits[graph] = new(clone, _indexes[graph], _names);
}
