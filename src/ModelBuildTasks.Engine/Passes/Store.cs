using System.Globalization;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using ModelBuildTasks.Engine.Passes.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Stores each float32 tensor of the main graph in the form that takes the fewest bytes, in the file or, where the package is entropy-coded, behind
/// the encoder: as it is, float16, int8 with scales, a palette, without its zeros, or in planes of bytes. All forms but the first are constant
/// expressions (or sparse initializers) that the runtime computes when it loads the model; the model's outputs stay the same to the bit unless a tolerance is given.
/// </summary>
public static class Store
{
    // No form of fewer elements is smaller than the tensor.
    private const int LeastBytes = 256;

    /// <summary>Stores the tensors of a copy of the model.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="plan">How far values may move.</param>
    /// <param name="context">Policy, and whether the package is entropy-coded.</param>
    public static PassResult Run(OnnxModel model, StorePlan plan, PassContext context)
    {
        var clone = model.Clone();
        var rewrite = new RewriteContext(clone, new QuantizePlan(plan.Location), context.Runtime.Formats);
        var index = new GraphIndex(clone, clone.Graph);
        var tensors = clone.Graph.Initializer.Where(t => (DataType)t.DataType == DataType.Float && clone.ByteLength(t) >= LeastBytes).ToList();
        var fixedNames = Fixed(clone);
        var chosen = new (StoredForm? Form, string Reason, long Before, long After)[tensors.Count];
        var folds = context.Runtime.Formats.FoldsConstants;
        Parallel.For(0, tensors.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, context.Threads) }, i =>
            chosen[i] = fixedNames.TryGetValue(tensors[i].Name, out var why) ? (null, why, clone.ByteLength(tensors[i]), clone.ByteLength(tensors[i]))
                : folds ? Choose(clone, tensors[i], plan, context)
                : (null, $"the runtime policy '{context.Runtime.Name}' does not fold constants: any other form would be decoded at every inference", clone.ByteLength(tensors[i]), clone.ByteLength(tensors[i])));

        var gone = GraphEdit.Set<TensorProto>();
        var nodes = new List<NodeProto>();
        var decisions = new List<Decision>();
        for (var i = 0; i < tensors.Count; i++)
        {
            var (tensor, (form, reason, before, after)) = (tensors[i], chosen[i]);
            var reader = index.Consumers(tensor.Name) is [var first, ..] ? first : null;
            var name = reader is null ? tensor.Name : $"{reader.DisplayName()}/{tensor.Name}";
            decisions.Add(new(name, reader?.OpType ?? "", form?.Name ?? "left", reason) { BytesBefore = before, BytesAfter = after });
            if (form is null)
                continue;
            form.Write(new(rewrite, clone.Graph, tensor, nodes));
            gone.Add(tensor);
        }

        GraphEdit.RemoveInitializers(clone.Graph, gone);
        nodes.AddRange(clone.Graph.Node);
        clone.Graph.Node.Clear();
        clone.Graph.Node.AddRange(nodes);
        var saved = decisions.Sum(d => d.BytesBefore - d.BytesAfter);
        var summary = gone.Count == 0 ? "every tensor is smallest as it is"
            : string.Create(CultureInfo.InvariantCulture, $"{gone.Count} of {tensors.Count} float tensors in a smaller form, {saved:N0} bytes less{(context.Encoded ? " behind the encoder" : "")}");
        return new(clone, decisions, summary);
    }

    /// <summary>The tensors that stay as they are, and why.</summary>
    private static Dictionary<string, string> Fixed(OnnxModel model)
    {
        var result = new Dictionary<string, string>();
        foreach (var name in model.Graph.Input.Select(i => i.Name).Concat(model.Graph.Output.Select(o => o.Name)))
            result.TryAdd(name, "it is an input or output of the model");
        // Runtimes look at scales before they compute constants, and fuse nothing with one that is not there.
        foreach (var name in model.Graph.WithBodies().SelectMany(g => g.Node).Where(n => n.OpType is "QuantizeLinear" or "DequantizeLinear" || !n.IsStandard()).SelectMany(n => n.Input))
            result.TryAdd(name, "the runtime fuses with it as it is: no cost when the model is loaded");
        return result;
    }

    private static (StoredForm? Form, string Reason, long Before, long After) Choose(OnnxModel model, TensorProto tensor, StorePlan plan, PassContext context)
    {
        var raw = model.ReadBytes(tensor);
        var values = MemoryMarshal.Cast<byte, float>(raw).ToArray();
        var tolerance = plan.Tolerance * values.Where(float.IsFinite).Select(MathF.Abs).DefaultIfEmpty(0).Max();
        var forms = new List<StoredForm?> { DenseForms.Half(values, tolerance), DenseForms.Int8(values, tensor.Dims, tolerance) };
        forms.AddRange(DenseForms.Palettes(values, model.Opset));
        forms.AddRange(SparseForms.Of(values, tensor.Dims, model.Opset));
        if (context.Encoded)
            forms.Add(SplitForm.Of(values));
        var before = context.Encoded ? EncodedSize.Of(raw) : raw.Length;
        var (best, least) = ((StoredForm?)null, before);
        foreach (var form in forms.OfType<StoredForm>())
        {
            var bytes = context.Encoded ? form.Encoded : form.Bytes;
            if (bytes < least)
                (best, least) = (form, bytes);
        }

        if (best is null)
            return (null, "no other form is smaller", before, before);
        var error = best.Error > 0 ? string.Create(CultureInfo.InvariantCulture, $"; values move by {best.Error / (tolerance / plan.Tolerance):0.####%} of the largest at most") : "";
        return (best, $"decoded when the model is loaded, where it takes {raw.Length.ToString("N0", CultureInfo.InvariantCulture)} bytes as before{error}", before, least);
    }
}
