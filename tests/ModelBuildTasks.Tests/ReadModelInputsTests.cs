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
        _folder.Write("outputs", "Digits\t5\t9\tabc\tresource\n");
        Assert.IsTrue(Read().OutputsMissing);
        _folder.Write("Digits.onnx", "");
        Assert.IsFalse(Read().OutputsMissing);
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
        _folder.Write("outputs", "Digits\t5\t9\tabc\tresource\nOther\t1\t2\tdef\tnone\n");
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

    private ReadModelInputs Read()
    {
        var task = new ReadModelInputs { BuildEngine = new RecordingEngine(), OutputDirectory = _folder.Path };
        Assert.IsTrue(task.Execute());
        return task;
    }
}
