using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class ImageTests
{
    [TestMethod]
    // Shrinking by 2, each target pixel weighs three source pixels 3:3:1 at the edges; 500/7 and 820/7.
    [DataRow(new byte[] { 0, 100, 200, 40 }, 2, new byte[] { 71, 117 })]
    // Enlarging by 2, weights are 3:1 of the neighbours.
    [DataRow(new byte[] { 0, 100 }, 4, new byte[] { 0, 25, 75, 100 })]
    // 3 to 2: the support is 1.5 around 0.75 and 2.25, which weighs the neighbours 5:3.
    [DataRow(new byte[] { 80, 0, 80 }, 2, new byte[] { 50, 50 })]
    [DataRow(new byte[] { 9, 200, 31 }, 3, new byte[] { 9, 200, 31 })]
    public void Resizing_gives_the_values_computed_by_hand_along_both_axes(byte[] pixels, int size, byte[] expected)
    {
        var row = Resampler.Resize(new Raster<byte>(pixels.Length, 1, 1, pixels), size, 1);
        CollectionAssert.AreEqual(expected, row.Values);
        var column = Resampler.Resize(new Raster<byte>(1, pixels.Length, 1, pixels), 1, size);
        CollectionAssert.AreEqual(expected, column.Values);
        var real = Resampler.Resize(new Raster<float>(pixels.Length, 1, 1, [.. pixels.Select(p => (float)p)]), size, 1);
        for (var i = 0; i < size; i++)
            Assert.AreEqual(expected[i], real.Values[i], 0.5f);
    }

    [TestMethod]
    public void Resizing_keeps_constants_bounds_and_mirror_images() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 40], Gen.Int[1, 40], Gen.Int[1, 40], Gen.Byte).SelectMany((w, h, w2, h2, constant) =>
            Gen.Byte.Array[w * h * 3].Select(values => (w, h, w2, h2, constant, values))).Sample(
            t =>
            {
                var flat = Resampler.Resize(new Raster<byte>(t.w, t.h, 3, [.. t.values.Select(_ => t.constant)]), t.w2, t.h2);
                if (flat.Values.Length != t.w2 * t.h2 * 3 || flat.Values.Any(v => v != t.constant))
                    return false;
                var image = Resampler.Resize(new Raster<byte>(t.w, t.h, 3, t.values), t.w2, t.h2);
                if (image.Values.Min() < t.values.Min() || image.Values.Max() > t.values.Max())
                    return false;
                // Reversing all values turns the image around and swaps its channels.
                var turned = Resampler.Resize(new Raster<byte>(t.w, t.h, 3, [.. t.values.Reverse()]), t.w2, t.h2);
                return turned.Values.Reverse().Zip(image.Values).All(p => Math.Abs(p.First - p.Second) <= 1);
            }, iter: 200);

    [TestMethod]
    public void A_photo_becomes_the_layout_channels_and_scale_that_the_model_wants()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("a.png"), PngFile.Rgb(2, 1, [10, 20, 30, 40, 50, 60]));
        float[] Read(ImageOptions options, DataType type, params long[] shape) =>
            Make.Floats(Make.Open(new ImagesSource(Make.Here, folder.Path, "*.png", options), Make.Input("x", type, shape)));

        CollectionAssert.AreEqual(new[] { 10f, 40f, 20f, 50f, 30f, 60f }, Read(ImageOptions.None, DataType.Float, 1, 3, 1, 2));
        CollectionAssert.AreEqual(new[] { 10f, 20f, 30f, 40f, 50f, 60f }, Read(ImageOptions.None, DataType.Uint8, -1, -1, -1, 3));
        var bgr = new ImageOptions { Channels = Channels.Bgr, ChannelsGiven = true, Scale = 2, Mean = [10, 20, 30], Std = [1, 2, 4] };
        CollectionAssert.AreEqual(new[] { 50f, 110f, 10f, 40f, -2.5f, 12.5f }, Read(bgr, DataType.Float16, 1, 3, 1, 2));
        var gray = new ImageOptions { Channels = Channels.Gray, ChannelsGiven = true };
        CollectionAssert.AreEqual(new[] { 18f, 48f }, Read(gray, DataType.Float, 1, 1, 1, 2));
        CollectionAssert.AreEqual(new[] { 18f, 48f }, Read(gray, DataType.Float, 1, 2));
        CollectionAssert.AreEqual(new[] { 25f, 35f, 45f }, Read(new ImageOptions { ResizeExact = (1, 1) }, DataType.Int32, 1, 3, 1, 1));
        StringAssert.Contains(Make.Fails(() => Read(ImageOptions.None, DataType.Float, 1, 1, 1, 2), DiagnosticCodes.DatasetDoesNotFit).Message, "'a.png'");
        Make.Fails(() => Read(new ImageOptions { Mean = [1, 2] }, DataType.Float, 1, 3, 1, 2), DiagnosticCodes.DatasetDoesNotFit);
        Make.Fails(() => Read(new ImageOptions { Crop = (5, 5) }, DataType.Float, 1, 3, 5, 5), DiagnosticCodes.DatasetDoesNotFit);
        Make.Fails(() => Read(new ImageOptions { Scale = -1 }, DataType.Uint8, 1, 3, 1, 2), DiagnosticCodes.DatasetDoesNotFit);
    }

    [TestMethod]
    public void The_short_side_is_resized_and_the_crop_is_central()
    {
        using var folder = new TemporaryFolder();
        // 7 x 3, red counts the columns, green the rows.
        byte[] pixels = [.. Enumerable.Range(0, 21).SelectMany(i => new byte[] { (byte)(i % 7), (byte)(i / 7), 0 })];
        File.WriteAllBytes(folder.File("a.png"), PngFile.Rgb(7, 3, pixels));
        ImagesSource Source(ImageOptions options) => new(Make.Here, folder.Path, "a.png", options);
        var cropped = Make.Floats(Make.Open(Source(new ImageOptions { Crop = (2, 2) }), Make.Input("x", DataType.Float, 1, 3, 2, 2)));
        CollectionAssert.AreEqual(new[] { 2f, 3f, 2f, 3f, 0f, 0f, 1f, 1f, 0f, 0f, 0f, 0f }, cropped);
        var resized = Make.Open(Source(new ImageOptions { ResizeShortSide = 2 }), Make.Input("x", DataType.Float, 1, 3, -1, -1));
        CollectionAssert.AreEqual(new long[] { 1, 3, 2, 5 }, resized.Batches().Single().Inputs["x"].Shape);
    }

    [TestMethod]
    public void Photos_come_in_the_ordinal_order_of_their_paths_and_of_different_sizes_one_by_one()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("b/c"));
        void Write(string name, int width, byte value) => File.WriteAllBytes(folder.File(name), PngFile.Rgb(width, 1, [.. Enumerable.Repeat(value, width * 3)]));
        Write("b/c/z.png", 1, 3);
        Write("b/Z.png", 2, 1);
        Write("b/a.png", 1, 2);
        Write("a.png", 1, 0);
        Write("c.PNG", 1, 4);
        File.WriteAllText(folder.File("b/labels.csv"), "1");
        List<float> Firsts(string pattern) => [.. Make.Open(new ImagesSource(Make.Here, folder.File("b"), pattern, ImageOptions.None), Make.Input("x", DataType.Float, -1, 3, -1, -1), p => p with { Batch = 4 })
            .Batches().Select(b => b.Inputs["x"].ToFloats()[0])];
        CollectionAssert.AreEqual(new[] { 0f, 4f, 1f, 2f, 3f }, Firsts("../**/*"));
        CollectionAssert.AreEqual(new[] { 1f, 2f, 3f }, Firsts("**/*.png"));
        CollectionAssert.AreEqual(new[] { 1f, 2f }, Firsts("?.png"));
        CollectionAssert.AreEqual(new[] { 0f }, Firsts("../?.png"));
        Make.Fails(() => Firsts("*.jpg"), DiagnosticCodes.DatasetEmpty);
        Make.Fails(() => Firsts("nowhere/*.jpg"), DiagnosticCodes.DatasetEmpty);
    }

    [TestMethod]
    public void A_photo_that_is_cut_off_huge_or_no_photo_is_one_located_error_naming_it()
    {
        using var folder = new TemporaryFolder();
        var jpg = File.ReadAllBytes(Directory.GetFiles(Path.Combine(TestData.Root, "samples/PhotoClassifier/photos/test"), "100_*").Single());
        var png = PngFile.Rgb(2, 1, [1, 2, 3, 4, 5, 6]);
        string Message(byte[] bytes)
        {
            File.WriteAllBytes(folder.File("a.jpg"), bytes);
            var source = new ImagesSource(Make.Here, folder.Path, "*.jpg", new ImageOptions { ResizeExact = (2, 2) });
            var message = Make.Fails(() => Make.Floats(Make.Open(source, Make.Input("x", DataType.Float, 1, 3, 2, 2))), DiagnosticCodes.DatasetUnreadable).Message;
            StringAssert.Contains(message, "'a.jpg'");
            return message;
        }

        StringAssert.Contains(Message([]), "empty");
        StringAssert.Contains(Message("GIF89a"u8.ToArray()), "not a jpg or png");
        StringAssert.Contains(Message(jpg[..(jpg.Length / 2)]), "cut off");
        StringAssert.Contains(Message(png[..^12]), "cut off");
        StringAssert.Contains(Message(PngFile.WithData(50_000, 50_000, new byte[100])), "megapixels");
        StringAssert.Contains(Message(PngFile.WithData(10, 10, new byte[20_000_000])), "more data");
    }
}
