using System.Runtime.InteropServices;

namespace ModelBuildTasks.Tests;

[TestClass]
public sealed class PlatformTests
{
    [TestMethod]
    [DataRow("linux", Architecture.X64, false, "linux-x64")]
    [DataRow("linux", Architecture.X64, true, "linux-musl-x64")]
    [DataRow("osx", Architecture.X64, false, "osx-x64")]
    [DataRow("win", Architecture.Arm64, false, "win-arm64")]
    public void Platforms_have_the_names_of_package_folders(string system, Architecture architecture, bool musl, string name) =>
        Assert.AreEqual(name, Platform.Name(system, architecture, musl));

    [TestMethod]
    public void Musl_is_the_c_library_only_where_glibc_is_not()
    {
        Assert.IsTrue(Platform.IsMusl(_ => false, ["/lib/ld-musl-x86_64.so.1"]));
        Assert.IsFalse(Platform.IsMusl(f => f == "/lib64/ld-linux-x86-64.so.2", ["/lib/ld-musl-x86_64.so.1"]));
        Assert.IsFalse(Platform.IsMusl(_ => false, []));
    }
}
