using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Benchmarks;

/// <summary>
/// Single weights and patterns pruned by each method on real models, one manifest line a row: seconds, bytes of the file and behind brotli, and metrics on data
/// that nothing was calibrated on.
/// </summary>
internal static class SparseTable
{
    private static readonly (string Name, string Target)[] _models =
    [
        ("SqueezeNet", "model: DATA/squeezenet/squeezenet_fp32.onnx, calibration: coco, validate: { data: imagenet47, accuracy: { min: 0 } }"),
        ("Held", "model: DATA/squeezenet/squeezenet_fp32.onnx, calibration: { use: coco, take: 15 }, validate: { data: { use: coco, skip: 15 }, sqnr: { min: 0 } }"),
        ("Sms", "model: DATA/sms_encoder/sms_encoder.onnx, calibration: { use: sms-train, take: 256 }, validate: { data: sms-test, accuracy: { min: 0 } }"),
        ("Stories", "model: DATA/llama-aidreams/aidreams260k.onnx, calibration: { use: stories, take: 64 }, validate: { data: { use: stories, skip: 64, batch: 16 }, nll: { max_drop: 1000% } }"),
        ("Digits", "model: DATA/digits_resnet/digits_resnet.onnx, calibration: { use: digits, take: 256 }, validate: { data: { use: digits, skip: 8000, batch: 100 }, accuracy: { min: 0 } }"),
    ];

    private static readonly string[] _passes =
    [
        .. new[] { "amount: 50%", "structure: '2:4'", "amount: 70%" }.SelectMany(what => new[]
        {
            $"prune: {{ {what}, method: magnitude{Uniform(what)} }} }}, {{ store: {{}}",
            $"prune: {{ {what}, method: wanda{Uniform(what)} }} }}, {{ store: {{}}",
            $"prune: {{ {what}, method: sparsegpt{Uniform(what)} }} }}, {{ store: {{}}",
            $"prune: {{ {what}, method: obs{Uniform(what)} }} }}, {{ store: {{}}",
            $"prune: {{ {what} }} }}, {{ store: {{}}",
        }),
        "prune: { amount: 50%, allocate: global, method: sparsegpt } }, { store: {}",
        "prune: { amount: 50%, allocate: loss, method: sparsegpt } }, { store: {}",
        "prune: { structure: 4x1, amount: 50% } }, { store: {}",
        "quantize: {}",
        "prune: { amount: 50% } }, { quantize: {}",
        "prune: { amount: 50% } }, { quantize: { activations: none } }, { store: {}",
        "prune: { amount: 50% } }, { quantize: { weights: uint4, method: gptq }",
        "quantize: { weights: uint4, method: gptq }",
        .. new[] { "amount: 50%", "structure: '2:4'" }.SelectMany(what => new[] { "weights: int4", "activations: none" }, (what, stored) => (what, stored)).SelectMany(p => new[]
        {
            $"prune: {{ {p.what} }} }}, {{ quantize: {{ {p.stored} }}",
            $"prune: {{ {p.what}, quantize: {{ {p.stored} }} }} }}, {{ quantize: {{ {p.stored} }}",
        }),
    ];

    private static string Uniform(string what) => what.StartsWith("amount", StringComparison.Ordinal) ? ", allocate: uniform" : "";

    public static int Write(string dataFolder, string? model, IReadOnlyList<string> passes)
    {
        var folder = Directory.CreateTempSubdirectory("modelbuild-sparse-");
        try
        {
            Console.WriteLine("| model | passes | seconds | file | brotli | agreement | accuracy | NLL | SQNR |");
            Console.WriteLine("|---|---|---:|---:|---:|---:|---:|---:|---:|");
            foreach (var (name, target) in _models.Where(m => model is null or "all" || m.Name == model))
            {
                foreach (var pass in passes.Count > 0 ? passes : _passes)
                    Console.WriteLine(Row(name, pass, Run(folder.FullName, Path.GetFullPath(dataFolder), target, pass)));
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

    // What the weights lose does not depend on it, and to choose each tensor's smallest form behind an encoder takes longer than all else.
    private static bool Encoded(string pass) => !pass.StartsWith("prune", StringComparison.Ordinal) || pass.Contains("quantize", StringComparison.Ordinal) || pass.Contains("cluster", StringComparison.Ordinal);

    private static string Row(string name, string pass, TargetResult result)
    {
        var shown = pass.Replace(" }, {", ",", StringComparison.Ordinal);
        if (result.Report.Artifact is not { } artifact)
            return $"| {name} | {shown} | failed: {string.Join("; ", result.Diagnostics)} |";
        return string.Create(CultureInfo.InvariantCulture,
            $"| {name} | {shown} | {result.Report.Passes.Sum(p => p.Seconds):F1} | {artifact.Size:N0}{(result.Report.Outcome == "compressed" ? "" : $" ({result.Report.Outcome})")} | {(Encoded(pass) ? artifact.PackedSize.ToString("N0", CultureInfo.InvariantCulture) : "")} | {One("agreement", "P1")} | {One("accuracy", "P2")} | {One("nll", "F4")} | {One("sqnr", "F1")} |");

        string One(string metric, string format) => ModelTable.Find(result.Report, metric) is { } found ? found.Compressed.ToString(format, CultureInfo.InvariantCulture) : "";
    }

    private static TargetResult Run(string folder, string data, string target, string pass)
    {
        var manifest = Path.Combine(folder, "sparse.yaml");
        File.WriteAllText(manifest, ($$"""
            version: 1
            datasets:
              coco: { inputs: { data_0: { images: 'DATA/photos/coco/*.jpg', resize: 256, crop: 224, channels: BGR, mean: [104, 117, 124] } } }
              imagenet47:
                inputs: { data_0: { npy: DATA/photos/imagenet47_224_rgb_u8_nhwc.npy, layout: NHWC, channels: BGR, mean: [104, 117, 124] } }
                labels: { npy: DATA/photos/imagenet47_labels_i64.npy }
              sms-train: { inputs: { ids: { npy: DATA/sms_encoder/calib_ids_i64.npy } } }
              sms-test: { inputs: { ids: { npy: DATA/sms_encoder/test_ids_i64.npy } }, labels: { npy: DATA/sms_encoder/test_labels_i64.npy }, batch: 50 }
              digits: { inputs: { image: { idx: DATA/mnist/t10k-images-idx3-ubyte.gz, scale: 0.00392156862745098 } }, labels: { idx: DATA/mnist/t10k-labels-idx1-ubyte.gz } }
              stories: { inputs: { input_ids: { npy: DATA/llama-aidreams/tokens_i64_128x128.npy } } }
            targets:
              - { {{target}}, name: One, {{(pass.StartsWith("recipe", StringComparison.Ordinal) ? pass : $"passes: [ {{ {pass} }} ]")}}, on_failure: warn, package: { encoding: {{(Encoded(pass) ? "brotli" : "none")}} } }
            """).Replace("DATA/", data + "/", StringComparison.Ordinal));
        var request = new CompressionRequest(ManifestReader.Read(manifest), Path.Combine(folder, "out")) { Threads = Environment.ProcessorCount };
        return Compressor.Run(request).Targets[0];
    }
}
