using Microsoft.Win32.SafeHandles;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// A temporary file for what passes computed and memory has no room for. It has no name from the start where the system allows that, and is
/// deleted with the last handle elsewhere, so that nothing stays behind however the process ends.
/// </summary>
internal sealed class SpillFile : IDisposable
{
    private readonly string _folder;
    private readonly SafeFileHandle _handle;
    private long _length;

    /// <exception cref="ModelBuildException">MBT2035: it cannot be made.</exception>
    public SpillFile(string folder)
    {
        _folder = folder;
        var path = Path.Combine(folder, $".{Path.GetRandomFileName()}.spill");
        try
        {
            Directory.CreateDirectory(folder);
            _handle = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete, FileOptions.DeleteOnClose);
            if (!OperatingSystem.IsWindows())
                File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _handle?.Dispose();
            throw Failed(e);
        }
    }

    /// <summary>Writes bytes behind what is there, from several threads at a time.</summary>
    /// <exception cref="ModelBuildException">MBT2035: the disk is full, or failed.</exception>
    public Payload Add(ReadOnlySpan<byte> bytes)
    {
        var offset = Interlocked.Add(ref _length, bytes.Length) - bytes.Length;
        try
        {
            RandomAccess.Write(_handle, bytes, offset);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failed(e);
        }

        return new SpilledPayload(this, offset, bytes.Length);
    }

    public void Dispose() => _handle.Dispose();

    private ModelBuildException Failed(Exception e) => new(DiagnosticCodes.CannotSpill,
        $"tensors that do not fit into memory cannot be kept in a temporary file in '{_folder}': {e.Message}", inner: e);

    private sealed class SpilledPayload(SpillFile file, long offset, long length) : Payload
    {
        public override long Length => length;

        public override void Read(long start, Span<byte> destination)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(start + destination.Length, length);
            for (var at = offset + start; !destination.IsEmpty;)
            {
                var read = RandomAccess.Read(file._handle, destination, at);
                if (read == 0)
                    throw file.Failed(new EndOfStreamException("it ended early"));
                at += read;
                destination = destination[read..];
            }
        }
    }
}
