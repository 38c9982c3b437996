using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;

/// <summary>A weight in signed 8 bits, with the largest magnitude of a channel at 127: no value is cut off, all gradients pass.</summary>
/// <param name="name">The weight's name.</param>
/// <param name="latent">Its values.</param>
/// <param name="outer">Product of the dimensions before the channels.</param>
/// <param name="channels">Number of scales.</param>
/// <param name="inner">Product of the dimensions behind the channels.</param>
internal sealed class FakeEight(string name, float[] latent, long outer, long channels, long inner) : FakeWeight(name, latent)
{
    /// <inheritdoc/>
    public override void Write(Span<float> into)
    {
        var quantized = AffineQuantizer.QuantizeWeight(Latent, outer, channels, inner, []);
        for (var i = 0; i < into.Length; i++)
            into[i] = quantized.Values[i] * AffineQuantizer.FoundAgain(quantized.Scales[i / inner % channels]);
    }

    /// <inheritdoc/>
    public override void Move(AdamW optimizer, ReadOnlySpan<float> gradient) => optimizer.Update(Name, Latent, gradient);
}
