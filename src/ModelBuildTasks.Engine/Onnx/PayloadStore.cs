namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Keeps the payloads that <see cref="TensorProto.PayloadRef"/> names. A model and its clones share one store, so that a
/// pass copies the graph and not the weights.
/// </summary>
internal sealed class PayloadStore : IDisposable
{
    private readonly List<Payload> _payloads = [];
    private readonly List<SourceFile> _files = [];
    private readonly Lock _lock = new();

    /// <summary>Adds a payload and returns its key.</summary>
    public long Add(Payload payload)
    {
        lock (_lock)
        {
            _payloads.Add(payload);
            return _payloads.Count - 1;
        }
    }

    /// <summary>Adds raw data that a pass computed and returns its key.</summary>
    public long Add(ReadOnlyMemory<byte> bytes) => Add(new MemoryPayload(bytes));

    /// <summary>The payload of a key.</summary>
    public Payload this[long key]
    {
        get
        {
            lock (_lock)
                return _payloads[checked((int)key)];
        }
    }

    /// <summary>Full or given paths of the files that payloads point into, in the order in which they were opened: the model file first.</summary>
    internal IReadOnlyList<string> Files
    {
        get
        {
            lock (_lock)
                return [.. _files.Select(f => f.Path)];
        }
    }

    internal SourceFile Open(string path)
    {
        lock (_lock)
        {
            var file = _files.Find(f => f.Path == path);
            if (file is null)
                _files.Add(file = new SourceFile(path));
            return file;
        }
    }

    /// <summary>Closes the files that payloads point into.</summary>
    public void Dispose()
    {
        lock (_lock)
            _files.ForEach(f => f.Dispose());
    }
}
