using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx;

/// <summary>Seeded inputs for the models under test.</summary>
internal static class RandomInputs
{
    /// <summary>A tensor for each input that is no initializer; free dimensions take the sizes that the model's kind needs.</summary>
    public static Dictionary<string, Tensor> For(OnnxModel model, int seed = 1)
    {
        var random = new Random(seed);
        return model.Inputs.ToDictionary(i => i.Name, i => Of(i, random));
    }

    /// <summary>A tensor of random values: floats in ±1, small non-negative integers.</summary>
    public static Tensor Of(DataType type, long[] shape, Random random)
    {
        var count = (int)ElementTypes.Count(shape);
        return type switch
        {
            DataType.Float => Tensor.Of<float>(type, shape, Fill(count, () => (random.NextSingle() * 2) - 1)),
            DataType.Float16 => Tensor.Of<Half>(type, shape, Fill(count, () => (Half)((random.NextSingle() * 2) - 1))),
            DataType.Double => Tensor.Of<double>(type, shape, Fill(count, () => (random.NextDouble() * 2) - 1)),
            DataType.Int64 => Tensor.Of<long>(type, shape, Fill(count, () => random.NextInt64(1, 100))),
            DataType.Int32 => Tensor.Of<int>(type, shape, Fill(count, () => random.Next(1, 100))),
            DataType.Uint8 => Tensor.Of<byte>(type, shape, Fill(count, () => (byte)random.Next(1, 100))),
            DataType.Int8 => Tensor.Of<sbyte>(type, shape, Fill(count, () => (sbyte)random.Next(-100, 100))),
            DataType.Bool => Tensor.Of<byte>(type, shape, Fill(count, () => (byte)random.Next(0, 2))),
            _ => throw new NotSupportedException($"{type}"),
        };
    }

    private static Tensor Of(ValueDescription input, Random random)
    {
        // A number of rows, a sample rate and a window of the voice activity detector; faces need a side that is a multiple of 32.
        if (input.Name == "sr")
            return Tensor.Of<long>(DataType.Int64, input.Shape!, [16000]);
        var free = input.Shape!.Length == 4 ? 64 : 8;
        var shape = input.Shape.Select((d, i) => d >= 0 ? d : i == 0 || input.Name == "state" ? 1 : input.Name == "input" && input.Shape.Length == 2 ? 576 : free).ToArray();
        return Of(input.Type, shape, random);
    }

    private static T[] Fill<T>(int count, Func<T> next)
    {
        var values = new T[count];
        for (var i = 0; i < count; i++)
            values[i] = next();
        return values;
    }
}
