using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>The limit of what can be in memory as one array.</summary>
internal static class TooLarge
{
    /// <summary>A number of elements as the length of an array.</summary>
    /// <param name="elements">The elements that are to be read at once.</param>
    /// <param name="tensor">The tensor they belong to, or null where its name is not known.</param>
    /// <exception cref="ModelBuildException">MBT2036: there are too many.</exception>
    public static int Checked(long elements, TensorProto? tensor) => elements <= Array.MaxLength
        ? (int)elements
        : throw new ModelBuildException(DiagnosticCodes.TensorTooLarge, $"{(tensor is null ? "a tensor" : $"tensor '{tensor.Name}'")} has {elements:N0} elements to be read at once, and at most {Array.MaxLength:N0} can be");
}
