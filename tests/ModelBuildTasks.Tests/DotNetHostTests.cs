namespace ModelBuildTasks.Tests;

[TestClass]
public sealed class DotNetHostTests
{
    private static readonly string Name = OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet";

    [TestMethod]
    public void The_host_of_msbuild_comes_before_that_of_the_sdk_and_the_path()
    {
        using var folder = new TemporaryFolder();
        var (host, sdk, path) = (folder.Write("host/" + Name, ""), folder.Write("sdk/" + Name, ""), folder.Write("path/" + Name, ""));
        var searchPath = string.Join(Path.PathSeparator, "relative", "", folder["none"], Path.GetDirectoryName(path));

        Assert.AreEqual(host, DotNetHost.Find(host, folder["sdk"], searchPath));
        Assert.AreEqual(sdk, DotNetHost.Find(null, folder["sdk"], searchPath));
        Assert.AreEqual(sdk, DotNetHost.Find(folder["gone"], folder["sdk"], searchPath));
        Assert.AreEqual(path, DotNetHost.Find("", "", searchPath));
        Assert.IsNull(DotNetHost.Find(null, null, folder["none"]));
        Assert.IsNull(DotNetHost.Find(null, null, null));
    }
}
