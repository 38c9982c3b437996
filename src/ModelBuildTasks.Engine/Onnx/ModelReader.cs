using System.Text;
using Google.Protobuf;
using ModelBuildTasks.Engine.Diagnostics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Reads a model file, and refuses what is none.</summary>
internal static class ModelReader
{
    public static OnnxModel Load(string path)
    {
        var payloads = new PayloadStore();
        try
        {
            var file = Open(payloads, path);
            RefuseOtherFiles(file);
            var proto = Parse(file, payloads);
            var model = new OnnxModel(proto, payloads, path);
            if (proto.Graph is null || proto.Graph.Node.Count == 0 && proto.Graph.Output.Count == 0)
                throw NotAModel(path, "it has no graph");
            if (proto.Graph.Output.Count == 0)
                throw NotAModel(path, "its graph has no outputs");
            var external = new ExternalData(path, payloads);
            foreach (var tensor in TensorWalk.All(proto))
                Bind(tensor, payloads, external, path);
            external.RefuseOverlaps();
            return model;
        }
        catch
        {
            payloads.Dispose();
            throw;
        }
    }

    private static SourceFile Open(PayloadStore payloads, string path)
    {
        try
        {
            return payloads.Open(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelBuildException(DiagnosticCodes.FileNotFound, $"model '{path}' cannot be opened: {e.Message}", inner: e);
        }
    }

    private static ModelProto Parse(SourceFile file, PayloadStore payloads)
    {
        var skeleton = new WireScanner(file, payloads).Scan();
        try
        {
            var input = CodedInputStream.CreateWithLimits(new MemoryStream(skeleton.ToArray(), writable: false), int.MaxValue, WireFormat.MaxDepth + 10);
            return ModelProto.Parser.ParseFrom(input);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw NotAModel(file.Path, e.Message, e);
        }
    }

    private static void RefuseOtherFiles(SourceFile file)
    {
        if (file.Length == 0)
            throw NotAModel(file.Path, "the file is empty");
        var head = new byte[Math.Min(file.Length, 512)];
        file.Read(0, head);
        if (head.AsSpan().StartsWith("version https://git-lfs"u8))
            throw NotAModel(file.Path, "it is a Git LFS pointer, not the model itself; run 'git lfs pull'");
        if (Array.TrueForAll(head, b => b is >= 0x20 and < 0x7F or (byte)'\n' or (byte)'\r' or (byte)'\t'))
            throw NotAModel(file.Path, $"it is a text file that begins with '{Encoding.ASCII.GetString(head.AsSpan(0, Math.Min(head.Length, 24))).ReplaceLineEndings(" ")}'");
    }

    private static void Bind(TensorProto tensor, PayloadStore payloads, ExternalData external, string path)
    {
        var type = (DataType)tensor.DataType;
        long count;
        try
        {
            count = ElementTypes.Count(tensor.Dims);
            _ = ElementTypes.ByteLength(type, count);
        }
        catch (OverflowException)
        {
            throw new ModelBuildException(DiagnosticCodes.DamagedModel, $"'{path}' is damaged: tensor '{tensor.Name}' has the impossible shape [{string.Join(',', tensor.Dims)}]");
        }

        if (tensor.DataLocation == TensorProto.Types.DataLocation.External)
        {
            tensor.PayloadRef = external.Resolve(tensor, ElementTypes.ByteLength(type, count));
            tensor.ExternalData.Clear();
            tensor.ClearDataLocation();
        }
        else if (tensor.HasPayloadRef)
        {
            ((StoredPayload)payloads[tensor.PayloadRef]).Bind(type, count, tensor.Name);
        }
        else if (type != DataType.String && ElementTypes.ByteLength(type, count) > 0)
        {
            throw new ModelBuildException(DiagnosticCodes.DamagedModel, $"'{path}' is damaged: tensor '{tensor.Name}' has a shape and no values");
        }
    }

    private static ModelBuildException NotAModel(string path, string why, Exception? inner = null) =>
        new(DiagnosticCodes.NotAModel, $"'{path}' is not a readable ONNX model: {why}", inner: inner);
}
