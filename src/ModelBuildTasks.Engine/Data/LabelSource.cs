using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Labels: class indices, one or several a sample.</summary>
internal sealed class LabelSource
{
    private readonly SampleSource _source;

    private LabelSource(SampleSource source) => _source = source;

    /// <summary>Where the labels stand in the manifest.</summary>
    public SourceLocation Location => _source.Location;

    /// <summary>Samples that have labels.</summary>
    public long Count => _source.Count;

    /// <summary>Opens the source of labels.</summary>
    public static LabelSource Open(SourcePlan plan) => new(plan switch
    {
        NpySource npy => ArraySamples.OpenNpy(npy.Path, npy.Location),
        IdxSource idx => ArraySamples.OpenIdx(idx.Path, idx.Location),
        TableSource table => TableSamples.Open(table, DataType.Int64),
        _ => throw new ModelBuildException(DiagnosticCodes.InvalidValue, "Labels come from 'npy', 'idx', 'csv' or 'tsv'", plan.Location),
    });

    public void AddTo(ContentHasher hash) => _source.AddTo(hash);

    /// <summary>A reader for one enumeration.</summary>
    public Reader Read() => new(_source);

    /// <summary>Reads labels.</summary>
    internal sealed class Reader(SampleSource source) : IDisposable
    {
        private readonly ISampleReader _reader = source.Open();
        private readonly byte[] _sample = new byte[source.SampleBytes];

        /// <summary>The labels of the given samples, one sample's behind the other's.</summary>
        public long[] Read(ReadOnlySpan<long> samples)
        {
            var perSample = _sample.Length / ElementConversion.Size(source.Type);
            var labels = new long[checked(samples.Length * perSample)];
            for (var i = 0; i < samples.Length; i++)
            {
                _reader.Read(samples[i], _sample);
                var target = MemoryMarshal.AsBytes(labels.AsSpan(i * perSample, perSample));
                if (ElementConversion.Convert(source.Type, _sample, DataType.Int64, target) is { } problem)
                    throw DatasetError.DoesNotFit($"Labels are class indices; {source.Description}, and in sample {samples[i]} {problem}", source.Location);
            }

            return labels;
        }

        public void Dispose() => _reader.Dispose();
    }
}
