namespace ModelBuildTasks.Engine.Data;

/// <summary>Dimensions for sources that have no shape of their own.</summary>
internal static class FreeDims
{
    /// <summary>
    /// The declared shape with a first free dimension for the samples and 1 for the other free ones, except where another input that is
    /// declared alike has found its dimensions: an attention mask is as long as the tokens.
    /// </summary>
    public static InputFit Resolve(ValueDescription input, IEnumerable<Feed> others)
    {
        if (input.Shape is not { Length: > 0 } declared)
            return new([], Batched: false, null);
        if (declared.Contains(-1) && others.FirstOrDefault(o => o.Fit is not null && o.Input.Shape is { } shape && shape.SequenceEqual(declared)) is { } alike)
            return alike.Fit!;
        var dims = declared.Select(d => d < 0 ? 1 : d).ToArray();
        return declared[0] < 0 ? new(dims[1..], Batched: true, null) : new(dims, Batched: false, null);
    }
}
