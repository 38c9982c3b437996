using System.CommandLine;

namespace ModelBuildTasks.Tool;

/// <summary>Options that several verbs have.</summary>
internal static class Options
{
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document on standard output; progress goes to standard error." };

    public static Option<bool> Latency() => new("--latency") { Description = "Time the models against each other, also where no gate asks for it." };

    public static Option<string?> Data() => new("--data") { Description = "Dataset of a manifest, as MANIFEST#DATASET.", HelpName = "MANIFEST#DATASET" };

    public static Option<int> Threads()
    {
        var option = new Option<int>("--threads") { Description = "Threads to use; results do not depend on it.", HelpName = "N", DefaultValueFactory = _ => Environment.ProcessorCount };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && result.GetValueOrDefault<int>() is < 1 or > 1024)
                result.AddError("--threads must be between 1 and 1024");
        });
        return option;
    }
}
