namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Keeps the payloads that <see cref="TensorProto.PayloadRef"/> names. A model and its clones share one store, so that a
/// pass copies the graph and not the weights. What passes computed is in memory up to <see cref="MemoryBudget"/>, and beyond it in a file.
/// </summary>
internal sealed class PayloadStore : IDisposable
{
    // Shapes and scalars are read all the time.
    private const int NeverSpilled = 4096;

    private readonly List<Payload> _payloads = [];
    private readonly List<SourceFile> _files = [];
    private readonly Lock _lock = new();
    private SpillFile? _spill;

    /// <summary>Bytes of computed payloads that stay in memory.</summary>
    public long MemoryBudget { get; set; } = 256L << 20;

    /// <summary>Where payloads beyond the budget go: a folder on a disk with room for the result.</summary>
    public string SpillFolder { get; set; } = Path.GetTempPath();

    /// <summary>Bytes of computed payloads in memory.</summary>
    public long HeldBytes { get; private set; }

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
    /// <exception cref="Diagnostics.ModelBuildException">MBT2035: memory has no room for it, and neither has the disk.</exception>
    public long Add(ReadOnlyMemory<byte> bytes)
    {
        SpillFile? spill = null;
        lock (_lock)
        {
            if (bytes.Length <= NeverSpilled || HeldBytes + bytes.Length <= MemoryBudget)
                HeldBytes += bytes.Length;
            else
                spill = _spill ??= new SpillFile(SpillFolder);
        }

        return Add(spill is null ? new MemoryPayload(bytes) : spill.Add(bytes.Span));
    }

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
        {
            _files.ForEach(f => f.Dispose());
            _spill?.Dispose();
        }
    }
}
