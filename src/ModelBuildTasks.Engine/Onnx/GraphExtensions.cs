using Google.Protobuf;
using AttributeType = ModelBuildTasks.Engine.Onnx.AttributeProto.Types.AttributeType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Reading and editing nodes and attributes.</summary>
internal static class GraphExtensions
{
    /// <summary>Whether the node is the operator of the default domain.</summary>
    public static bool Is(this NodeProto node, string opType) => node.OpType == opType && node.IsStandard();

    /// <summary>Whether the node's operator is of the default domain.</summary>
    public static bool IsStandard(this NodeProto node) => node.Domain is "" or "ai.onnx";

    /// <summary>An attribute by name, or null.</summary>
    public static AttributeProto? Attribute(this NodeProto node, string name) => node.Attribute.FirstOrDefault(a => a.Name == name);

    /// <summary>An integer attribute, or <paramref name="otherwise"/> where it is absent.</summary>
    public static long Int(this NodeProto node, string name, long otherwise = 0) => node.Attribute(name) is { } a ? a.I : otherwise;

    /// <summary>A float attribute, or <paramref name="otherwise"/> where it is absent.</summary>
    public static float Float(this NodeProto node, string name, float otherwise = 0) => node.Attribute(name) is { } a ? a.F : otherwise;

    /// <summary>A string attribute, or <paramref name="otherwise"/> where it is absent.</summary>
    public static string String(this NodeProto node, string name, string otherwise = "") => node.Attribute(name) is { } a ? a.S.ToStringUtf8() : otherwise;

    /// <summary>An integer list attribute, or null where it is absent.</summary>
    public static long[]? Ints(this NodeProto node, string name) => node.Attribute(name)?.Ints.ToArray();

    /// <summary>Sets an integer attribute.</summary>
    public static NodeProto Set(this NodeProto node, string name, long value) =>
        node.Replace(new AttributeProto { Name = name, I = value, Type = AttributeType.Int });

    /// <summary>Sets a float attribute.</summary>
    public static NodeProto Set(this NodeProto node, string name, float value) =>
        node.Replace(new AttributeProto { Name = name, F = value, Type = AttributeType.Float });

    /// <summary>Sets a string attribute.</summary>
    public static NodeProto Set(this NodeProto node, string name, string value) =>
        node.Replace(new AttributeProto { Name = name, S = ByteString.CopyFromUtf8(value), Type = AttributeType.String });

    /// <summary>Sets an integer list attribute.</summary>
    public static NodeProto Set(this NodeProto node, string name, params long[] values)
    {
        var attribute = new AttributeProto { Name = name, Type = AttributeType.Ints };
        attribute.Ints.AddRange(values);
        return node.Replace(attribute);
    }

    /// <summary>Sets a tensor attribute.</summary>
    public static NodeProto Set(this NodeProto node, string name, TensorProto value) =>
        node.Replace(new AttributeProto { Name = name, T = value, Type = AttributeType.Tensor });

    /// <summary>Removes an attribute where it is present.</summary>
    public static NodeProto RemoveAttribute(this NodeProto node, string name)
    {
        if (node.Attribute(name) is { } attribute)
            node.Attribute.Remove(attribute);
        return node;
    }

    /// <summary>The name of an input, or "" where it is omitted or beyond the list.</summary>
    public static string InputOrEmpty(this NodeProto node, int index) => index < node.Input.Count ? node.Input[index] : "";

    /// <summary>Sets an input, filling skipped optional inputs before it with "".</summary>
    public static void SetInput(this NodeProto node, int index, string name)
    {
        while (node.Input.Count <= index)
            node.Input.Add("");
        node.Input[index] = name;
    }

    /// <summary>Makes a node of the default domain.</summary>
    public static NodeProto Node(string opType, IEnumerable<string> inputs, IEnumerable<string> outputs, string name = "")
    {
        var node = new NodeProto { OpType = opType };
        if (name.Length > 0)
            node.Name = name;
        node.Input.AddRange(inputs);
        node.Output.AddRange(outputs);
        return node;
    }

    /// <summary>The bodies of a control-flow node (<c>If</c>, <c>Loop</c>, <c>Scan</c>).</summary>
    public static IEnumerable<GraphProto> Bodies(this NodeProto node)
    {
        foreach (var attribute in node.Attribute)
        {
            if (attribute.G is not null)
                yield return attribute.G;
            foreach (var graph in attribute.Graphs)
                yield return graph;
        }
    }

    /// <summary>The graph and all graphs nested in it, outermost first.</summary>
    public static IEnumerable<GraphProto> WithBodies(this GraphProto graph) =>
        graph.Node.SelectMany(n => n.Bodies()).SelectMany(b => b.WithBodies()).Prepend(graph);

    private static NodeProto Replace(this NodeProto node, AttributeProto attribute)
    {
        for (var i = 0; i < node.Attribute.Count; i++)
        {
            if (node.Attribute[i].Name == attribute.Name)
            {
                node.Attribute[i] = attribute;
                return node;
            }
        }

        node.Attribute.Add(attribute);
        return node;
    }
}
