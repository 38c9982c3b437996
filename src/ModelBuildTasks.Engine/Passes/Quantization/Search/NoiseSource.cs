namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>A place where quantization rounds, and the float model does not.</summary>
internal abstract record NoiseSource;

/// <summary>An activation in 8 bits with a calibrated scale.</summary>
/// <param name="Value">The value's name in the main graph.</param>
/// <param name="Parameters">Its scale and zero point.</param>
/// <param name="Readers">For a value from outside the 8-bit part: the nodes that read it rounded. Empty for a value made in 8 bits, which everybody reads rounded.</param>
internal sealed record ActivationNoise(string Value, AffineParameters Parameters, IReadOnlyList<NodeAddress> Readers) : NoiseSource
{
    /// <inheritdoc/>
    public bool Equals(ActivationNoise? other) =>
        other is not null && Value == other.Value && Parameters == other.Parameters && Readers.SequenceEqual(other.Readers);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Value, Parameters, Readers.Count);
}

/// <summary>An activation in 8 bits whose scale is found at run time.</summary>
/// <param name="Node">The product that reads it.</param>
internal sealed record DynamicNoise(NodeAddress Node) : NoiseSource;

/// <summary>A weight in few bits.</summary>
/// <param name="Node">The node that reads it.</param>
/// <param name="Input">Which of its inputs.</param>
/// <param name="Form">How it is stored.</param>
internal sealed record WeightNoise(NodeAddress Node, int Input, Manifest.QuantizedForm Form) : NoiseSource;
