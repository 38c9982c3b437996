using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Benchmarks.Large;

/// <summary>
/// A model of 7 billion parameters to 4 bits: seconds, reading apart, and peak memory. The result is loaded into ONNX Runtime. Since the original
/// takes more memory than most machines have, a model of its embedding, first layer and head alone is compressed, too: its outputs are compared
/// with its original's, and its codes with those in the large model.
/// </summary>
internal static class LargeCommand
{
    private const int Tokens = 8;

    /// <param name="tool">Path of modelbuild.dll of a release build.</param>
    /// <param name="folder">Where 18 GB fit; what is made there is deleted.</param>
    /// <param name="layers">Layers; 32 for 7 billion parameters.</param>
    /// <param name="method">Method of the pass.</param>
    public static int Run(string tool, string folder, int layers, string method)
    {
        var work = Directory.CreateDirectory(Path.Combine(folder, $"large-{Path.GetRandomFileName()}")).FullName;
        try
        {
            var parameters = LlamaModel.Write(Path.Combine(work, "llama.onnx"), layers);
            var bytes = new DirectoryInfo(work).GetFiles().Sum(f => f.Length);
            var reading = Read(Path.Combine(work, "llama.onnx.data"));
            var measured = Compress(tool, work, "llama", method);
            var made = new DirectoryInfo(Path.Combine(work, "out")).GetFiles("llama*").Sum(f => f.Length);
            Console.WriteLine("| layers | parameters | bytes | reading alone | seconds | ns a parameter | peak memory | bytes made |");
            Console.WriteLine("|---:|---:|---:|---:|---:|---:|---:|---:|");
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {layers} | {parameters:N0} | {bytes:N0} | {reading:F1} s | {measured.Seconds:F1} s | {measured.Seconds * 1e9 / parameters:F2} | {measured.PeakBytes / 1e6:F0} MB | {made:N0} |"));
            File.Delete(Path.Combine(work, "llama.onnx.data"));

            LlamaModel.Write(Path.Combine(work, "layer.onnx"), 1);
            Compress(tool, work, "layer", method);
            Console.WriteLine();
            Console.WriteLine(Compare(work));
            Console.WriteLine(Load(Path.Combine(work, "out", "llama.onnx")));
            return 0;
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    private static Measured Compress(string tool, string work, string name, string method)
    {
        if (method == "rtn")
            return Measured.Run([.. Measured.Program(tool), "compress", Path.Combine(work, $"{name}.onnx"), "-o", Path.Combine(work, "out", $"{name}.onnx"), "--recipe", "int4", "--no-check"]);
        // With a report, and so with the hash of what is read and written.
        var manifest = Path.Combine(work, $"{name}.yaml");
        File.WriteAllText(manifest, $"version: 1\ntargets:\n  - {{ model: {name}.onnx, name: {name}, passes: [quantize: {{ weights: uint4, method: {method} }}] }}\n");
        return Measured.Run([.. Measured.Program(tool), "compress", "--manifest", manifest, "-o", Path.Combine(work, "out"), "--no-check"]);
    }

    private static double Read(string path)
    {
        var start = Stopwatch.GetTimestamp();
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1);
        var buffer = new byte[1 << 20];
        while (file.Read(buffer) > 0)
        {
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>The small model against its original, and its codes against those of the same weights in the large one.</summary>
    private static string Compare(string work)
    {
        var (made, large) = (Path.Combine(work, "out", "layer.onnx"), Path.Combine(work, "out", "llama.onnx"));
        float[] reference, compressed;
        using (var session = new Session(Path.Combine(work, "layer.onnx")))
            reference = session.Run(Inputs())["logits"].ToFloats();
        using (var session = new Session(made))
            compressed = session.Run(Inputs())["logits"].ToFloats();
        var (signal, noise) = (reference.Sum(v => (double)v * v), reference.Zip(compressed, (a, b) => (double)(a - b) * (a - b)).Sum());

        using var small = OnnxModel.Load(made);
        using var all = OnnxModel.Load(large);
        var hashes = all.Graph.Initializer.Where(t => all.ByteLength(t) > 1 << 16).Select(t => all.Payloads[t.PayloadRef].Hash()).ToHashSet();
        var weights = small.Graph.Initializer.Where(t => small.ByteLength(t) > 1 << 16).ToList();
        var same = weights.Count(t => hashes.Contains(small.Payloads[t.PayloadRef].Hash()));
        return string.Create(CultureInfo.InvariantCulture,
            $"embedding, first layer and head: SQNR {10 * Math.Log10(signal / noise):F1} dB against float16; {same} of their {weights.Count} tensors stand in the large model bit for bit");
    }

    private static string Load(string path)
    {
        try
        {
            var start = Stopwatch.GetTimestamp();
            using var session = new Session(path);
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var logits = session.Run(Inputs())["logits"].ToFloats();
            return string.Create(CultureInfo.InvariantCulture, $"ONNX Runtime loads the large model in {seconds:F1} s and runs {Tokens} tokens; {logits.Count(float.IsFinite):N0} of {logits.Length:N0} outputs are finite");
        }
        catch (OnnxRuntimeException e)
        {
            return $"ONNX Runtime does not load or run the large model: {e.Message}";
        }
    }

    private static Dictionary<string, Tensor> Inputs() => new()
    {
        ["ids"] = Tensor.Of<long>(DataType.Int64, [1, Tokens], [.. Enumerable.Range(0, Tokens).Select(i => 17L * i % LlamaModel.Words)]),
        ["positions"] = Tensor.Of<long>(DataType.Int64, [1, Tokens], [.. Enumerable.Range(0, Tokens).Select(i => (long)i)]),
        ["mask"] = Tensor.Of<Half>(DataType.Float16, [1, 1, Tokens, Tokens], [.. from row in Enumerable.Range(0, Tokens) from column in Enumerable.Range(0, Tokens) select column > row ? (Half)(-10000) : Half.Zero]),
    };
}
