using System.Reflection;
using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Tests.Manifest;

namespace ModelBuildTasks.Engine.Tests.Docs;

[TestClass]
public sealed partial class DiagnosticPageTests
{
    private static string Folder => Path.Combine(TestData.Root, "docs", "diagnostics");

    private static string[] Codes { get; } =
        [.. typeof(DiagnosticCodes).GetFields(BindingFlags.Public | BindingFlags.Static).Select(f => (string)f.GetRawConstantValue()!).Order(StringComparer.Ordinal)];

    private static string[] Pages { get; } =
        [.. Directory.GetFiles(Folder, "*.md").Select(p => Path.GetFileNameWithoutExtension(p)!).Where(n => n != "README").Order(StringComparer.Ordinal)];

    [TestMethod]
    public void Every_code_has_one_page_and_every_page_a_code()
    {
        CollectionAssert.AllItemsAreUnique(Codes);
        CollectionAssert.AreEqual(Codes, Pages);
    }

    [TestMethod]
    public void A_page_has_its_code_in_the_title_a_message_a_cause_and_a_remedy()
    {
        foreach (var code in Pages)
        {
            var page = Page(code);
            StringAssert.StartsWith(page, $"# {code}: ");
            StringAssert.Contains(page, "\n**Cause.** ", code);
            StringAssert.Contains(page, "\n**Remedy.** ", code);
            var messages = MarkdownExamples.Blocks(page, "text").Single().TrimEnd().Split('\n');
            foreach (var message in messages)
                Assert.MatchesRegex($@"^[^:]+: (error|warning) {code}: .+", message);
        }
    }

    [TestMethod]
    public void The_index_names_every_page_by_its_title()
    {
        var index = MarkdownExamples.Read("docs/diagnostics/README.md");
        foreach (var code in Pages)
        {
            var title = Page(code).Split('\n')[0][$"# {code}: ".Length..];
            StringAssert.Contains(index, $"\n| [{code}]({code}.md) | {char.ToUpperInvariant(title[0])}{title[1..]} |\n");
        }

        Assert.HasCount(Pages.Length, IndexRow().Matches(index));
    }

    [TestMethod]
    public void Every_code_that_sources_and_documents_mention_exists()
    {
        string[] folders = ["src", "build", "docs"];
        var files = folders.SelectMany(f => Directory.GetFiles(Path.Combine(TestData.Root, f), "*", SearchOption.AllDirectories))
            .Where(f => Path.GetExtension(f) is ".cs" or ".md" or ".props" or ".targets" or ".json" or ".yaml" && !IsOutput(f))
            .Append(Path.Combine(TestData.Root, "README.md"));
        foreach (var file in files)
        {
            foreach (Match code in Code().Matches(File.ReadAllText(file)))
                CollectionAssert.Contains(Codes, code.Value, file);
        }
    }

    [TestMethod]
    [DynamicData(nameof(ManifestPages))]
    public void The_first_manifest_of_a_page_gives_its_message_and_the_second_none(string code)
    {
        var page = Page(code);
        var manifests = MarkdownExamples.Manifests(page);
        Assert.HasCount(2, manifests);
        using var folder = MarkdownExamples.Folder();
        var messages = string.Join('\n', folder.Diagnostics(manifests[0]).Select(d => d.ToString()));
        Assert.AreEqual(MarkdownExamples.Blocks(page, "text").Single().TrimEnd(), messages);
        Assert.IsEmpty(folder.Errors(manifests[1]));
    }

    [TestMethod]
    public void Every_other_manifest_of_a_page_is_valid()
    {
        foreach (var code in Pages.Except(ManifestPages))
        {
            using var folder = MarkdownExamples.Folder();
            foreach (var manifest in MarkdownExamples.Manifests(Page(code)))
                Assert.IsEmpty(folder.Errors(manifest), code);
        }
    }

    /// <summary>The pages of what the manifest's reader finds by itself; datasets are opened later.</summary>
    private static IEnumerable<string> ManifestPages => Pages.Where(c => string.CompareOrdinal(c, "MBT1020") < 0 || c == DiagnosticCodes.DataMissing);

    private static string Page(string code) => MarkdownExamples.Read($"docs/diagnostics/{code}.md");

    private static bool IsOutput(string path) => path.Split(Path.DirectorySeparatorChar).Any(p => p is "bin" or "obj");

    [GeneratedRegex(@"MBT\d{4}")]
    private static partial Regex Code();

    [GeneratedRegex(@"^\| \[MBT\d{4}\]", RegexOptions.Multiline)]
    private static partial Regex IndexRow();
}
