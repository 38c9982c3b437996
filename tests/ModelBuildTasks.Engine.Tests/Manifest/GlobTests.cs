using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class GlobTests
{
    private static readonly string[] Tree = ["a.jpg", "b.JPG", "p/1.jpg", "p/2.png", "p/q/3.jpg", "p/q/r/4.jpg", "p.q/5.jpg", "[x]/6.jpg"];

    [TestMethod]
    [DataRow("*.jpg", "a.jpg")]
    [DataRow("?.jpg", "a.jpg")]
    [DataRow("./p/*.jpg", "p/1.jpg")]
    [DataRow("p/1.jpg", "p/1.jpg")]
    [DataRow("p/*", "p/1.jpg p/2.png")]
    [DataRow("*/*.jpg", "[x]/6.jpg p.q/5.jpg p/1.jpg")]
    [DataRow("**/*.jpg", "[x]/6.jpg a.jpg p.q/5.jpg p/1.jpg p/q/3.jpg p/q/r/4.jpg")]
    [DataRow("p/**", "p/1.jpg p/2.png p/q/3.jpg p/q/r/4.jpg")]
    [DataRow("p/**/q/*.jpg", "p/q/3.jpg")]
    [DataRow("**/**/r/**/4.jpg", "p/q/r/4.jpg")]
    [DataRow("p/../a.jpg", "a.jpg")]
    [DataRow("[x]/*.jpg", "[x]/6.jpg")]
    [DataRow("p?q/*", "p.q/5.jpg")]
    [DataRow("**/*.*j*g*", "[x]/6.jpg a.jpg p.q/5.jpg p/1.jpg p/q/3.jpg p/q/r/4.jpg")]
    [DataRow("*.gif", "")]
    [DataRow("nowhere/*", "")]
    [DataRow("A.jpg", "")]
    [DataRow("p", "")]
    public void A_pattern_finds_files_in_ordinal_order_of_their_relative_paths(string pattern, string expected)
    {
        using var folder = new ManifestFolder(Tree);
        Assert.AreEqual(expected, Relative(folder.Path, Glob.Expand(folder.Path, pattern)));
    }

    [TestMethod]
    public void Parent_folders_and_full_paths_are_allowed()
    {
        using var folder = new ManifestFolder(Tree);
        Assert.AreEqual("../1.jpg ../2.png", Relative(folder.File("p/q"), Glob.Expand(folder.File("p/q"), "../*.*")));
        Assert.AreEqual("p/1.jpg", Relative(folder.Path, Glob.Expand("/", folder.File("p").Replace('\\', '/') + "/*.jpg")));
    }

    [TestMethod]
    public void Links_to_folders_are_followed_before_the_first_wildcard_only()
    {
        using var folder = new ManifestFolder("p/1.jpg", "elsewhere/in/2.jpg", "elsewhere/in/q/3.jpg");
        Directory.CreateSymbolicLink(folder.File("p/up"), folder.Path);
        Directory.CreateSymbolicLink(folder.File("p/self"), folder.File("p/self"));
        Directory.CreateSymbolicLink(folder.File("p/linked"), folder.File("elsewhere"));
        foreach (var (pattern, expected) in new[]
        {
            ("p/**/*.jpg", "p/1.jpg"),
            ("p/*/*/*.jpg", ""),
            ("*/linked/in/*.jpg", ""),
            ("p/linked/in/*.jpg", "p/linked/in/2.jpg"),
            ("p/linked/**/*.jpg", "p/linked/in/2.jpg p/linked/in/q/3.jpg"),
        })
            Assert.AreEqual(expected, Relative(folder.Path, Glob.Expand(folder.Path, pattern)), pattern);
    }

    [TestMethod]
    public void Photos_are_the_jpg_and_png_files_in_capitals_or_not()
    {
        using var folder = new ManifestFolder("a.jpg", "b.JPG", "c.jpeg", "d.Png", "e.gif", "f.jpg.txt", "jpg");
        Assert.AreEqual("a.jpg b.JPG c.jpeg d.Png", Relative(folder.Path, Photos.Find(folder.Path, "*")));
    }

    private static string Relative(string folder, IEnumerable<string> files) =>
        string.Join(' ', files.Select(f => Path.GetRelativePath(folder, f).Replace('\\', '/')));
}
