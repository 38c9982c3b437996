namespace ModelBuildTasks.Engine.Data;

/// <summary>
/// Antialiased bilinear resizing in two passes, along rows and then along columns. 8-bit images are rounded after each pass, with the
/// fixed-point weights of the pipelines in which models are trained, so that the same photo gives the same pixels.
/// </summary>
internal static class Resampler
{
    /// <summary>Resizes an 8-bit image.</summary>
    public static Raster<byte> Resize(Raster<byte> image, int width, int height)
    {
        if (width != image.Width)
            image = Rows(image, new TriangleFilter(image.Width, width), width);
        return height == image.Height ? image : Columns(image, new TriangleFilter(image.Height, height), height);
    }

    /// <summary>Resizes an image of real values, without rounding to whole numbers.</summary>
    public static Raster<float> Resize(Raster<float> image, int width, int height)
    {
        if (width != image.Width)
            image = Rows(image, new TriangleFilter(image.Width, width), width);
        return height == image.Height ? image : Columns(image, new TriangleFilter(image.Height, height), height);
    }

    private static Raster<byte> Rows(Raster<byte> image, TriangleFilter filter, int width)
    {
        var channels = image.Channels;
        var result = new byte[width * image.Height * channels];
        for (var y = 0; y < image.Height; y++)
        {
            var source = image.Values.AsSpan(y * image.Width * channels, image.Width * channels);
            var target = result.AsSpan(y * width * channels, width * channels);
            for (var x = 0; x < width; x++)
            {
                var weights = filter.Fixed.AsSpan(x * filter.Taps, filter.Length[x]);
                for (var c = 0; c < channels; c++)
                {
                    var sum = 1 << (TriangleFilter.FixedBits - 1);
                    var at = filter.First[x] * channels + c;
                    foreach (var weight in weights)
                    {
                        sum += weight * source[at];
                        at += channels;
                    }

                    target[x * channels + c] = Clamp(sum);
                }
            }
        }

        return image with { Width = width, Values = result };
    }

    private static Raster<byte> Columns(Raster<byte> image, TriangleFilter filter, int height)
    {
        var stride = image.Width * image.Channels;
        var result = new byte[stride * height];
        var sums = new int[stride];
        for (var y = 0; y < height; y++)
        {
            Array.Fill(sums, 1 << (TriangleFilter.FixedBits - 1));
            for (var k = 0; k < filter.Length[y]; k++)
            {
                var weight = filter.Fixed[y * filter.Taps + k];
                var source = image.Values.AsSpan((filter.First[y] + k) * stride, stride);
                for (var i = 0; i < source.Length; i++)
                    sums[i] += weight * source[i];
            }

            for (var i = 0; i < stride; i++)
                result[y * stride + i] = Clamp(sums[i]);
        }

        return image with { Height = height, Values = result };
    }

    private static byte Clamp(int sum) => (byte)Math.Clamp(sum >> TriangleFilter.FixedBits, 0, 255);

    private static Raster<float> Rows(Raster<float> image, TriangleFilter filter, int width)
    {
        var channels = image.Channels;
        var result = new float[width * image.Height * channels];
        for (var y = 0; y < image.Height; y++)
        {
            for (var x = 0; x < width; x++)
            {
                for (var c = 0; c < channels; c++)
                {
                    var sum = 0.0;
                    for (var k = 0; k < filter.Length[x]; k++)
                        sum += filter.Weights[x * filter.Taps + k] * image.Values[(y * image.Width + filter.First[x] + k) * channels + c];
                    result[(y * width + x) * channels + c] = (float)sum;
                }
            }
        }

        return image with { Width = width, Values = result };
    }

    private static Raster<float> Columns(Raster<float> image, TriangleFilter filter, int height)
    {
        var stride = image.Width * image.Channels;
        var result = new float[stride * height];
        for (var y = 0; y < height; y++)
        {
            for (var i = 0; i < stride; i++)
            {
                var sum = 0.0;
                for (var k = 0; k < filter.Length[y]; k++)
                    sum += filter.Weights[y * filter.Taps + k] * image.Values[(filter.First[y] + k) * stride + i];
                result[y * stride + i] = (float)sum;
            }
        }

        return image with { Height = height, Values = result };
    }
}
