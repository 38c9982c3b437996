using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>Settings of <see cref="AdamW"/>.</summary>
/// <param name="Beta1">How much of the mean of gradients is kept from step to step.</param>
/// <param name="Beta2">How much of the mean of squared gradients is kept.</param>
/// <param name="Epsilon">Added to the root of the mean square.</param>
/// <param name="Decay">The share of the learning rate by which weights of two and more dimensions shrink in a step.</param>
internal sealed record AdamWOptions(float Beta1 = 0.9f, float Beta2 = 0.999f, float Epsilon = 1e-8f, float Decay = 0.01f);

/// <summary>
/// Adam with decoupled weight decay (Loshchilov, Hutter: Decoupled Weight Decay Regularization, 2019). In float, element by element, so that
/// neither the number of threads nor the width of vectors decides a bit.
/// </summary>
internal sealed class AdamW(AdamWOptions options)
{
    // A part of each array that stays in the first cache.
    private const int Part = 1024;

    private readonly Dictionary<string, (float[] Mean, float[] Square)> _moments = [];
    private int _step;
    private float _rate;

    /// <summary>Begins a step; then each weight is updated once.</summary>
    /// <param name="rate">The step's learning rate.</param>
    public void NextStep(float rate)
    {
        _step++;
        _rate = rate;
    }

    /// <summary>Moves a weight.</summary>
    /// <param name="name">The weight's name, under which its moments are kept.</param>
    /// <param name="weight">Its values, which change.</param>
    /// <param name="gradient">Its gradient.</param>
    /// <param name="decay">Whether it decays: biases and scales do not.</param>
    public void Update(string name, Span<float> weight, ReadOnlySpan<float> gradient, bool decay = true)
    {
        if (!_moments.TryGetValue(name, out var moments))
            _moments[name] = moments = (new float[weight.Length], new float[weight.Length]);
        var bias1 = 1 - MathF.Pow(options.Beta1, _step);
        var bias2 = MathF.Sqrt(1 - MathF.Pow(options.Beta2, _step));
        var keep = decay ? 1 - (_rate * options.Decay) : 1;
        Span<float> scratch = stackalloc float[Part];
        for (var first = 0; first < weight.Length; first += Part)
        {
            var length = Math.Min(Part, weight.Length - first);
            var w = weight.Slice(first, length);
            var g = gradient.Slice(first, length);
            var m = moments.Mean.AsSpan(first, length);
            var v = moments.Square.AsSpan(first, length);
            var t = scratch[..length];
            // m += (1 - β1)(g - m); v = β2 v + (1 - β2) g²
            TensorPrimitives.Subtract(g, m, t);
            TensorPrimitives.Multiply(t, 1 - options.Beta1, t);
            TensorPrimitives.Add(m, t, m);
            TensorPrimitives.Multiply(g, g, t);
            TensorPrimitives.Multiply(t, 1 - options.Beta2, t);
            TensorPrimitives.Multiply(v, options.Beta2, v);
            TensorPrimitives.Add(v, t, v);
            // w = w (1 - rate · decay) - rate / bias1 · m / (√v / bias2 + ε)
            TensorPrimitives.Sqrt(v, t);
            TensorPrimitives.Multiply(t, 1 / bias2, t);
            TensorPrimitives.Add(t, options.Epsilon, t);
            TensorPrimitives.Divide(m, t, t);
            TensorPrimitives.Multiply(t, -_rate / bias1, t);
            if (keep != 1)
                TensorPrimitives.Multiply(w, keep, w);
            TensorPrimitives.Add(w, t, w);
        }
    }
}
