using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests;

[TestClass]
public sealed class PublicTypesTests
{
    [TestMethod]
    public void Public_types_are_those_that_are_listed()
    {
        var types = typeof(OnnxModel).Assembly.GetExportedTypes().Where(t => !t.IsNested).Select(t => t.FullName!).Order(StringComparer.Ordinal).ToList();
        var listed = File.ReadAllLines(Path.Combine(TestData.Root, "tests/ModelBuildTasks.Engine.Tests/PublicTypes.txt"));
        CollectionAssert.AreEqual(listed, types, $"more: {string.Join(", ", types.Except(listed))}; less: {string.Join(", ", listed.Except(types))}");
    }
}
