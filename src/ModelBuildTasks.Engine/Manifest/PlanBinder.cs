using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes a plan of a checked manifest.</summary>
internal sealed class PlanBinder(ManifestFiles files, DiagnosticBag errors)
{
    /// <summary>The plan; not to be used when there are errors.</summary>
    public Plan Bind(ObjectValue manifest)
    {
        var datasets = new DatasetBinder(files, errors).Bind(manifest["datasets"] as ObjectValue);
        var binder = new TargetBinder(files, datasets, manifest["defaults"] as ObjectValue, errors);
        var targets = new List<TargetPlan>();
        var names = new Dictionary<string, SourceLocation>(StringComparer.OrdinalIgnoreCase);
        foreach (var value in (manifest["targets"] as ListValue)?.Items.OfType<ObjectValue>() ?? [])
        {
            if (binder.Bind(value) is not { } target)
                continue;
            targets.Add(target);
            // Without regard to case, for file systems that have none.
            var location = (value["name"] ?? value["model"])!.Location;
            if (!names.TryAdd(target.Name, location))
                errors.Error(DiagnosticCodes.DuplicateName, $"the name '{target.Name}' is already that of the target in line {names[target.Name].Line}; give this one another 'name'", location);
        }

        return new(
            files.ManifestPath,
            new OrderedDictionary<string, DatasetPlan>(datasets.Where(d => d.Value is not null).Select(d => KeyValuePair.Create(d.Key, d.Value!))),
            targets,
            files.All);
    }
}
