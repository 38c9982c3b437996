using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class CanonicalTextTests
{
    [TestMethod]
    [DataRow("prune: { structure: '2:4' }", "prune: { structure: '4:8' }")]
    [DataRow("prune: { structure: 4x1, amount: 50% }", "prune: { structure: 1x4, amount: 50% }")]
    [DataRow("prune: { amount: 50% }", "prune: { amount: 51% }")]
    [DataRow("distill: {}", "distill: { window: 3 }")]
    [DataRow("distill: { prune: { structure: '2:4' } }", "distill: { prune: { structure: '4:8' } }")]
    [DataRow("quantize: { weights: 4.2 bits }", "quantize: { weights: 5.2 bits }")]
    [DataRow("distill: { hidden: [a] }", "distill: { hidden: [{ student: a, teacher: b }] }")]
    public void Passes_that_differ_have_texts_that_differ(string one, string other)
    {
        Assert.AreEqual(Text(one), Text(one));
        Assert.AreNotEqual(Text(one), Text(other));
    }

    [TestMethod]
    public void Every_property_that_a_plan_can_have_has_a_text()
    {
        var strange = new List<string>();
        foreach (var property in new[] { nameof(TargetPlan.Passes), nameof(TargetPlan.Rules), nameof(TargetPlan.Runtime) })
            Walk(typeof(TargetPlan).GetProperty(property)!.PropertyType, property, [], strange);
        Walk(typeof(ValidationPlan).GetProperty(nameof(ValidationPlan.Gates))!.PropertyType, nameof(ValidationPlan.Gates), [], strange);

        Assert.IsEmpty(strange, string.Join(Environment.NewLine, strange));
    }

    private static string Text(string pass)
    {
        using var folder = new TemporaryFolder();
        // That they are there is all that is asked before a build.
        File.WriteAllBytes(folder.File("x.npy"), []);
        File.WriteAllBytes(folder.File("model.onnx"), []);
        File.WriteAllText(folder.File("compression.yaml"), $$"""
            version: 1
            datasets: { d: { inputs: { x: { npy: x.npy } } } }
            targets: [ { model: model.onnx, calibration: d, passes: [ { {{pass}} } ] } ]
            """);
        return CanonicalText.Of(ManifestReader.Read(folder.File("compression.yaml")).Targets[0].Passes);
    }

    /// <summary>What <see cref="CanonicalText"/> knows: simple values, tuples, lists and maps of what it knows, and this assembly's types with such properties.</summary>
    private static void Walk(Type type, string path, HashSet<Type> seen, List<string> strange)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type == typeof(string) || type == typeof(decimal) || type.IsPrimitive || type.IsEnum || !seen.Add(type))
            return;
        if (typeof(ITuple).IsAssignableFrom(type) || typeof(IEnumerable).IsAssignableFrom(type))
        {
            foreach (var part in type.GetElementType() is { } element ? [element] : type.GetGenericArguments())
                Walk(part, $"{path} of", seen, strange);
            return;
        }

        if (type.Assembly != typeof(CanonicalText).Assembly)
        {
            strange.Add($"{path}: {type}");
            return;
        }

        foreach (var kind in type.Assembly.GetTypes().Where(type.IsAssignableFrom))
        {
            foreach (var p in kind.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.GetIndexParameters().Length == 0))
            {
                if ((Nullable.GetUnderlyingType(p.PropertyType) ?? p.PropertyType) != typeof(SourceLocation) && p.PropertyType != typeof(DatasetUse) && p.PropertyType != typeof(ModelFile))
                    Walk(p.PropertyType, $"{path} {kind.Name}.{p.Name}", seen, strange);
            }
        }
    }
}
