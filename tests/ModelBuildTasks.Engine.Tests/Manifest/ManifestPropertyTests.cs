using System.Text;
using CsCheck;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class ManifestPropertyTests
{
    private static readonly string[] Tokens =
        ["[", "]", "{", "}", ":", ": ", "- ", "\n", "\n  ", "\t", "\"", "'", "*a", "&a ", "<<: ", "!x ", "|", ">", "%", "#", "? ", "---\n", "...\n", "~", "-1", "1e9", "99999999999999999999", ".nan", "\0", "\uFEFF", "é", "\r\n", ",", "data_0", "int8", "validate: none", "../", "**/", "(", "0x1F", "@", "`"];

    private static readonly Gen<string> Token = Gen.Int[0, Tokens.Length - 1].Select(i => Tokens[i]);

    private static readonly Gen<(int At, int Length, string Text)> Edit =
        Gen.Select(Gen.Int[0, NineModels.Text.Length - 1], Gen.Int[0, 12], Gen.OneOf(Gen.Const(""), Token, Gen.Char.Select(c => c.ToString())));

    /// <summary>The text of the nine models with a few slips.</summary>
    public static Gen<string> Mutated { get; } = Edit.List[1, 4].Select(edits =>
    {
        var text = new StringBuilder(NineModels.Text);
        foreach (var (at, length, replacement) in edits)
        {
            var start = Math.Min(at, text.Length);
            text.Remove(start, Math.Min(length, text.Length - start)).Insert(start, replacement);
        }

        return text.ToString();
    });

    [TestMethod]
    public void A_mutated_manifest_gives_a_plan_or_errors_with_places_inside_it()
    {
        using var folder = new ManifestFolder(NineModels.Files);
        Mutated.Sample(text => Places_are_inside(folder, text), iter: 1500, threads: 1);
    }

    [TestMethod]
    public void A_manifest_that_ends_anywhere_gives_a_plan_or_errors_with_places_inside_it()
    {
        using var folder = new ManifestFolder(NineModels.Files);
        Gen.Int[0, NineModels.Text.Length].Sample(length => Places_are_inside(folder, NineModels.Text[..length]), iter: 300, threads: 1);
    }

    [TestMethod]
    public void Any_text_gives_errors_with_places_inside_it()
    {
        using var folder = new ManifestFolder();
        Token.List[0, 40].Sample(tokens => Places_are_inside(folder, string.Concat(tokens)), iter: 3000, threads: 1);
    }

    private static void Places_are_inside(ManifestFolder folder, string text)
    {
        var lines = text.Split('\n');
        foreach (var diagnostic in folder.Diagnostics(text))
        {
            var place = diagnostic.Location!.Value;
            Assert.AreEqual("compression.yaml", place.File);
            Assert.IsTrue(
                place.Line >= 1 && place.Line <= lines.Length && place.Column >= 1 && place.Column <= lines[place.Line - 1].Length + 1
                && (place.EndLine > place.Line || (place.EndLine == place.Line && place.EndColumn > place.Column)) && place.EndLine <= lines.Length,
                $"{place} to {place.EndLine},{place.EndColumn}: {diagnostic}\n{text}");
        }
    }
}
