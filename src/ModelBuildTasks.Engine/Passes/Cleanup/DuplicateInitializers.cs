using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>Merges initializers of one graph that have the same type, shape and bytes into the first of them.</summary>
internal static class DuplicateInitializers
{
    private const int PartBytes = 1 << 16;

    public static StepResult Apply(OnnxModel model)
    {
        var changes = 0;
        foreach (var graph in model.Graph.WithBodies().ToList())
        {
            var outputs = graph.Output.Select(o => o.Name).ToHashSet();
            var nested = GraphEdit.NestedDefinitions(graph);
            var map = new Dictionary<string, string>();
            var merged = GraphEdit.Set<TensorProto>();
            // Most tensors are told apart by type, shape and a few bytes; only the others are read.
            foreach (var alike in graph.Initializer
                .Where(t => (DataType)t.DataType != DataType.String && t.HasPayloadRef && !outputs.Contains(t.Name) && !nested.Contains(t.Name))
                .GroupBy(t => $"{t.DataType}:{string.Join(',', t.Dims)}").Where(g => g.Skip(1).Any())
                .SelectMany(g => g.GroupBy(t => model.Payloads[t.PayloadRef].Fingerprint())).Where(g => g.Skip(1).Any()))
            {
                foreach (var same in alike.GroupBy(t => model.Payloads[t.PayloadRef].Hash()))
                {
                    var first = same.First();
                    foreach (var other in same.Skip(1).Where(t => AreEqual(model, first, t)))
                    {
                        map[other.Name] = first.Name;
                        merged.Add(other);
                    }
                }
            }

            GraphEdit.RemoveInitializers(graph, merged);
            GraphEdit.ReplaceReads(graph, map);
            changes += merged.Count;
        }

        return new StepResult(changes, []);
    }

    private static bool AreEqual(OnnxModel model, TensorProto a, TensorProto b)
    {
        var (left, right) = (model.Payloads[a.PayloadRef], model.Payloads[b.PayloadRef]);
        if (ReferenceEquals(left, right))
            return true;
        var (x, y) = (new byte[(int)Math.Min(PartBytes, left.Length)], new byte[(int)Math.Min(PartBytes, left.Length)]);
        for (long offset = 0; offset < left.Length; offset += PartBytes)
        {
            var length = (int)Math.Min(PartBytes, left.Length - offset);
            left.Read(offset, x.AsSpan(0, length));
            right.Read(offset, y.AsSpan(0, length));
            if (!x.AsSpan(0, length).SequenceEqual(y.AsSpan(0, length)))
                return false;
        }

        return true;
    }
}
