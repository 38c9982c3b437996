using System;
using System.Diagnostics;
using System.IO;
using System.Threading;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

/// <summary>
/// Packs the build package in a process and a folder of its own, one at a time, and removes the versions that this
/// repository packed before. Compiled by MSBuild while it restores a sample.
/// </summary>
public class PackSource : Task
{
    public string Root { get; set; }

    public string Feed { get; set; }

    public string Version { get; set; }

    public string PackageRoot { get; set; }

    public string Host { get; set; }

    public override bool Execute()
    {
        var work = Path.Combine(Root, "artifacts", "source-package");
        Directory.CreateDirectory(work);
        using (Lock(Path.Combine(work, "lock")))
        {
            var package = Path.Combine(Feed, "ModelBuildTasks." + Version + ".nupkg");
            if (File.Exists(package))
                return true;
            Log.LogMessage(MessageImportance.High, "Packing ModelBuildTasks {0} from this source", Version);
            var output = Path.Combine(work, "out");
            if (!Pack(work, output))
                return false;
            RemoveOlder();
            // Moved when it is whole: a feed with half a package fails every restore.
            File.Move(Path.Combine(output, Path.GetFileName(package)), package);
            return true;
        }
    }

    private bool Pack(string work, string output)
    {
        var start = new ProcessStartInfo(string.IsNullOrEmpty(Host) ? "dotnet" : Host)
        {
            Arguments = "pack \"" + Path.Combine(Root, "src", "ModelBuildTasks", "ModelBuildTasks.csproj") + "\" -c Release -v minimal -nologo -nodeReuse:false"
                + " --artifacts-path \"" + work + "\" -o \"" + output + "\" -p:ModelBuildPackageVersion=" + Version,
            WorkingDirectory = Root,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // What this build sets for itself must not reach the other one.
        foreach (var name in new[] { "MSBuildSDKsPath", "MSBUILD_EXE_PATH", "MSBuildExtensionsPath", "MSBUILDFORCEALLASSEMBLIESASPUBLIC", "MSBuildLoadMicrosoftTargetsReadOnly" })
            start.EnvironmentVariables.Remove(name);
        start.EnvironmentVariables["DOTNET_CLI_USE_MSBUILD_SERVER"] = "0";
        var text = new System.Text.StringBuilder();
        using (var process = new Process { StartInfo = start })
        {
            DataReceivedEventHandler keep = (_, e) => { lock (text) text.AppendLine(e.Data); };
            process.OutputDataReceived += keep;
            process.ErrorDataReceived += keep;
            process.Start();
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            process.WaitForExit();
            if (process.ExitCode == 0)
                return true;
            Log.LogError("The package of this source could not be packed:{0}{1}", Environment.NewLine, text);
            return false;
        }
    }

    private void RemoveOlder()
    {
        foreach (var old in Directory.GetFiles(Feed, "ModelBuildTasks.0.1.0-source.*.nupkg"))
        {
            var version = Path.GetFileNameWithoutExtension(old).Substring("ModelBuildTasks.".Length);
            var extracted = Path.Combine(PackageRoot, "modelbuildtasks", version);
            try
            {
                File.Delete(old);
                if (Directory.Exists(extracted))
                    Directory.Delete(extracted, true);
            }
            catch (Exception e) when (e is IOException || e is UnauthorizedAccessException)
            {
                Log.LogMessage(MessageImportance.Low, "{0} is in use and stays: {1}", version, e.Message);
            }
        }
    }

    private static FileStream Lock(string path)
    {
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                Thread.Sleep(200);
            }
        }
    }
}
