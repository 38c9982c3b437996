using ModelBuildTasks.Engine.Hashing;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>A source fitted to one input of the model.</summary>
internal abstract class Feed(ValueDescription input)
{
    /// <summary>The model's input.</summary>
    public ValueDescription Input { get; } = input;

    /// <summary>Samples that a run must have; null for any number.</summary>
    public virtual int? RunBatch => null;

    /// <summary>Bytes that one sample adds to a run.</summary>
    public abstract long SampleBytes { get; }

    /// <summary>How samples of this feed lie in a run, where that is the same for all of them.</summary>
    public virtual InputFit? Fit => null;

    /// <summary>Which sequence a sample belongs to.</summary>
    public virtual int SequenceOf(long sample) => 0;

    /// <summary>A reader for one enumeration.</summary>
    public abstract IFeedReader Open();

    /// <summary>Adds all that decides the values.</summary>
    public abstract void AddTo(ContentHasher hash);

    /// <summary>Adds what the model declares, to which values are fitted.</summary>
    protected void AddInputTo(ContentHasher hash)
    {
        hash.Add(Input.Name);
        hash.Add(DatasetError.Describe(Input.Type, Input.Shape));
    }

    /// <summary>An empty tensor for a run, or an error when it would be larger than an array can be.</summary>
    protected Tensor Room(long[] shape, Diagnostics.SourceLocation location) => Bytes(Input.Type, shape) is { } bytes
        ? new(Input.Type, shape, new byte[bytes])
        : throw DatasetError.DoesNotFit($"{DatasetError.Describe(Input)}, and {DatasetError.Describe(shape)} is too large to hold", location);

    /// <summary>Bytes of a tensor, or null when an array cannot hold them.</summary>
    protected static int? Bytes(DataType type, long[] shape)
    {
        var bytes = shape.Aggregate((double)ElementConversion.Size(type), (size, dim) => size * dim);
        return bytes <= Array.MaxLength ? (int)bytes : null;
    }
}

/// <summary>Reads a run's tensor.</summary>
internal interface IFeedReader : IDisposable
{
    /// <summary>The input's tensor for the samples of the given indices.</summary>
    Tensor Read(ReadOnlySpan<long> samples);
}
