using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace ModelBuildTasks.Tests;

/// <summary>The task with a shell script in the place of the .NET host.</summary>
[TestClass]
[OSCondition(ConditionMode.Exclude, OperatingSystems.Windows)]
public sealed class CompressModelsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly RecordingEngine _engine = new();

    [TestMethod]
    public void A_located_error_of_the_worker_becomes_a_located_build_error()
    {
        var done = Run("echo '/app/compression.yaml(12,7,12,11): error MBT3002: SqueezeNet: agreement 91.5 % is below {0} 95 %'; exit 1");

        Assert.IsFalse(done);
        var error = Assert.ContainsSingle(_engine.Errors);
        Assert.AreEqual("MBT3002", error.Code);
        Assert.AreEqual("/app/compression.yaml", error.File);
        Assert.AreEqual((12, 7, 12, 11), (error.LineNumber, error.ColumnNumber, error.EndLineNumber, error.EndColumnNumber));
        Assert.AreEqual("SqueezeNet: agreement 91.5 % is below {0} 95 %", error.Message);
        Assert.IsNull(error.HelpLink);
    }

    [TestMethod]
    public void A_warning_does_not_fail_the_task()
    {
        Assert.IsTrue(Run("echo 'Dré 日本(1,2)/compression.yaml(3,4): warning MBT2006: nothing to do'"));
        var warning = Assert.ContainsSingle(_engine.Warnings);
        Assert.AreEqual("Dré 日本(1,2)/compression.yaml", warning.File);
        Assert.AreEqual((3, 4), (warning.LineNumber, warning.ColumnNumber));
    }

    [TestMethod]
    public void A_diagnostic_without_a_file_is_the_projects()
    {
        Run("echo 'ModelBuildTasks: error MBT9001: oh'; exit 3");
        Assert.AreEqual("MBT9001", Assert.ContainsSingle(_engine.Errors).Code);
        Assert.AreNotEqual("ModelBuildTasks", _engine.Errors[0].File);
    }

    [TestMethod]
    public void Text_that_only_resembles_a_diagnostic_is_a_message()
    {
        Assert.IsTrue(Run("echo 'error: something'; echo 'a.c(1,2): error CS1002: not ours'"));
        Assert.IsEmpty(_engine.Errors);
    }

    [TestMethod]
    public void An_output_folder_that_cannot_be_written_is_one_coded_error()
    {
        _folder.Write("obj/models", "a file");
        Assert.IsFalse(Run("exit 0"));
        var error = Assert.ContainsSingle(_engine.Errors);
        Assert.AreEqual("MBT2007", error.Code);
        Assert.Contains(_folder["obj/models"], error.Message!);
    }

    [TestMethod]
    public void Summaries_are_seen_and_details_are_not()
    {
        Run("echo '> Digits: 26,454 -> 9,000 bytes'; echo '  calibrate'");
        Assert.AreEqual(MessageImportance.High, _engine.Messages.Single(m => m.Message == "Digits: 26,454 -> 9,000 bytes").Importance);
        Assert.AreNotEqual(MessageImportance.High, _engine.Messages.Single(m => m.Message == "  calibrate").Importance);
    }

    [TestMethod]
    public void A_crash_is_one_error_with_the_last_lines()
    {
        Assert.IsFalse(Run("echo 'loading'; echo 'terrible things' >&2; exit 139"));
        var error = Assert.ContainsSingle(_engine.Errors);
        Assert.AreEqual("MBT9002", error.Code);
        Assert.Contains("signal 11", error.Message!);
        Assert.Contains("terrible things", error.Message!);
    }

    [TestMethod]
    public void A_failure_that_gives_no_reason_is_a_crash()
    {
        Assert.IsFalse(Run("exit 1"));
        Assert.AreEqual("MBT9002", Assert.ContainsSingle(_engine.Errors).Code);
    }

    [TestMethod]
    public void A_host_without_a_fitting_runtime_says_which_one_is_needed()
    {
        Assert.IsFalse(Run("echo 'You must install or update .NET'; exit 150"));
        var error = Assert.ContainsSingle(_engine.Errors);
        Assert.AreEqual("MBT9004", error.Code);
        Assert.Contains(".NET 10", error.Message!);
    }

    [TestMethod]
    public void The_request_holds_what_the_build_knows()
    {
        var task = Task("cp \"$5\" " + _folder["seen"]);
        task.MaxCpuCount = "3";
        task.Namespace = "My.App";
        Assert.IsTrue(task.Execute(), string.Join('\n', _engine.Errors.Select(e => e.Message)));

        var lines = File.ReadAllLines(_folder["seen"]);
        Assert.Contains("threads=3", lines);
        Assert.Contains("namespace=My.App", lines);
        Assert.Contains("enabled=true", lines);
        Assert.Contains($"parent={Environment.ProcessId}", lines);
        Assert.Contains($"manifest={_folder["compression.yaml"]}", lines);
    }

    [TestMethod]
    public void The_worker_gets_no_more_threads_than_the_build_grants()
    {
        _engine.Cores = 2;
        var task = Task("cp \"$5\" " + _folder["seen"]);
        task.MaxCpuCount = "8";
        Assert.IsTrue(task.Execute());
        Assert.Contains("threads=2", File.ReadAllLines(_folder["seen"]));
    }

    [TestMethod]
    public void A_plan_is_asked_for_by_an_option()
    {
        var task = Task("echo \"$6\" > " + _folder["seen"]);
        task.PlanOnly = true;
        Assert.IsTrue(task.Execute());
        Assert.AreEqual("--plan", File.ReadAllText(_folder["seen"]).Trim());
    }

    [TestMethod]
    [DataRow("0")]
    [DataRow("many")]
    [DataRow("-1")]
    public void A_number_of_threads_that_is_none_is_refused(string count)
    {
        var task = Task("exit 0");
        task.MaxCpuCount = count;
        Assert.IsFalse(task.Execute());
        Assert.AreEqual("MBT1006", Assert.ContainsSingle(_engine.Errors).Code);
    }

    [TestMethod]
    public void A_missing_worker_names_the_property_that_named_it()
    {
        var task = Task("exit 0");
        task.WorkerPath = _folder["nowhere.dll"];
        task.CustomWorker = true;
        Assert.IsFalse(task.Execute());
        var error = Assert.ContainsSingle(_engine.Errors);
        Assert.AreEqual("MBT9004", error.Code);
        Assert.Contains("ModelBuildWorkerPath", error.Message!);
    }

    [TestMethod]
    public void A_platform_without_natives_is_named_with_those_that_have_them()
    {
        Directory.CreateDirectory(_folder["runtimes/linux-x64/native"]);
        Directory.CreateDirectory(_folder["runtimes/win-arm64/native"]);
        var task = Task("exit 0");
        task.CurrentPlatform = () => "linux-musl-x64";
        Assert.IsFalse(task.Execute());
        var error = Assert.ContainsSingle(_engine.Errors);
        Assert.AreEqual("MBT9003", error.Code);
        Assert.Contains("linux-musl-x64", error.Message!);
        Assert.Contains("linux-x64, win-arm64", error.Message!);
        Assert.Contains("ModelBuildWorkerPath", error.Message!);
    }

    [TestMethod]
    [DataRow(true, true, false)]
    [DataRow(false, false, false)]
    [DataRow(false, true, true)]
    public void Any_platform_may_use_an_own_worker_embed_originals_or_plan(bool customWorker, bool enabled, bool plan)
    {
        Directory.CreateDirectory(_folder["runtimes/linux-x64/native"]);
        var task = Task("exit 0");
        task.CurrentPlatform = () => "osx-x64";
        (task.CustomWorker, task.Enabled, task.PlanOnly) = (customWorker, enabled, plan);
        Assert.IsTrue(task.Execute());
    }

    public void Dispose() => _folder.Dispose();

    private bool Run(string script) => Task(script).Execute();

    private CompressModels Task(string script)
    {
        var host = _folder.Write("dotnet", "#!/bin/sh\n" + script + "\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(host, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return new CompressModels
        {
            BuildEngine = _engine,
            DotNetHostPath = host,
            WorkerPath = _folder.Write("modelbuild.dll", ""),
            ProjectDirectory = _folder.Path,
            OutputDirectory = _folder["obj/models/"],
            CacheDirectory = _folder["cache"],
            Manifests = [new TaskItem(_folder["compression.yaml"])],
        };
    }
}
