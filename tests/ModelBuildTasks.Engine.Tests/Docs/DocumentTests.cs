using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Tests.Manifest;

namespace ModelBuildTasks.Engine.Tests.Docs;

[TestClass]
public sealed partial class DocumentTests
{
    [TestMethod]
    [DataRow("README.md", 2)]
    [DataRow("docs/guide.md", 4)]
    public void Manifests_in_the_documents_are_valid(string document, int atLeast)
    {
        var manifests = MarkdownExamples.Manifests(MarkdownExamples.Read(document));
        Assert.IsGreaterThanOrEqualTo(atLeast, manifests.Count);
        foreach (var manifest in manifests)
        {
            using var folder = MarkdownExamples.Folder();
            Assert.IsEmpty(folder.Errors(manifest), manifest);
        }
    }

    [TestMethod]
    public void Links_between_documents_lead_to_files_and_headings()
    {
        var documents = Directory.GetFiles(Path.Combine(TestData.Root, "docs"), "*.md", SearchOption.AllDirectories)
            .Concat(Directory.GetFiles(TestData.Root, "*.md"));
        foreach (var document in documents)
        {
            foreach (Match link in Link().Matches(File.ReadAllText(document)))
            {
                var (file, heading) = (link.Groups["file"].Value, link.Groups["heading"].Value);
                var path = file.Length == 0 ? document : Path.GetFullPath(file, Path.GetDirectoryName(document)!);
                Assert.IsTrue(File.Exists(path) || Directory.Exists(path), $"{document}: {link.Value}");
                if (heading.Length > 0)
                    CollectionAssert.Contains(Anchors(path), heading, $"{document}: {link.Value}");
            }
        }
    }

    [TestMethod]
    public void The_readme_names_every_recipe_and_every_property_of_the_build()
    {
        var readme = MarkdownExamples.Read("README.md");
        foreach (var recipe in Recipes.Names)
            StringAssert.Contains(readme, $"`{recipe}`");
        var targets = Directory.GetFiles(Path.Combine(TestData.Root, "build"), "*.targets").Select(File.ReadAllText);
        foreach (var property in targets.SelectMany(t => Property().Matches(t)).Select(m => m.Groups["name"].Value).Distinct().Except(["ModelBuildRemoteCache"]))
            StringAssert.Contains(readme, $"`{property}`");
    }

    private static string[] Anchors(string path) =>
        [.. Heading().Matches(File.ReadAllText(path).ReplaceLineEndings("\n")).Select(m => Dropped().Replace(m.Groups["title"].Value.ToLowerInvariant(), "").Replace(' ', '-'))];

    [GeneratedRegex(@"\]\((?<file>(?!https?:)[^)#\s]*)(#(?<heading>[^)\s]+))?\)", RegexOptions.ExplicitCapture)]
    private static partial Regex Link();

    [GeneratedRegex(@"^#+ (?<title>.+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture)]
    private static partial Regex Heading();

    // What is not in an anchor: everything but letters, digits, blanks, hyphens and underscores.
    [GeneratedRegex(@"[^\p{L}\p{N} _-]")]
    private static partial Regex Dropped();

    [GeneratedRegex(@"\$\((?<name>ModelBuild\w+)\)", RegexOptions.ExplicitCapture)]
    private static partial Regex Property();
}
