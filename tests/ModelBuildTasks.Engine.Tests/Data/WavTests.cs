using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class WavTests
{
    [TestMethod]
    public void Samples_of_every_format_are_in_plus_minus_one()
    {
        Same(Plain(1, 8), [0, 64, 128, 192, 255], -1f, -0.5f, 0f, 0.5f, 127 / 128f);
        Same(Plain(1, 16), [0x00, 0x80, 0x00, 0xC0, 0x00, 0x00, 0xFF, 0x7F], -1f, -0.5f, 0f, 32767 / 32768f);
        Same(Plain(1, 24), [0x00, 0x00, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x40, 0xFF, 0xFF, 0xFF], -1f, 1 / 8388608f, 0.5f, -1 / 8388608f);
        Same(Plain(1, 32), [0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x20, 0xFF, 0xFF, 0xFF, 0xFF], -1f, 0.25f, -1 / 2147483648f);
        Same(Plain(3, 32), [.. BitConverter.GetBytes(0.3f), .. BitConverter.GetBytes(-1.5f)], 0.3f, -1.5f);
        Same(WavBytes.Extensible(1, 1, 16000, 24), [0x00, 0x00, 0x40], 0.5f);
        Same(WavBytes.Extensible(3, 1, 16000, 32), BitConverter.GetBytes(0.75f), 0.75f);

        static byte[] Plain(ushort tag, ushort bits) => WavBytes.Format(tag, 1, 16000, bits);
    }

    [TestMethod]
    public void Several_channels_are_averaged() =>
        Same(WavBytes.Format(1, 2, 16000, 16), [0x00, 0x40, 0x00, 0xC0, 0x00, 0x20, 0x00, 0x40], 0f, 0.375f);

    [TestMethod]
    public void Other_chunks_are_passed_over_with_their_padding()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Save(folder, "a.wav", WavBytes.File(
        [
            .. WavBytes.Chunk("LIST", 1, 2, 3), .. WavBytes.Chunk("fmt ", WavBytes.Format(1, 1, 8000, 16)), .. WavBytes.Chunk("fact", 9),
            .. WavBytes.Chunk("data", 0, 0x40), .. WavBytes.Chunk("tail", 5, 5),
        ]));
        CollectionAssert.AreEqual(new[] { 0.5f }, Read(folder, 1));
    }

    [TestMethod]
    public void A_file_of_another_rate_is_refused_with_both_rates()
    {
        using var folder = new TemporaryFolder();
        WavBytes.Write(folder, "a.wav", 8000, 1, 2, 3);
        var error = Make.Fails(() => Open(folder, new(1, 1), 16000), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(error.Message, "'a.wav' has 8000 samples a second, and 'rate' asks for 16000");
        Assert.AreEqual(3, Open(folder, new(1, 1), 8000).Count);

        WavBytes.Write(folder, "b.wav", 16000, 1, 2, 3);
        var mixed = Make.Fails(() => Open(folder, new(1, 1)), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(mixed.Message, "'b.wav' has 16000 samples a second, and 'a.wav' has 8000");
    }

    [TestMethod]
    public void Damaged_and_foreign_files_are_refused()
    {
        var format = WavBytes.Chunk("fmt ", WavBytes.Format(1, 1, 8000, 16));
        byte[] whole = WavBytes.File([.. format, .. WavBytes.Chunk("data", 1, 2, 3, 4)]);
        byte[] longChunk = [.. whole];
        longChunk[40] = 200;
        byte[] shortFormat = WavBytes.File([.. WavBytes.Chunk("fmt ", 1, 0, 1, 0), .. WavBytes.Chunk("data", 1, 2)]);
        byte[] manyChunks = WavBytes.File([.. Enumerable.Range(0, 2000).SelectMany(_ => WavBytes.Chunk("junk"))]);

        Refused([], "it is empty");
        Refused("version https://git-lfs.github.com/spec/v1"u8.ToArray(), "Git LFS pointer");
        Refused("ID3 something else"u8.ToArray(), "it is not a wav file");
        Refused(whole[..^1], "its header says that it has 48 bytes, and it has 47");
        Refused(longChunk, "its chunk 'data' says that it has 200 bytes, and only 4 are left");
        Refused(shortFormat, "its chunk 'fmt ' has 4 bytes");
        Refused(manyChunks, "it has no 'data' among its first 1000 chunks");
        Refused(WavBytes.File(format), "it has no chunk 'data'");
        Refused(WavBytes.File([.. WavBytes.Chunk("data", 1, 2), .. format]), "its sound comes before the chunk 'fmt '");
        Refused(WavBytes.File([.. format, .. WavBytes.Chunk("data", 1, 2, 3)]), "no whole number of samples");
        Refused(Sound(WavBytes.Format(0x11, 1, 8000, 4)), "it is of encoding 17");
        Refused(Sound(WavBytes.Format(3, 1, 8000, 64)), "it is float of 64 bits");
        Refused(Sound(WavBytes.Format(1, 0, 8000, 16)), "it has 0 channels");
        Refused(Sound(WavBytes.Format(1, 9999, 8000, 16)), "it has 9999 channels");
        Refused(Sound(WavBytes.Format(1, 1, 0, 16)), "it has 0 samples a second");
        Refused(Sound([.. WavBytes.Format(1, 1, 8000, 16)[..12], 7, 0, 16, 0]), "its header says 7 bytes for 1 samples of 16 bits");
        Refused(Sound([.. WavBytes.Extensible(1, 1, 8000, 16)[..30], .. new byte[10]]), "its extended format");

        static byte[] Sound(byte[] format) => WavBytes.File([.. WavBytes.Chunk("fmt ", format), .. WavBytes.Chunk("data", 1, 2)]);
    }

    [TestMethod]
    public void Whatever_a_file_holds_it_is_read_or_refused()
    {
        using var folder = new TemporaryFolder();
        var good = WavBytes.File([.. WavBytes.Chunk("fmt ", WavBytes.Extensible(1, 2, 8000, 24)), .. WavBytes.Chunk("data", new byte[60])]);
        Gen.Select(Gen.Int[0, good.Length - 1], Gen.Byte).Array[1, 4].Sample(
            edits =>
            {
                var bytes = good.ToArray();
                foreach (var (at, value) in edits)
                    bytes[at] = value;
                WavBytes.Save(folder, "a.wav", bytes);
                try
                {
                    return Read(folder, 1).All(v => v is >= -1 and <= 1 || !float.IsFinite(v) || bytes[44] == 3);
                }
                catch (ModelBuildException refused)
                {
                    return refused.First.Code is DiagnosticCodes.DatasetUnreadable or DiagnosticCodes.DatasetEmpty;
                }
            },
            iter: 300, threads: 1);
    }

    private static void Refused(byte[] bytes, string why)
    {
        using var folder = new TemporaryFolder();
        WavBytes.Save(folder, "a.wav", bytes);
        StringAssert.Contains(Make.Fails(() => Open(folder, new(1, 1)), DiagnosticCodes.DatasetUnreadable).Message, why);
    }

    private static void Same(byte[] format, byte[] data, params float[] samples)
    {
        using var folder = new TemporaryFolder();
        WavBytes.Save(folder, "a.wav", WavBytes.File([.. WavBytes.Chunk("fmt ", format), .. WavBytes.Chunk("data", data)]));
        CollectionAssert.AreEqual(samples, Read(folder, 1));
    }

    private static float[] Read(TemporaryFolder folder, int window) => Make.Floats(Open(folder, new(window, window)));

    private static IDataset Open(TemporaryFolder folder, AudioFraming framing, int? rate = null) =>
        Make.Open(new WavSource(Make.Here, folder.Path, "*.wav", framing) { Rate = rate }, Make.Input("x", DataType.Float, -1, -1));
}
