using ModelBuildTasks.Engine.Pipeline;
using Spectre.Console;

namespace ModelBuildTasks.Tool;

/// <summary>Shows progress: bars on a terminal, else one line for each step that is done, and for each tenth of one that says more than how far it is.</summary>
internal static class Progress
{
    /// <summary>Runs work and shows what it tells.</summary>
    public static T Show<T>(Terminal terminal, bool json, Func<Action<ProgressEvent>, T> work)
    {
        if (terminal.Interactive && !json)
            return ShowBars(work);
        var writer = json ? terminal.Error : terminal.Out;
        var gate = new Lock();
        var tenths = new ProgressTenths();
        return work(e =>
        {
            lock (gate)
            {
                var taken = tenths.Take(e);
                // Of a step that says no more than how far it is, the end is enough.
                if (e.Fraction is 1 || (taken && e.Message.Contains(": ", StringComparison.Ordinal)))
                    writer.WriteLine($"{e.Target}: {e.Step}: {e.Message}");
            }
        });
    }

    private static T ShowBars<T>(Func<Action<ProgressEvent>, T> work) => AnsiConsole.Progress()
        .AutoClear(true)
        .Columns(new SpinnerColumn(), new TaskDescriptionColumn(), new ProgressBarColumn(), new ElapsedTimeColumn())
        .Start(context =>
        {
            var bars = new Dictionary<string, ProgressTask>();
            var gate = new Lock();
            return work(e =>
            {
                lock (gate)
                {
                    if (!bars.TryGetValue(e.Target, out var bar))
                        bars[e.Target] = bar = context.AddTask(Markup.Escape(e.Target));
                    bar.Description = Markup.Escape($"{e.Target}: {e.Message}");
                    bar.IsIndeterminate = e.Fraction is null;
                    bar.Value = 100 * (e.Fraction ?? 0);
                }
            });
        });
}
