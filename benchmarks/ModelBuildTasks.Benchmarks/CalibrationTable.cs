using System.Diagnostics;
using System.Globalization;
using ModelBuildTasks.Benchmarks.Peers;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Benchmarks;

/// <summary>
/// Quantizes SqueezeNet on 200 crops of photos, with each number of threads and each batch in a process of its own, and prints seconds
/// of the pass, processor time and peak memory of the process, and the artifact's hash: once with the calibration alone
/// (<c>activations: uint8</c>), once with the search for forms behind it (<c>auto</c>, the default). <c>peers/calibration.py</c> does the same with the Python tool.
/// </summary>
internal static class CalibrationTable
{
    private const int Crops = 200;
    private const int Size = 224;

    public static int Write(string dataFolder, string? cropsFile)
    {
        var folder = Directory.CreateTempSubdirectory("modelbuild-calibration-");
        try
        {
            var data = Path.GetFullPath(dataFolder);
            var crops = cropsFile is null ? Path.Combine(folder.FullName, "crops.npy") : Path.GetFullPath(cropsFile);
            WriteCrops(data, crops, folder.FullName);
            Console.WriteLine("| activations | threads | batch | seconds | processor seconds | peak memory | artifact |");
            Console.WriteLine("|---|---:|---:|---:|---:|---:|---|");
            foreach (var (activations, threads, batch) in new[] { ("uint8", 1, 1), ("uint8", 1, 8), ("uint8", 1, 32), ("uint8", 2, 1), ("uint8", 2, 8), ("uint8", 2, 32), ("auto", 1, 1), ("auto", 2, 32) })
            {
                using var run = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, ["calibration-run", data, crops, $"{threads}", $"{batch}", activations]))!;
                run.WaitForExit();
                if (run.ExitCode != 0)
                    return run.ExitCode;
            }

            return 0;
        }
        catch (ModelBuildException e)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>One row of the table.</summary>
    public static int Run(string data, string crops, int threads, int batch, string activations)
    {
        var folder = Directory.CreateTempSubdirectory("modelbuild-calibration-");
        try
        {
            var manifest = Manifest(folder.FullName, $$"""
                version: 1
                datasets:
                  crops: { inputs: { data_0: { npy: '{{crops}}', layout: NHWC, channels: BGR, mean: [104, 117, 124] } }, batch: {{batch}} }
                targets:
                  - { model: '{{data}}/squeezenet/squeezenet_fp32.onnx', name: SqueezeNet, calibration: crops, passes: [ { quantize: { activations: {{activations}} } } ], validate: none }
                """);
            var request = new CompressionRequest(ManifestReader.Read(manifest), Path.Combine(folder.FullName, "out")) { Threads = threads };
            var target = Compressor.Run(request).Targets[0];
            if (target.Report.Artifact is not { } artifact)
            {
                Console.Error.WriteLine(string.Join('\n', target.Diagnostics));
                return 1;
            }

            var seconds = target.Report.Passes.Single(p => p.Name == "quantize").Seconds;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {activations} | {threads} | {batch} | {seconds:F1} | {Environment.CpuUsage.TotalTime.TotalSeconds:F1} | {PeakBytes() / 1e6:F0} MB | {artifact.Sha256[..16]} |"));
            return 0;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Crops of all photos at three sizes, as bytes in RGB: whole, and ever closer.</summary>
    private static void WriteCrops(string data, string path, string folder)
    {
        using var file = new FileStream(path, FileMode.Create);
        file.Write(NumpyFiles.Head(Engine.Onnx.TensorProto.Types.DataType.Uint8, [Crops, Size, Size, 3]));
        var written = 0;
        foreach (var shortSide in (ReadOnlySpan<int>)[Size, 336, 448])
        {
            var manifest = Manifest(folder, $$"""
                version: 1
                datasets:
                  photos: { inputs: { x: { images: '{{data}}/photos/**/*.jp*g', resize: {{shortSide}}, crop: {{Size}} } } }
                targets:
                  - { model: '{{data}}/squeezenet/squeezenet_fp32.onnx', recipe: int8, calibration: photos }
                """);
            var use = ManifestReader.Read(manifest).Targets[0].Calibration!;
            var photos = DatasetFactory.Open(use, [new("x", Engine.Onnx.TensorProto.Types.DataType.Uint8, [1, Size, Size, 3])]);
            foreach (var batch in photos.Batches().Take(Crops - written))
            {
                file.Write(batch.Inputs["x"].Bytes);
                written++;
            }
        }

        if (written < Crops)
            throw new InvalidOperationException($"there are only {written} crops");
    }

    private static string Manifest(string folder, string text)
    {
        var path = Path.Combine(folder, "calibration.yaml");
        File.WriteAllText(path, text);
        return path;
    }

    // VmHWM is what the kernel saw; the runtime's own figure is that of the last look.
    private static double PeakBytes()
    {
        using var process = Process.GetCurrentProcess();
        var line = File.Exists("/proc/self/status") ? File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)) : null;
        return line is null ? process.PeakWorkingSet64 : 1024 * double.Parse(line.Split(':')[1].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }
}
