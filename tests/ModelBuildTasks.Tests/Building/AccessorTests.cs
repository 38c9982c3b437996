using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Tool.Building;

namespace ModelBuildTasks.Tests.Building;

[TestClass]
public sealed class AccessorTests
{
    [TestMethod]
    [DataRow("My.App", "My.App")]
    [DataRow("my-app.3d", "my_app._3d")]
    [DataRow("a.class.b", "a.@class.b")]
    [DataRow("Größe.日本", "Größe.日本")]
    [DataRow("..a. .b", "a.b")]
    [DataRow("", "")]
    public void A_project_name_becomes_a_namespace(string project, string expected) =>
        Assert.AreEqual(expected, NamespaceName.Clean(project));

    [TestMethod]
    public void A_model_that_stays_in_obj_has_no_accessor()
    {
        var text = AccessorWriter.Write("App", [new Output("Seen", 5, 9, "abc", PackageAs.Resource), new Output("Hidden", 1, 2, "def", PackageAs.None)]);
        Assert.Contains("class Seen", text);
        Assert.DoesNotContain("Hidden", text);
        Assert.Contains("return 5L;", text);
        Assert.Contains("return 9L;", text);
        Assert.Contains("\"models/Seen.onnx\"", text);
    }

    [TestMethod]
    public void An_encoded_model_is_decoded_on_the_way_and_knows_both_lengths()
    {
        var text = AccessorWriter.Write("App", [new Output("Seen", 5, 9, "abc", PackageAs.Resource) { Encoding = PackageEncoding.Brotli, Length = 7 }]);
        Assert.Contains("Length { get { return 7L; } }", text);
        Assert.Contains("PackedLength { get { return 5L; } }", text);
        Assert.Contains("""BrotliStream(__Open("models/Seen.onnx.br"), """, text);
        Assert.DoesNotContain("__Path", text);
    }

    [TestMethod]
    public void A_model_next_to_the_app_is_loaded_from_its_path()
    {
        var text = AccessorWriter.Write("App", [new Output("Seen", 5, 9, "abc", PackageAs.Content) { HasData = true }]);
        Assert.Contains("""string Path { get { return __Path("Seen.onnx"); } }""", text);
        Assert.Contains("""string DataPath { get { return __Path("Seen.onnx.data"); } }""", text);
        Assert.Contains("InferenceSession(Path)", text);
        Assert.DoesNotContain("__Open", text);
    }

    [TestMethod]
    public void A_name_in_lower_case_is_no_warning_of_the_compiler()
    {
        var text = AccessorWriter.Write("App", [new Output("digits", 5, 9, "abc", PackageAs.Resource)]);
        Assert.IsLessThan(text.IndexOf("class digits", StringComparison.Ordinal), text.IndexOf("#pragma warning disable CS8981", StringComparison.Ordinal));
        Assert.Contains("#pragma warning disable CS8981", text);
    }

    [TestMethod]
    public void Without_a_namespace_there_is_none() =>
        Assert.DoesNotContain("namespace", AccessorWriter.Write("", [new Output("Seen", 5, 9, "abc", PackageAs.Resource)]));

    [TestMethod]
    public void Names_that_differ_in_case_only_are_the_same_file()
    {
        var error = Assert.ContainsSingle(AccessorNames.Check([Target("Digits", 3), Target("digits", 7)]));
        Assert.AreEqual(DiagnosticCodes.DuplicateName, error.Code);
        Assert.AreEqual(7, error.Location!.Value.Line);
    }

    [TestMethod]
    [DataRow("CompressedModels")]
    [DataRow("Length")]
    [DataRow("OpenRead")]
    [DataRow("PackedLength")]
    [DataRow("Path")]
    public void A_target_cannot_have_the_name_of_the_accessors_members(string name) =>
        Assert.AreEqual(DiagnosticCodes.InvalidValue, Assert.ContainsSingle(AccessorNames.Check([Target(name, 3)])).Code);

    private static TargetPlan Target(string name, int line) => new()
    {
        Name = name,
        Location = new SourceLocation("compression.yaml", line, 5),
        ModelPath = "model.onnx",
        ModelLocation = new SourceLocation("compression.yaml", line, 5),
        Runtime = new RuntimePolicy("ort-cpu", 17, new Dictionary<string, OperatorPolicy>()),
        Passes = [],
    };
}
