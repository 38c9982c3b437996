using System.Text;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool.Building;

/// <summary>Writes the accessor's class of one model.</summary>
internal static class AccessorModel
{
    public static string Write(Output output)
    {
        var text = new StringBuilder();
        text.Append($$"""
                    /// <summary>The model {{output.Name}}.</summary>
                    internal static class {{NamespaceName.Identifier(output.Name)}}
                    {
                        /// <summary>The model's name in the manifest.</summary>
                        internal static string Name { get { return "{{output.Name}}"; } }

                        /// <summary>Bytes of the compressed model{{(output.HasData ? "'s file, without its data file" : "")}}.</summary>
                        internal static long Length { get { return {{output.Length}}L; } }

                        /// <summary>Bytes that the model takes in the app{{Packed(output)}}.</summary>
                        internal static long PackedLength { get { return {{output.Size}}L; } }

                        /// <summary>Bytes of the original model.</summary>
                        internal static long OriginalLength { get { return {{output.OriginalSize}}L; } }

                        /// <summary>Hash of the compressed model{{(output.HasData ? " and, behind it, its data file" : "")}} in hexadecimal digits.</summary>
                        internal static string Sha256 { get { return "{{output.Sha256}}"; } }


            """);
        if (output.Package == PackageAs.Content)
            text.Append(Property("Path", $"Full path of the {(output.Encoding == PackageEncoding.Brotli ? "encoded " : "")}file next to the app", output.PackedName));
        if (output.HasData)
            text.Append(Property("DataPath", "Full path of the file with the model's tensors, which ONNX Runtime finds by itself", Candidate.DataPath(output.FileName)));
        text.Append($$"""
                        /// <summary>Opens the compressed model for reading{{(output.Encoding == PackageEncoding.Brotli ? "; it is decoded on the way, and the stream cannot seek" : "")}}. The caller disposes of the stream.</summary>
                        internal static global::System.IO.Stream OpenRead()
                        {
                            return {{Open(output)}};
                        }

                        /// <summary>Reads the whole compressed model into a new array.</summary>
                        internal static byte[] ReadAllBytes()
                        {
                            return __Read(OpenRead(), Length);
                        }
            #if MODELBUILD_ONNXRUNTIME

                        /// <summary>Loads the compressed model into ONNX Runtime. The caller disposes of the session.</summary>
                        internal static global::Microsoft.ML.OnnxRuntime.InferenceSession CreateSession(
            #if MODELBUILD_NULLABLE
                            global::Microsoft.ML.OnnxRuntime.SessionOptions? options = null)
            #else
                            global::Microsoft.ML.OnnxRuntime.SessionOptions options = null)
            #endif
                        {
                            return options == null
                                ? new global::Microsoft.ML.OnnxRuntime.InferenceSession({{Source(output)}})
                                : new global::Microsoft.ML.OnnxRuntime.InferenceSession({{Source(output)}}, options);
                        }
            #endif
                    }

            """);
        return text.ToString();
    }

    private static string Packed(Output output) => output switch
    {
        { Encoding: PackageEncoding.Brotli } => ", compressed with Brotli",
        { HasData: true } => ", data file included",
        _ => "",
    };

    private static string Property(string name, string summary, string file) => $$"""
                    /// <summary>{{summary}}.</summary>
                    internal static string {{name}} { get { return __Path("{{file}}"); } }


        """;

    private static string Open(Output output)
    {
        var stored = output.Package == PackageAs.Content ? "global::System.IO.File.OpenRead(Path)" : $"__Open(\"models/{output.PackedName}\")";
        return output.Encoding == PackageEncoding.Brotli
            ? $"new global::System.IO.Compression.BrotliStream({stored}, global::System.IO.Compression.CompressionMode.Decompress)"
            : stored;
    }

    // From its path a model is mapped, and found with its data file.
    private static string Source(Output output) =>
        output is { Package: PackageAs.Content, Encoding: PackageEncoding.None } ? "Path" : "ReadAllBytes()";
}
