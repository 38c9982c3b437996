using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Benchmarks;

/// <summary>
/// SqueezeNet with weights of few bits, as one manifest line a row asks for: bytes of the file and behind brotli, and agreement and SQNR on 47 photos that
/// nothing was tuned on; beside them the SQNR on every other calibration photo, of a run that was calibrated on the others.
/// </summary>
internal static class PaletteTable
{
    private static readonly string[] _passes =
    [
        "store: {}",
        "quantize: {}",
        "quantize: { activations: none }",
        "quantize: { activations: none } }, { store: {}",
        "cluster: { bits: 8 }",
        "cluster: { bits: 6 }",
        "cluster: { bits: 6, method: kmeans }",
        "cluster: { bits: 5 }",
        "cluster: { bits: 4 }",
        "cluster: { entropy: 5.5 }",
        "cluster: { entropy: 5 }",
        "cluster: { entropy: 4.5 }",
        "cluster: { entropy: 4 }",
        "prune: { amount: 50% } }, { store: {}",
        "prune: { amount: 30% } }, { cluster: { entropy: 4.5 }",
    ];

    public static int Write(string dataFolder, IReadOnlyList<string> passes)
    {
        var folder = Directory.CreateTempSubdirectory("modelbuild-palettes-");
        try
        {
            Console.WriteLine("| passes | file | brotli | agreement | SQNR | SQNR, held-out calibration photos |");
            Console.WriteLine("|---|---:|---:|---:|---:|---:|");
            foreach (var pass in passes.Count > 0 ? passes : _passes)
            {
                var half = Run(folder.FullName, Path.GetFullPath(dataFolder), pass, "odd", "even");
                var whole = Run(folder.FullName, Path.GetFullPath(dataFolder), pass, "coco", "imagenet47");
                var artifact = whole.Report.Artifact!;
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"| {pass.Replace(" }, {", ",", StringComparison.Ordinal)} | {artifact.Size:N0} | {artifact.PackedSize:N0} | {Metric(whole, "agreement"):P1} | {Metric(whole, "sqnr"):F1} | {Metric(half, "sqnr"):F1} |"));
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

    private static TargetResult Run(string folder, string data, string pass, string calibration, string validation)
    {
        var images = "resize: 256, crop: 224, channels: BGR, mean: [104, 117, 124]";
        var photos = Directory.GetFiles(Path.Combine(data, "photos", "coco"), "*.jpg").Order(StringComparer.Ordinal).ToList();
        for (var i = 0; i < photos.Count; i++)
        {
            var part = Path.Combine(folder, i % 2 == 0 ? "even" : "odd");
            Directory.CreateDirectory(part);
            File.Copy(photos[i], Path.Combine(part, Path.GetFileName(photos[i])), overwrite: true);
        }

        var manifest = Path.Combine(folder, "palettes.yaml");
        File.WriteAllText(manifest, $$"""
            version: 1
            datasets:
              coco: { inputs: { data_0: { images: '{{data}}/photos/coco/*.jpg', {{images}} } } }
              odd: { inputs: { data_0: { images: 'odd/*.jpg', {{images}} } } }
              even: { inputs: { data_0: { images: 'even/*.jpg', {{images}} } } }
              imagenet47: { inputs: { data_0: { npy: '{{data}}/photos/imagenet47_224_rgb_u8_nhwc.npy', layout: NHWC, channels: BGR, mean: [104, 117, 124] } } }
            targets:
              - { model: '{{data}}/squeezenet/squeezenet_fp32.onnx', name: SqueezeNet, calibration: {{calibration}}, passes: [ { {{pass}} } ], package: { encoding: brotli }, validate: { data: {{validation}} } }
            """);
        var request = new CompressionRequest(ManifestReader.Read(manifest), Path.Combine(folder, "out")) { Threads = Environment.ProcessorCount };
        var target = Compressor.Run(request).Targets[0];
        if (target.ArtifactPath is null)
            throw new InvalidOperationException(string.Join('\n', target.Diagnostics));
        return target;
    }

    private static double Metric(TargetResult result, string name) => result.Report.Validation!.Metrics.First(m => m.Name == name).Compressed;
}
