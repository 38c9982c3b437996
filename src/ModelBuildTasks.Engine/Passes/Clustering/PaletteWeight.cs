namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>A weight of few distinct values.</summary>
/// <param name="Codes">Row-major, an index into the table of the element's group.</param>
/// <param name="Tables">Values of each group, ascending.</param>
/// <param name="Channels">Output channels of a group.</param>
internal sealed record PaletteWeight(byte[] Codes, float[][] Tables, int Channels)
{
    /// <summary>Entries that the table of every group has room for.</summary>
    public int Length => Tables.Max(t => t.Length);

    /// <summary>The values.</summary>
    public float[] Decode(Func<int, int> channel)
    {
        var values = new float[Codes.Length];
        for (var i = 0; i < values.Length; i++)
            values[i] = Tables[channel(i) / Channels][Codes[i]];
        return values;
    }
}
