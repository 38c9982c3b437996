using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class TargetNamesTests
{
    [TestMethod]
    [DataRow("models/ultraface-rfb-320.onnx", "UltrafaceRfb320")]
    [DataRow("digits_mobile", "DigitsMobile")]
    [DataRow("SqueezeNet.onnx", "SqueezeNet")]
    [DataRow("silero_vad.v5.onnx", "SileroVadV5")]
    [DataRow("2023-model.onnx", "Model2023Model")]
    [DataRow("length.onnx", "ModelLength")]
    [DataRow("con.onnx", "ModelCon")]
    [DataRow("modèle.onnx", "Modèle")]
    [DataRow("--.onnx", null)]
    public void A_name_is_the_files_name_in_PascalCase(string path, string? name) => Assert.AreEqual(name, TargetNames.FromFile(path));

    [TestMethod]
    [DataRow("class", "keyword")]
    [DataRow("record", "keyword")]
    [DataRow("Sha256", "member of the accessor")]
    [DataRow("ToString", "member of the accessor")]
    [DataRow("CompressedModels", "member of the accessor")]
    [DataRow("1st", "not a C# identifier")]
    [DataRow("a.b", "not a C# identifier")]
    [DataRow("a b", "not a C# identifier")]
    [DataRow("@class", "not a C# identifier")]
    [DataRow("LPT1", "device")]
    public void A_name_that_would_not_compile_is_a_problem(string name, string problem) => StringAssert.Contains(TargetNames.Problem(name), problem);

    [TestMethod]
    [DataRow("Net")]
    [DataRow("_net2")]
    [DataRow("netz")]
    public void Other_identifiers_are_names(string name) => Assert.IsNull(TargetNames.Problem(name));
}
