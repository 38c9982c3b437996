using System.Diagnostics;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

/// <summary>What disks and folders can do to a target.</summary>
[TestClass]
public sealed class FaultTests
{
    [TestMethod]
    [OSCondition(OperatingSystems.Linux)]
    [DataRow("Tiny.onnx.tmp")]
    [DataRow("Tiny.onnx.br")]
    public void A_disk_that_is_full_is_one_error_at_the_model_and_leaves_the_last_artifact(string written)
    {
        using var bench = new Bench();
        bench.Target = bench.Target with { Encoding = PackageEncoding.Brotli };
        Assert.IsTrue(bench.Run().Succeeded);
        var before = Contents(bench.Output);

        // Every write to this device ends in ENOSPC; the pass knows where the file will be written.
        bench.Pass = (model, _) =>
        {
            File.CreateSymbolicLink(Path.Combine(Directory.GetDirectories(bench.Output, ".Tiny.*").Single(), written), "/dev/full");
            return Bench.Done(TinyModel.Shrink(model));
        };
        var line = bench.Run().Targets[0].Diagnostics.Single().ToString();

        StringAssert.StartsWith(line, "compression.yaml(4,7): error MBT2007: ");
        Assert.Contains("No space left", line);
        CollectionAssert.AreEqual(before, Contents(bench.Output));
    }

    [TestMethod]
    [OSCondition(OperatingSystems.Linux)]
    public void On_a_full_disk_an_untouched_model_is_no_internal_error()
    {
        using var bench = new Bench();
        using var original = Original.Open(bench.ModelPath, CancellationToken.None);
        File.CreateSymbolicLink(bench.File("full"), "/dev/full");
        var error = Assert.ThrowsExactly<ModelBuildException>(() => original.CopyTo(bench.File("full"), bench.InlineLimit, CancellationToken.None)).First;

        Assert.AreEqual("MBT2007", error.Code);
        Assert.Contains("No space left", error.Message);
    }

    [TestMethod]
    public void On_a_disk_of_1_MB_each_step_fails_with_the_code_and_what_was_there_stays()
    {
        using var bench = new Bench(TinyModel.Create(ballast: 1 << 19));
        using var disk = SmallDisk.Mount(bench.Output);
        if (disk is null)
            Assert.Inconclusive("mounting needs a root user of Linux with the right to do so");

        // The ballast of 2 MB stays in, and less than before: too large for the disk.
        bench.Pass = (model, _) =>
        {
            var clone = model.Clone();
            clone.Graph.Node[0].Name = "";
            return Bench.Done(clone);
        };
        File.WriteAllText(bench.Artifact, "previous");
        var failed = bench.Run().Targets[0];
        StringAssert.StartsWith(failed.Diagnostics.Single().ToString(), "compression.yaml(4,7): error MBT2007: ");
        Assert.AreEqual("previous", File.ReadAllText(bench.Artifact));

        disk!.MakeReadOnly();
        var error = Assert.ThrowsExactly<ModelBuildException>(() => bench.Run()).First;
        Assert.AreEqual("MBT2007", error.Code, error.Message);
        Assert.AreEqual("previous", File.ReadAllText(bench.Artifact));
    }

    [TestMethod]
    [DataRow("Tiny.onnx")]
    [DataRow("Tiny.onnx.br")]
    [DataRow("Tiny.onnx.data")]
    public void A_folder_in_the_artifacts_place_is_found_before_any_work(string name)
    {
        using var bench = new Bench();
        Directory.CreateDirectory(Path.Combine(bench.Output, name));
        var line = bench.Run().Targets[0].Diagnostics.Single().ToString();

        StringAssert.StartsWith(line, "compression.yaml(4,7): error MBT2007: ");
        Assert.Contains(name, line);
        Assert.AreEqual(0, bench.Runs);
    }

    [TestMethod]
    public void An_output_folder_that_is_a_file_is_an_error_with_a_code()
    {
        using var bench = new Bench();
        File.WriteAllText(bench.Output, "a file");
        Assert.AreEqual("MBT2007", Assert.ThrowsExactly<ModelBuildException>(() => bench.Run()).First.Code);
        Assert.AreEqual("a file", File.ReadAllText(bench.Output));
    }

    [TestMethod]
    public void When_the_second_of_two_files_cannot_be_put_in_place_the_first_goes_back()
    {
        using var folder = new TemporaryFolder();
        var work = Directory.CreateDirectory(folder.File("work")).FullName;
        foreach (var (name, text) in new[] { ("a", "old a"), ("b", "old b"), ("c", "old c"), ("work/a", "new a") })
            File.WriteAllText(folder.File(name), text);

        Assert.Throws<IOException>(() => Placement.Put(
            [(folder.File("work/a"), folder.File("a")), (folder.File("work/missing"), folder.File("b"))], [folder.File("c")], work));
        Assert.AreEqual("old a", File.ReadAllText(folder.File("a")));
        Assert.AreEqual("old b", File.ReadAllText(folder.File("b")));
        Assert.AreEqual("old c", File.ReadAllText(folder.File("c")));

        File.WriteAllText(folder.File("work/b"), "new b");
        Placement.Put([(folder.File("work/a"), folder.File("a")), (folder.File("work/b"), folder.File("b"))], [folder.File("c")], work);
        Assert.AreEqual("new a", File.ReadAllText(folder.File("a")));
        Assert.AreEqual("new b", File.ReadAllText(folder.File("b")));
        Assert.IsFalse(File.Exists(folder.File("c")));
    }

    private static string[] Contents(string folder) =>
        [.. Directory.GetFileSystemEntries(folder).Where(f => !f.EndsWith("report.json", StringComparison.Ordinal)).Order().Select(f => $"{f} {Convert.ToBase64String(File.ReadAllBytes(f))}")];

    /// <summary>A file system of 1 MB in memory, where the test may mount one.</summary>
    private sealed class SmallDisk : IDisposable
    {
        private readonly string _path;

        private SmallDisk(string path) => _path = path;

        public static SmallDisk? Mount(string path)
        {
            Directory.CreateDirectory(path);
            return OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path) ? new(path) : null;
        }

        public void MakeReadOnly() => Assert.IsTrue(Run("mount", "-o", "remount,ro", _path));

        public void Dispose() => Run("umount", _path);

        private static bool Run(string program, params string[] arguments)
        {
            try
            {
                using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
                process.WaitForExit();
                return process.ExitCode == 0;
            }
            catch (System.ComponentModel.Win32Exception)
            {
                return false;
            }
        }
    }
}
