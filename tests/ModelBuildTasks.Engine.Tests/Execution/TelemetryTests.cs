using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests;

[TestClass]
public sealed partial class TelemetryTests
{
    [TestMethod]
    [OSCondition(OperatingSystems.Linux)]
    public void Native_code_sees_that_telemetry_is_off()
    {
        using var model = OnnxModel.Load(TestData.Path("iris/iris_network.onnx"));
        using (new Engine.Execution.Session(model))
        {
            Assert.AreEqual("1", Marshal.PtrToStringUTF8(Environment("ORT_DISABLE_TELEMETRY")));
        }
    }

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial nint Environment(string name);
}
