using System.Text.RegularExpressions;
using System.Xml.Linq;
using ModelBuildTasks.Engine.Tests.Manifest;

namespace ModelBuildTasks.Engine.Tests.Docs;

[TestClass]
public sealed partial class NoticeTests
{
    // Run while this repository is built and are in no package of it.
    private static readonly string[] s_onlyAtBuild = ["Grpc.Tools", "Microsoft.Build.Utilities.Core"];

    [TestMethod]
    public void The_notices_name_the_packages_that_are_shipped_in_their_versions()
    {
        var notices = Row().Matches(MarkdownExamples.Read("THIRD-PARTY-NOTICES.md")).ToDictionary(m => m.Groups["name"].Value, m => m.Groups["version"].Value);
        var shipped = XDocument.Load(Path.Combine(TestData.Root, "Directory.Packages.props")).Descendants("ItemGroup")
            .Where(g => !((string)g.Attribute("Label")!).StartsWith("Tests", StringComparison.Ordinal))
            .SelectMany(g => g.Elements("PackageVersion"))
            .ToDictionary(p => (string)p.Attribute("Include")!, p => (string)p.Attribute("Version")!);
        foreach (var (name, version) in shipped.Where(p => !s_onlyAtBuild.Contains(p.Key)))
            Assert.AreEqual(version, notices.GetValueOrDefault(name), name);
        foreach (var name in notices.Keys.Where(n => !shipped.ContainsKey(n)))
            Assert.Contains(name, ["Microsoft.ML.OnnxRuntime.Managed", "Spectre.Console.Ansi"], "what else is shipped comes with these");
    }

    [GeneratedRegex(@"^\| (?<name>[A-Za-z.]+) \| (?<version>\d[\d.]*) \| .+ \| <https://.+> \|$", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex Row();
}
