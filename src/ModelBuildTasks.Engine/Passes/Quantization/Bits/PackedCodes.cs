namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Codes, scales and zeros in the order of the weight's tensor: [K groups, N] for a matrix of a product, [rows, groups] for a table.</summary>
/// <param name="Codes">Packed; of a symmetric grid as signed numbers.</param>
/// <param name="Scales">One a group.</param>
/// <param name="Zeros">Packed; empty where the grid is symmetric.</param>
internal sealed record PackedCodes(byte[] Codes, float[] Scales, byte[] Zeros);
