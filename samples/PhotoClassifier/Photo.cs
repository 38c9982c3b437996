using StbImageSharp;

namespace PhotoClassifier;

/// <summary>Photos as SqueezeNet wants them: the short side resized to 256, the middle 224x224, BGR, less the mean color.</summary>
internal static class Photo
{
    public const int Size = 224;
    private const int ShortSide = 256;
    private static readonly float[] MeanBgr = [104, 117, 124];

    /// <returns>Channel by channel, row by row.</returns>
    public static float[] Load(string path)
    {
        var image = ImageResult.FromMemory(File.ReadAllBytes(path), ColorComponents.RedGreenBlue);
        var scale = (float)Math.Min(image.Width, image.Height) / ShortSide;
        var width = (int)Math.Round(image.Width / scale);
        var height = (int)Math.Round(image.Height / scale);
        var columns = Weights(image.Width, width, (width - Size) / 2);
        var rows = Weights(image.Height, height, (height - Size) / 2);

        // Columns first, for all rows; then rows.
        var narrow = new float[image.Height * Size * 3];
        for (var y = 0; y < image.Height; y++)
            for (var x = 0; x < Size; x++)
                for (var c = 0; c < 3; c++)
                    foreach (var (from, weight) in columns[x])
                        narrow[(y * Size + x) * 3 + c] += weight * image.Data[(y * image.Width + from) * 3 + c];

        var result = new float[3 * Size * Size];
        for (var c = 0; c < 3; c++)
            for (var y = 0; y < Size; y++)
                for (var x = 0; x < Size; x++)
                {
                    var value = 0f;
                    foreach (var (from, weight) in rows[y])
                        value += weight * narrow[(from * Size + x) * 3 + (2 - c)];
                    result[(c * Size + y) * Size + x] = value - MeanBgr[c];
                }
        return result;
    }

    // Bilinear and antialiased: a triangle as wide as two target pixels around each target pixel's center.
    private static (int From, float Weight)[][] Weights(int source, int target, int skip)
    {
        var scale = (float)source / target;
        var radius = Math.Max(scale, 1);
        return Enumerable.Range(skip, Size).Select(i =>
        {
            var center = (i + 0.5f) * scale;
            var first = Math.Max(0, (int)(center - radius + 0.5f));
            var end = Math.Min(source, (int)(center + radius + 0.5f));
            var weights = Enumerable.Range(first, end - first).Select(s => Math.Max(0, 1 - Math.Abs((s + 0.5f - center) / radius))).ToArray();
            var sum = weights.Sum();
            return weights.Select((w, k) => (first + k, w / sum)).ToArray();
        }).ToArray();
    }
}
