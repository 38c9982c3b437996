using System.Diagnostics;
using System.Globalization;

namespace ModelBuildTasks.Benchmarks.Large;

/// <summary>A whole process: seconds from its start to its end, and the most memory it had at a time, mapped pages included.</summary>
internal sealed record Measured(double Seconds, long PeakBytes)
{
    private const string Timer = "/usr/bin/time";

    /// <summary>What starts the tool: an assembly by the runtime, a native program by itself.</summary>
    public static string[] Program(string tool) => Path.GetExtension(tool) == ".dll" ? ["dotnet", tool] : [tool];

    /// <summary>Runs a command and measures it by GNU time, which asks the system.</summary>
    /// <exception cref="InvalidOperationException">It failed, or there is no GNU time.</exception>
    public static Measured Run(IReadOnlyList<string> command)
    {
        var figures = Path.GetTempFileName();
        try
        {
            var start = new ProcessStartInfo(Timer, ["-f", "%e %M", "-o", figures, .. command]) { RedirectStandardOutput = true, RedirectStandardError = true };
            using var process = Process.Start(start) ?? throw new InvalidOperationException($"'{Timer}' does not start");
            var last = "";
            process.OutputDataReceived += (_, _) => { };
            process.ErrorDataReceived += (_, e) => last = string.IsNullOrWhiteSpace(e.Data) ? last : e.Data;
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            process.WaitForExit();
            if (process.ExitCode != 0)
                throw new InvalidOperationException($"'{command[0]}' ended with {process.ExitCode}: {last}");
            var fields = File.ReadAllLines(figures)[^1].Split(' ');
            return new(double.Parse(fields[0], CultureInfo.InvariantCulture), long.Parse(fields[1], CultureInfo.InvariantCulture) << 10);
        }
        finally
        {
            File.Delete(figures);
        }
    }

    /// <summary>The run with the median time of several; the most memory of all.</summary>
    public static Measured Median(int rounds, Func<Measured> run)
    {
        var all = Enumerable.Range(0, rounds).Select(_ => run()).OrderBy(m => m.Seconds).ToList();
        return new(all[all.Count / 2].Seconds, all.Max(m => m.PeakBytes));
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Seconds:F2} s, {PeakBytes / 1e6:F0} MB");
}
