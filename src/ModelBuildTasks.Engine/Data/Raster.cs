namespace ModelBuildTasks.Engine.Data;

/// <summary>An image in memory: rows of pixels of interleaved channels.</summary>
/// <typeparam name="T"><see cref="byte"/> for 8-bit images, <see cref="float"/> for others.</typeparam>
/// <param name="Width">Pixels in a row.</param>
/// <param name="Height">Rows.</param>
/// <param name="Channels">Values of a pixel.</param>
/// <param name="Values">Height · width · channels values.</param>
internal sealed record Raster<T>(int Width, int Height, int Channels, T[] Values) where T : unmanaged
{
    /// <summary>The central part of the given size; where the margin is odd, the smaller half is on the left and the top.</summary>
    public Raster<T> Crop(int width, int height)
    {
        var left = (Width - width) / 2;
        var top = (Height - height) / 2;
        var result = new T[width * height * Channels];
        for (var y = 0; y < height; y++)
            Values.AsSpan(((top + y) * Width + left) * Channels, width * Channels).CopyTo(result.AsSpan(y * width * Channels));
        return new(width, height, Channels, result);
    }
}
