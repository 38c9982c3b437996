namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>A rate that rises in a straight line, then falls along half a cosine to zero.</summary>
internal static class LearningRate
{
    /// <param name="highest">The rate at the end of the rise.</param>
    /// <param name="step">The step, from 0.</param>
    /// <param name="steps">Steps in all.</param>
    /// <param name="warmUp">The share of steps in which it rises.</param>
    public static float At(float highest, int step, int steps, float warmUp)
    {
        var rise = Rise(steps, warmUp);
        if (step < rise)
            return highest * (step + 1) / (rise + 1);
        // Cosines of the platform's library may differ in the last bit; float keeps fewer than they agree in.
        return (float)(highest * 0.5 * (1 + Math.Cos(Math.PI * (step - rise) / Math.Max(1, steps - rise))));
    }

    /// <summary>Steps in which it rises.</summary>
    public static int Rise(int steps, float warmUp) => (int)MathF.Ceiling(steps * warmUp);
}
