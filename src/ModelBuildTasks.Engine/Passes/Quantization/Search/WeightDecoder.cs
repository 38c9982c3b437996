using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.HalfPrecision;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>What a weight, and the bias beside it, are after they went through a form.</summary>
internal sealed class WeightDecoder(OnnxModel model, QuantizePlan plan, NumberFormats formats, WeightRounding? rounding)
{
    private readonly RewriteContext _rewrite = new(model, plan, formats, rounding);

    /// <summary>The values that the runtime computes with.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="form">How it is stored.</param>
    /// <param name="bias">The node's constant float bias, or null.</param>
    public (float[] Weight, float[]? Bias) Decode(NodeWeight weight, QuantizedForm form, float[]? bias)
    {
        var values = model.ReadFloats(weight.Tensor);
        if (form == QuantizedForm.Half)
            return (HalfConversion.Round(values), null);
        var (quantized, _) = form == QuantizedForm.Weights ? _rewrite.Quantize(weight) : _rewrite.QuantizeForIntegers(weight);
        var corrected = bias is null ? null : _rewrite.CorrectBias(weight, weight.Node.Input[0], bias, quantized);
        for (var i = 0; i < values.Length; i++)
            values[i] = quantized.Scales[quantized.Scales.Length == 1 ? 0 : i / weight.Inner % weight.Channels] * quantized.Values[i];
        return (values, ReferenceEquals(bias, corrected) ? null : corrected);
    }
}
