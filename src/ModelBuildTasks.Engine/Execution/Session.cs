using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Execution;

/// <summary>How a model is loaded.</summary>
/// <param name="Threads">Intra-op threads. One thread gives the same bits on every machine size.</param>
/// <param name="Optimize">Whether ONNX Runtime may rewrite the graph as it does in an app. Off when intermediate values are observed.</param>
internal sealed record SessionSettings(int Threads = 1, bool Optimize = true)
{
    /// <summary>
    /// Whether quantize/dequantize pairs are computed as they stand, in float, also where the graph is optimized otherwise: results then do
    /// not depend on the integer kernels of the machine.
    /// </summary>
    public bool KeepPairs { get; init; }

    /// <summary>Where the graph as ONNX Runtime rewrote it is written to, or null.</summary>
    public string? OptimizedModelPath { get; init; }

    /// <summary>A run that takes longer is stopped and is an error: a model with a loop that never ends must not hang a build.</summary>
    public TimeSpan RunLimit { get; init; } = TimeSpan.FromMinutes(10);
}

/// <summary>A model in ONNX Runtime on the CPU. Runs may be made from several threads at once.</summary>
internal sealed class Session : IDisposable
{
    static Session() => Telemetry.SwitchOff();

    private readonly InferenceSession _session;
    private readonly TimeSpan _runLimit;
    private readonly DirectoryInfo? _folder;

    /// <summary>Loads a file.</summary>
    /// <exception cref="OnnxRuntimeException">ONNX Runtime refuses the model.</exception>
    public Session(string path, SessionSettings? settings = null)
    {
        settings ??= new();
        _runLimit = settings.RunLimit;
        using var options = Options(settings);
        _session = new InferenceSession(path, options);
    }

    /// <summary>Loads a model from memory (below 2 GB).</summary>
    /// <exception cref="OnnxRuntimeException">ONNX Runtime refuses the model.</exception>
    public Session(byte[] model, SessionSettings? settings = null)
    {
        settings ??= new();
        _runLimit = settings.RunLimit;
        using var options = Options(settings);
        _session = new InferenceSession(model, options);
    }

    /// <summary>Loads a model that is not in a file; one of 2 GB and more by way of a temporary folder.</summary>
    /// <exception cref="OnnxRuntimeException">ONNX Runtime refuses the model.</exception>
    public Session(OnnxModel model, SessionSettings? settings = null)
    {
        settings ??= new();
        _runLimit = settings.RunLimit;
        using var options = Options(settings);
        if (ModelWriter.PayloadBytes(model) < ModelWriter.InlineLimit)
        {
            _session = new InferenceSession(model.ToBytes(), options);
            return;
        }

        _folder = Directory.CreateTempSubdirectory("modelbuild-");
        try
        {
            var path = Path.Combine(_folder.FullName, "model.onnx");
            model.Save(path);
            _session = new InferenceSession(path, options);
        }
        catch
        {
            _folder.Delete(recursive: true);
            throw;
        }
    }

    /// <summary>The model's inputs in its order.</summary>
    public IReadOnlyList<ValueDescription> Inputs => [.. _session.InputNames.Select(n => Describe(n, _session.InputMetadata[n]))];

    /// <summary>The model's outputs in its order.</summary>
    public IReadOnlyList<ValueDescription> Outputs => [.. _session.OutputNames.Select(n => Describe(n, _session.OutputMetadata[n]))];

    /// <summary>Runs the model and copies the named outputs (all of them when <paramref name="outputs"/> is null); non-tensor outputs are left out.</summary>
    /// <exception cref="OnnxRuntimeException">ONNX Runtime failed in the run.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled on the way.</exception>
    public IReadOnlyDictionary<string, Tensor> Run(
        IReadOnlyDictionary<string, Tensor> inputs, IReadOnlyCollection<string>? outputs = null, CancellationToken cancellation = default)
    {
        var result = new Dictionary<string, Tensor>();
        Run(inputs, outputs ?? _session.OutputNames, (name, type, shape, bytes) => result[name] = new Tensor(type, shape, bytes.ToArray()), cancellation);
        return result;
    }

    /// <summary>Runs the model and shows each output in place, without a copy; the span ends with the call.</summary>
    /// <exception cref="OnnxRuntimeException">ONNX Runtime failed in the run.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled on the way.</exception>
    /// <exception cref="ModelBuildException">MBT2008: the run took longer than <see cref="SessionSettings.RunLimit"/>.</exception>
    public void Run(
        IReadOnlyDictionary<string, Tensor> inputs, IReadOnlyCollection<string> outputs, OutputVisitor visit, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(_runLimit);
        var values = new List<OrtValue>();
        var pins = new List<GCHandle>();
        try
        {
            foreach (var input in inputs.Select(i => Fitted(i.Key, i.Value)))
                values.Add(ToOrtValue(input, pins));
            using var options = new RunOptions();
            using var registration = limit.Token.Register(() => options.Terminate = true);
            using var results = _session.Run(options, [.. inputs.Keys], values, outputs);
            var i = 0;
            foreach (var name in outputs)
            {
                var value = results[i++];
                if (!value.IsTensor)
                    continue;
                var info = value.GetTensorTypeAndShape();
                if (info.ElementDataType == TensorElementType.String)
                    continue;
                // An empty tensor has no buffer to look at.
                var bytes = info.ElementCount == 0 ? [] : value.GetTensorMutableRawData();
                visit(name, (DataType)(int)info.ElementDataType, info.Shape, bytes);
            }
        }
        catch (OnnxRuntimeException) when (cancellation.IsCancellationRequested)
        {
            // A terminated run ends in a general failure.
            throw new OperationCanceledException(cancellation);
        }
        catch (OnnxRuntimeException e) when (limit.IsCancellationRequested)
        {
            throw new ModelBuildException(DiagnosticCodes.RunDoesNotEnd, $"a run of the model did not end within {_runLimit.TotalMinutes:0.##} minutes and was stopped", inner: e);
        }
        finally
        {
            values.ForEach(v => v.Dispose());
            pins.ForEach(p => p.Free());
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _session.Dispose();
        _folder?.Delete(recursive: true);
    }

    // The element types of ONNX Runtime carry the numbers of the file format.
    private static ValueDescription Describe(string name, NodeMetadata metadata) => metadata.IsTensor
        ? new(name, (DataType)(int)metadata.ElementDataType, [.. metadata.Dimensions.Select(d => (long)d)])
        : new(name, DataType.Undefined, null);

    /// <summary>A model whose inputs were made float16 is given what the original is given.</summary>
    private Tensor Fitted(string name, Tensor tensor)
    {
        if (tensor.Type != DataType.Float || !_session.InputMetadata.TryGetValue(name, out var input) || !input.IsTensor || input.ElementDataType != TensorElementType.Float16)
            return tensor;
        var halves = new Half[tensor.Count];
        System.Numerics.Tensors.TensorPrimitives.ConvertToHalf(tensor.As<float>(), halves);
        return Tensor.Of<Half>(DataType.Float16, tensor.Shape, halves);
    }

    private static OrtValue ToOrtValue(Tensor tensor, List<GCHandle> pins)
    {
        var pin = GCHandle.Alloc(tensor.Bytes, GCHandleType.Pinned);
        pins.Add(pin);
        return OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, (TensorElementType)(int)tensor.Type, tensor.Shape, pin.AddrOfPinnedObject(), tensor.Bytes.Length);
    }

    private static SessionOptions Options(SessionSettings settings)
    {
        var options = new SessionOptions
        {
            IntraOpNumThreads = settings.Threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = settings.Optimize ? GraphOptimizationLevel.ORT_ENABLE_ALL : GraphOptimizationLevel.ORT_DISABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        if (settings.KeepPairs)
            options.AddSessionConfigEntry("session.disable_quant_qdq", "1");
        if (settings.OptimizedModelPath is not null)
            options.OptimizedModelFilePath = settings.OptimizedModelPath;
        return options;
    }
}

/// <summary>Looks at one output of a run.</summary>
internal delegate void OutputVisitor(string name, DataType type, long[] shape, ReadOnlySpan<byte> bytes);
