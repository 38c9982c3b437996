using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;

/// <summary>
/// A weight as one or two planes of signs, see <see cref="BitPlanes"/>. The scale of a plane is the mean magnitude of the latent weights, and takes its
/// share of the gradient (Rastegari et al.: XNOR-Net, 2016).
/// </summary>
internal sealed class FakePlanes(string name, float[] latent, RowLayout layout, BitsPlan plan) : FakeWeight(name, latent)
{
    // Farther from zero a weight would not come back within a training.
    private const float Clip = 3;

    private readonly float[] _moves = new float[latent.Length];

    /// <inheritdoc/>
    public override void Write(Span<float> into) => BitQuantizer.Planes(Latent, layout, plan, 1).Planes.Decode().CopyTo(into);

    /// <inheritdoc/>
    public override void Move(AdamW optimizer, ReadOnlySpan<float> gradient)
    {
        var group = BitForms.Divisor(layout.Columns, plan.Group);
        for (var row = 0; row < layout.Rows; row++)
        {
            for (var from = 0; from < layout.Columns; from += group)
                Share(gradient, row, from, Math.Min(group, layout.Columns - from));
        }

        optimizer.Update(Name, Latent, _moves);
        for (var row = 0; row < layout.Rows; row++)
        {
            for (var from = 0; from < layout.Columns; from += group)
                Limit(row, from, Math.Min(group, layout.Columns - from));
        }
    }

    private void Share(ReadOnlySpan<float> gradient, int row, int from, int count)
    {
        var common = 0f;
        for (var c = 0; c < count; c++)
        {
            var at = layout.Index(row, from + c);
            common += Latent[at] >= 0 ? gradient[at] : -gradient[at];
        }

        common /= count;
        for (var c = 0; c < count; c++)
        {
            var at = layout.Index(row, from + c);
            _moves[at] = gradient[at] + (Latent[at] >= 0 ? common : -common);
        }
    }

    private void Limit(int row, int from, int count)
    {
        var mean = 0f;
        for (var c = 0; c < count; c++)
            mean += Math.Abs(Latent[layout.Index(row, from + c)]);
        var limit = Clip * mean / count;
        for (var c = 0; c < count; c++)
        {
            ref var latent = ref Latent[layout.Index(row, from + c)];
            latent = Math.Clamp(latent, -limit, limit);
        }
    }
}
