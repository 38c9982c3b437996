using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ModelBuildTasks.Engine.Hashing;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Gram matrices as files, one each: they are large, and another choice of forms asks for others of them. A file is a mark, whether the
/// matrix is valid, its number of rows, then (where it is valid) its content as float64, bit by bit, and SHA-256 of all of it. Its length
/// follows from the geometry that is asked for, and nothing is read from a file of another length.
/// </summary>
/// <param name="directory">The cache's folder.</param>
/// <param name="key">The hash of the model and the data, which holds the processor's architecture, too: numbers are in its byte order.</param>
internal sealed class GramFiles(string directory, string key)
{
    private const int HeadBytes = 17;

    private static ReadOnlySpan<byte> Mark => "MBTGRAM1"u8;

    /// <summary>Fills a matrix that saw nothing yet; one that is not there, or is damaged, stays as it is.</summary>
    /// <returns>Whether it was there.</returns>
    public bool Read(GramMatrix matrix)
    {
        if (StatisticsFile.Read(PathOf(matrix), FileBytes(matrix, valid: true), file => Read(matrix, file)))
            return true;
        matrix.Restore(0, fits: true);
        return false;
    }

    /// <summary>Stores a complete matrix, unless it is larger than any that should be.</summary>
    public void Write(GramMatrix matrix)
    {
        if (GramMatrix.Bytes(matrix.Geometry) <= GramMatrix.MaximumBytes)
            StatisticsFile.Write(PathOf(matrix), file => Write(matrix, file));
    }

    private string PathOf(GramMatrix matrix) =>
        Path.Combine(directory, ContentHash.OfText($"gram\n{key}\n{matrix.Graph}\n{matrix.Value}\n{matrix.Geometry.Key}") + ".gram");

    private static long FileBytes(GramMatrix matrix, bool valid)
    {
        var (groups, columns) = ((long)matrix.Geometry.Groups, (long)matrix.Geometry.Columns);
        return HeadBytes + (valid ? sizeof(double) * groups * (columns * (columns + 1) / 2 + columns) : 0) + SHA256.HashSizeInBytes;
    }

    private static void Write(GramMatrix matrix, FileStream file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> head = stackalloc byte[HeadBytes];
        Mark.CopyTo(head);
        head[8] = matrix.IsValid ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt64LittleEndian(head[9..], matrix.IsValid ? matrix.Rows : 0);
        Add(head);
        if (matrix.IsValid)
        {
            foreach (var part in matrix.Content)
                Add(MemoryMarshal.AsBytes(part.Span));
        }

        file.Write(hash.GetHashAndReset());

        void Add(ReadOnlySpan<byte> bytes)
        {
            file.Write(bytes);
            hash.AppendData(bytes);
        }
    }

    private static bool Read(GramMatrix matrix, FileStream file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> head = stackalloc byte[HeadBytes];
        file.ReadExactly(head);
        hash.AppendData(head);
        var (valid, rows) = (head[8] == 1, BinaryPrimitives.ReadInt64LittleEndian(head[9..]));
        if (!head.StartsWith(Mark) || head[8] > 1 || file.Length != FileBytes(matrix, valid) || valid != rows > 0)
            return false;
        matrix.Restore(rows, fits: valid);
        foreach (var part in matrix.Content)
        {
            var bytes = MemoryMarshal.AsBytes(part.Span);
            file.ReadExactly(bytes);
            hash.AppendData(bytes);
        }

        Span<byte> seal = stackalloc byte[SHA256.HashSizeInBytes];
        file.ReadExactly(seal);
        return seal.SequenceEqual(hash.GetHashAndReset()) && (!valid || IsPossible(matrix));
    }

    /// <summary>
    /// Whether it can be a sum of x·xᵀ: by Cauchy and Schwarz, Gij² ≤ Gii·Gjj and mi² ≤ n·Gii, up to the rounding of float sums. A decomposition
    /// of what is far from it, or is not finite, might not end.
    /// </summary>
    private static bool IsPossible(GramMatrix matrix)
    {
        const double Rounding = 1e-3, Underflow = 1e-40;
        var content = matrix.Content.ToList();
        for (var i = 0; i < content.Count - 1; i++)
        {
            var row = content[i].Span;
            var sum = content[^1].Span[i];
            if (!(row[0] >= 0) || !double.IsFinite(row[0]) || !(sum * sum <= (double)matrix.Rows * (row[0] * (1 + Rounding) + matrix.Rows * Underflow)))
                return false;
            var root = Math.Sqrt(row[0]) * (1 + Rounding);
            for (var j = 1; j < row.Length; j++)
            {
                // Also false for NaN.
                if (!(Math.Abs(row[j]) <= root * Math.Sqrt(content[i + j].Span[0]) + matrix.Rows * Underflow))
                    return false;
            }
        }

        return true;
    }
}
