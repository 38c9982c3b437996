using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Samples of one type and shape that can be read in any order.</summary>
internal abstract class SampleSource
{
    /// <summary>Where the source stands in the manifest.</summary>
    public abstract SourceLocation Location { get; }

    /// <summary>Samples in all.</summary>
    public abstract long Count { get; }

    /// <summary>Element type of what is read.</summary>
    public abstract DataType Type { get; }

    /// <summary>Shape of one sample, without the sample axis.</summary>
    public abstract long[] SampleShape { get; }

    /// <summary>What the data is, for messages: the file and its shape.</summary>
    public abstract string Description { get; }

    /// <summary>Which sequence a sample belongs to, where samples follow one another; a file of sound is one, an array is one.</summary>
    public virtual int SequenceOf(long index) => 0;

    /// <summary>A reader for one enumeration.</summary>
    public abstract ISampleReader Open();

    /// <summary>Adds all that decides the values.</summary>
    public abstract void AddTo(ContentHasher hash);

    /// <summary>Bytes of one sample.</summary>
    public int SampleBytes => checked((int)Onnx.ElementTypes.ByteLength(Type, Onnx.ElementTypes.Count(SampleShape)));
}

/// <summary>Reads samples one by one.</summary>
internal interface ISampleReader : IDisposable
{
    /// <summary>Reads one sample's values in row-major order, little-endian.</summary>
    void Read(long index, Span<byte> destination);
}
