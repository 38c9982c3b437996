using System.Buffers.Binary;
using System.Text;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

/// <summary>Plans and files for dataset tests.</summary>
internal static class Make
{
    public static readonly SourceLocation Here = new("compression.yaml", 5, 3);

    public static ValueDescription Input(string name, DataType type, params long[] shape) => new(name, type, shape);

    public static DatasetPlan Plan(SourcePlan x, SourcePlan? labels = null) => new()
    {
        Name = "data",
        Location = Here,
        Inputs = new Dictionary<string, SourcePlan> { ["x"] = x },
        Labels = labels,
    };

    public static DatasetUse Use(DatasetPlan plan) => new(plan, Here);

    public static IDataset Open(SourcePlan x, ValueDescription input, Func<DatasetPlan, DatasetPlan>? change = null) =>
        DatasetFactory.Open(Use((change ?? (p => p))(Plan(x))), [input]);

    public static NpySource Npy(string path, ImageOptions? image = null) => new(Here, path, image ?? ImageOptions.None);

    public static IdxSource Idx(string path, ImageOptions? image = null) => new(Here, path, image ?? ImageOptions.None);

    public static TableSource Csv(string path, params string[] columns) => new(Here, path, ',', columns, null, []);

    /// <summary>Writes a file of NumPy's format.</summary>
    public static string WriteNpy(TemporaryFolder folder, string descr, string shape, byte[] data, bool fortran = false, byte version = 1)
    {
        var header = $"{{'descr': '{descr}', 'fortran_order': {(fortran ? "True" : "False")}, 'shape': {shape}, }}";
        var path = folder.File($"{Guid.NewGuid():N}.npy");
        using var file = File.Create(path);
        file.Write([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', version, 0]);
        var text = Encoding.UTF8.GetBytes(header.PadRight(117) + "\n");
        var length = new byte[version == 1 ? 2 : 4];
        if (version == 1)
            BinaryPrimitives.WriteUInt16LittleEndian(length, (ushort)text.Length);
        else
            BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)text.Length);
        file.Write(length);
        file.Write(text);
        file.Write(data);
        return path;
    }

    public static string WriteNpy(TemporaryFolder folder, string shape, params float[] values) =>
        WriteNpy(folder, "<f4", shape, [.. values.SelectMany(BitConverter.GetBytes)]);

    public static string WriteNpy(TemporaryFolder folder, string shape, params byte[] values) => WriteNpy(folder, "|u1", shape, values);

    public static string WriteText(TemporaryFolder folder, string text)
    {
        var path = folder.File($"{Guid.NewGuid():N}.csv");
        File.WriteAllText(path, text);
        return path;
    }

    public static float[] Floats(IDataset data, string input = "x") => [.. data.Batches().SelectMany(b => b.Inputs[input].ToFloats())];

    public static Diagnostic Fails(Action action, string code)
    {
        var error = Assert.ThrowsExactly<ModelBuildException>(action).First;
        Assert.AreEqual(code, error.Code, error.Message);
        Assert.AreEqual(Here, error.Location);
        return error;
    }
}
