namespace ModelBuildTasks.Tests;

[TestClass]
public sealed class ReadModelInputsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [TestMethod]
    public void Files_come_as_they_are_whatever_characters_they_have()
    {
        var odd = _folder["a;b %20 @(c) $(d) 'é'.onnx"];
        _folder.Write("deps", $"file\t{odd}\n");
        Assert.AreEqual(odd, Assert.ContainsSingle(Read().Files).ItemSpec);
    }

    [TestMethod]
    public void A_new_file_for_a_pattern_changes_the_listing_and_another_kind_of_file_does_not()
    {
        _folder.Write("photos/a/1.jpg", "");
        _folder.Write("deps", $"glob\t{_folder.Path}\tphotos/**/*.jpg\n");
        var before = Read().Listing;

        _folder.Write("photos/b/2.txt", "");
        Assert.AreEqual(before, Read().Listing);
        _folder.Write("photos/b/2.jpg", "");
        Assert.AreNotEqual(before, Read().Listing);
    }

    [TestMethod]
    public void A_pattern_without_folders_does_not_look_into_them()
    {
        _folder.Write("photos/1.jpg", "");
        _folder.Write("deps", $"glob\t{_folder.Path}\tphotos/*.jpg\n");
        var before = Read().Listing;
        _folder.Write("photos/deep/2.jpg", "");
        Assert.AreEqual(before, Read().Listing);
    }

    [TestMethod]
    public void A_missing_output_is_noticed()
    {
        _folder.Write("outputs", Line("Digits", 5, "resource", "none"));
        Assert.IsTrue(Read().OutputsMissing);
        _folder.Write("Digits.onnx", "");
        Assert.IsFalse(Read().OutputsMissing);
    }

    [TestMethod]
    [DataRow("Digits.onnx")]
    [DataRow("Digits.onnx.br")]
    public void A_missing_encoded_or_decoded_file_is_noticed(string missing)
    {
        _folder.Write("outputs", Line("Digits", 5, "resource", "brotli"));
        foreach (var file in new[] { "Digits.onnx", "Digits.onnx.br" }.Where(f => f != missing))
            _folder.Write(file, "");
        Assert.IsTrue(Read().OutputsMissing);
        _folder.Write(missing, "");
        Assert.IsFalse(Read().OutputsMissing);
    }

    [TestMethod]
    public void A_missing_data_file_is_noticed()
    {
        _folder.Write("outputs", Line("Digits", 5, "content", "none", "data"));
        _folder.Write("Digits.onnx", "");
        Assert.IsTrue(Read().OutputsMissing);
    }

    [TestMethod]
    public void The_item_of_an_encoded_model_is_the_file_that_the_app_carries()
    {
        _folder.Write("outputs", Line("Digits", 5, "resource", "brotli"));
        var model = Assert.ContainsSingle(Models(".NETCoreApp", "v10.0", out _));
        Assert.AreEqual(_folder["Digits.onnx.br"], model.ItemSpec);
        Assert.AreEqual("5", model.GetMetadata("Size"));
        Assert.AreEqual("7", model.GetMetadata("Length"));
        Assert.AreEqual("brotli", model.GetMetadata("Encoding"));
    }

    [TestMethod]
    public void The_data_file_of_a_model_next_to_the_app_comes_along()
    {
        _folder.Write("outputs", Line("Large", 5, "content", "none", "data") + Line("Kept", 5, "none", "none", "data"));
        var task = new ReadCompressedModels { BuildEngine = new RecordingEngine(), OutputDirectory = _folder.Path };
        Assert.IsTrue(task.Execute());
        Assert.AreEqual(_folder["Large.onnx.data"], Assert.ContainsSingle(task.ContentData).ItemSpec);
        Assert.AreEqual("content", task.Models[0].GetMetadata("As"));
    }

    [TestMethod]
    [DataRow(".NETStandard", "v2.0", false)]
    [DataRow(".NETFramework", "v4.8", false)]
    [DataRow(".NETStandard", "v2.1", true)]
    [DataRow(".NETCoreApp", "v10.0", true)]
    [DataRow("", "", true)]
    public void A_framework_without_a_decoder_is_an_error_at_the_line_that_asks_for_encoding(string identifier, string version, bool decodes)
    {
        _folder.Write("outputs", Line("Digits", 5, "resource", "brotli") + Line("Kept", 5, "none", "brotli") + Line("Plain", 5, "resource", "none"));
        Models(identifier, version, out var engine);
        Assert.HasCount(decodes ? 0 : 1, engine.Errors);
        if (decodes)
            return;
        var error = engine.Errors[0];
        Assert.AreEqual("MBT2032", error.Code);
        Assert.AreEqual("/app/compression.yaml", error.File);
        Assert.AreEqual(3, error.LineNumber);
        Assert.Contains("Digits: ", error.Message!);
        Assert.Contains("encoding: none", error.Message!);
    }

    [TestMethod]
    public void Nothing_is_known_before_the_first_run()
    {
        var task = Read();
        Assert.IsEmpty(task.Files);
        Assert.AreEqual("", task.Listing);
        Assert.IsFalse(task.OutputsMissing);
    }

    [TestMethod]
    public void Compressed_models_carry_what_later_targets_need()
    {
        _folder.Write("outputs", Line("Digits", 5, "resource", "none") + Line("Other", 1, "none", "none"));
        _folder.Write("report.json", "{}");
        var task = new ReadCompressedModels { BuildEngine = new RecordingEngine(), OutputDirectory = _folder.Path };
        Assert.IsTrue(task.Execute());

        Assert.HasCount(2, task.Models);
        var digits = task.Models[0];
        Assert.AreEqual(_folder["Digits.onnx"], digits.ItemSpec);
        Assert.AreEqual("Digits", digits.GetMetadata("Name"));
        Assert.AreEqual("5", digits.GetMetadata("Size"));
        Assert.AreEqual("9", digits.GetMetadata("OriginalSize"));
        Assert.AreEqual(_folder["report.json"], digits.GetMetadata("Report"));
        Assert.AreEqual("true", digits.GetMetadata("Embedded"));
        Assert.AreEqual("false", task.Models[1].GetMetadata("Embedded"));
    }

    public void Dispose() => _folder.Dispose();

    private static string Line(string name, int size, string package, string encoding, string data = "single") =>
        $"{name}\t{size}\t9\tabc\t{package}\t{encoding}\t7\t{data}\t/app/compression.yaml\t3\t40\n";

    private Microsoft.Build.Framework.ITaskItem[] Models(string identifier, string version, out RecordingEngine engine)
    {
        var task = new ReadCompressedModels { BuildEngine = engine = new RecordingEngine(), OutputDirectory = _folder.Path, TargetFrameworkIdentifier = identifier, TargetFrameworkVersion = version };
        Assert.AreEqual(task.Execute(), engine.Errors.Count == 0);
        return task.Models;
    }

    private ReadModelInputs Read()
    {
        var task = new ReadModelInputs { BuildEngine = new RecordingEngine(), OutputDirectory = _folder.Path };
        Assert.IsTrue(task.Execute());
        return task;
    }
}
