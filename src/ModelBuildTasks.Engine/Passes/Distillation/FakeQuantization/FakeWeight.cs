using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;

/// <summary>
/// A weight that is trained as what it will be stored as. The network sees Q(w); the gradient of Q(w) moves the latent w, as if rounding were not
/// there (straight-through: Bengio, Léonard, Courville: Estimating or Propagating Gradients Through Stochastic Neurons, 2013). Q depends on nothing
/// but the weight, so that it is computed between the steps, by the code that stores weights, and costs the graph no node.
/// </summary>
/// <param name="name">The weight's name, under which the optimizer keeps its moments.</param>
/// <param name="latent">The weight as it was trained before; it changes.</param>
internal abstract class FakeWeight(string name, float[] latent)
{
    /// <summary>The weight's name.</summary>
    protected string Name => name;

    /// <summary>The weight behind the rounding.</summary>
    protected float[] Latent => latent;

    /// <summary>A copy of the weight behind the rounding.</summary>
    public float[] Copy() => (float[])latent.Clone();

    /// <summary>Makes the weight zero where a mask is: what was pruned decides no scale.</summary>
    public void Mask(float[] mask) => TensorPrimitives.Multiply(latent, mask, latent);

    /// <summary>Writes Q(w).</summary>
    public abstract void Write(Span<float> into);

    /// <summary>Moves w, and what Q learns, along the gradient of Q(w).</summary>
    public abstract void Move(AdamW optimizer, ReadOnlySpan<float> gradient);
}
