using ModelBuildTasks.Engine.Passes.Quantization.Bits;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;

/// <summary>
/// A weight on a grid of few bits, each group with a scale that is learned (Esser et al.: Learned Step Size Quantization, 2020). The zeros of groups stay.
/// A scale is learned as the factor of the one that the weight had, so that a step of the optimizer moves large and small scales alike.
/// </summary>
internal sealed class FakeGrid : FakeWeight
{
    // A scale that nearly vanished would take all weights of its group along.
    private const float Least = 0.05f;

    private readonly BitWeight _form;
    private readonly bool _halves;
    private readonly float[] _start;
    private readonly float[] _factors;
    private readonly float[] _moves;

    /// <param name="name">The weight's name.</param>
    /// <param name="latent">Its values.</param>
    /// <param name="start">Rows, groups, scales and zeros to begin with.</param>
    /// <param name="halves">Whether scales are stored as float16.</param>
    public FakeGrid(string name, float[] latent, BitWeight start, bool halves) : base(name, latent)
    {
        (_form, _halves, _start) = (start with { Scales = (float[])start.Scales.Clone() }, halves, start.Scales);
        _factors = [.. Enumerable.Repeat(1f, _start.Length)];
        _moves = new float[latent.Length];
    }

    /// <inheritdoc/>
    public override void Write(Span<float> into)
    {
        foreach (var (row, first, count, group) in Groups())
        {
            var (scale, low, high) = Range(group);
            var inverse = 1 / scale;
            for (var c = first; c < first + count; c++)
            {
                var at = _form.Layout.Index(row, c);
                into[at] = scale * Math.Clamp(MathF.Round(Latent[at] * inverse), low, high);
            }
        }
    }

    /// <inheritdoc/>
    public override void Move(AdamW optimizer, ReadOnlySpan<float> gradient)
    {
        var scales = new float[_factors.Length];
        foreach (var (row, first, count, group) in Groups())
        {
            var (scale, low, high) = Range(group);
            var inverse = 1 / scale;
            var sum = 0f;
            for (var c = first; c < first + count; c++)
            {
                var at = _form.Layout.Index(row, c);
                var step = Latent[at] * inverse;
                // What is cut off moves with the scale alone.
                var cut = step < low || step > high;
                sum += gradient[at] * (cut ? Math.Clamp(step, low, high) : MathF.Round(step) - step);
                _moves[at] = cut ? 0 : gradient[at];
            }

            scales[group] = sum * _start[group];
        }

        optimizer.Update(Name, Latent, _moves);
        optimizer.Update($"{Name} scale", _factors, scales, decay: false);
        for (var group = 0; group < _factors.Length; group++)
        {
            _factors[group] = Math.Max(_factors[group], Least);
            var scale = _start[group] * _factors[group];
            _form.Scales[group] = _halves ? (float)(Half)Math.Clamp(scale, 1.01f * BitQuantizer.LeastHalf, 32768) : scale;
        }
    }

    private (float Scale, float Low, float High) Range(int group)
    {
        var zero = _form.Zero(group);
        return (_form.Scales[group], -zero, _form.Grid.Top - zero);
    }

    private IEnumerable<(int Row, int First, int Count, int Group)> Groups()
    {
        for (var row = 0; row < _form.Layout.Rows; row++)
        {
            for (var g = 0; g < _form.Groups; g++)
                yield return (row, g * _form.Group, Math.Min(_form.Group, _form.Layout.Columns - (g * _form.Group)), (row * _form.Groups) + g);
        }
    }
}
