using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool;

/// <summary>Chooses what of progress is worth a line in a log.</summary>
internal sealed class ProgressTenths
{
    private readonly Dictionary<string, (string Step, int Tenth)> _last = [];

    /// <summary>Takes note of an event; says whether it begins a step of its target, or a tenth of one that says more than how far it is: such messages have that behind a colon.</summary>
    public bool Take(ProgressEvent progress)
    {
        var tenth = (int)(10 * (progress.Fraction ?? 0));
        if (_last.TryGetValue(progress.Target, out var last) && last.Step == progress.Step && progress.Fraction is not null && (tenth <= last.Tenth || !progress.Message.Contains(": ", StringComparison.Ordinal)))
            return false;
        _last[progress.Target] = (progress.Step, tenth);
        return true;
    }
}
