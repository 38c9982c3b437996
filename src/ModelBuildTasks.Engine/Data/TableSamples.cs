using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Columns of a csv or tsv file; rows are found once and read by offset.</summary>
internal sealed class TableSamples : SampleSource
{
    private readonly TableSource _plan;
    private readonly long[] _rows;
    private readonly int _firstRow;
    private readonly int[] _columns;

    private TableSamples(TableSource plan, DataType type, long[] rows, int firstRow, int[] columns) =>
        (_plan, Type, _rows, _firstRow, _columns) = (plan, type, rows, firstRow, columns);

    public override SourceLocation Location => _plan.Location;

    public override long Count => _rows.Length - 1 - _firstRow;

    public override DataType Type { get; }

    public override long[] SampleShape => [_columns.Length];

    public override string Description => $"'{Path.GetFileName(_plan.Path)}' gives rows of {_columns.Length} values";

    /// <summary>Opens a table and finds its columns.</summary>
    /// <param name="plan">What to read.</param>
    /// <param name="type">What numbers become: int64 or float64.</param>
    public static TableSamples Open(TableSource plan, DataType type)
    {
        try
        {
            long[] rows;
            using (var stream = new FileStream(plan.Path, FileMode.Open, FileAccess.Read, FileShare.Read, 1))
                rows = TableText.FindRows(stream, (byte)plan.Separator);
            if (rows.Length == 1)
                throw DatasetError.Empty($"The dataset file '{Path.GetFileName(plan.Path)}' has no rows", plan.Location);

            using var file = File.OpenHandle(plan.Path);
            var first = Row(file, rows, 0, plan.Separator);
            var second = rows.Length > 2 ? Row(file, rows, 1, plan.Separator) : null;
            var header = HasHeader(plan, first, second);
            var columns = Columns(plan, first, header);
            if (rows.Length == 2 && header)
                throw DatasetError.Empty($"The dataset file '{Path.GetFileName(plan.Path)}' has a header and no rows", plan.Location);
            return new(plan, type, rows, header ? 1 : 0, columns);
        }
        catch (Exception fault) when (fault is FormatException || DatasetError.IsFileFault(fault))
        {
            throw DatasetError.Unreadable(plan.Path, fault.Message, plan.Location, fault);
        }
    }

    public override ISampleReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        hash.Add($"{_plan.Separator}{_firstRow}");
        hash.Add(_columns.Select(c => (long)c));
        foreach (var name in _plan.Classes)
            hash.Add(name);
        hash.AddFile(_plan.Path, Location);
    }

    private static bool HasHeader(TableSource plan, List<string> first, List<string>? second)
    {
        if (plan.Header is { } told)
            return told;
        if (plan.Columns.Any(c => !IsIndex(c, out _)))
            return true;
        // Both rows looked at in full, so that inputs and labels from one file come to the same answer.
        if (second is null)
            return !first.Any(IsNumber);
        if (first.Zip(second).Any(f => !IsNumber(f.First) && IsNumber(f.Second)))
            return true;
        return plan.Classes.Count > 0 && !first.Any(IsNumber) && plan.Columns.Any(c => IsIndex(c, out var column)
            && column < first.Count && !plan.Classes.Contains(first[column].Trim())
            && column < second.Count && plan.Classes.Contains(second[column].Trim()));
    }

    private static int[] Columns(TableSource plan, List<string> first, bool header)
    {
        if (plan.Columns.Count == 0)
            return [.. Enumerable.Range(0, first.Count)];
        var names = header ? first.Select(f => f.Trim()).ToList() : [];
        return [.. plan.Columns.Select(column =>
        {
            var index = names.IndexOf(column.Trim());
            if (index < 0 && !IsIndex(column, out index))
                throw new FormatException($"it has no column '{column}'.{NearestName.Hint(column, names)}");
            return index < first.Count ? index : throw new FormatException($"it has no column {index}: its first row has {first.Count} columns, counted from 0");
        })];
    }

    private static bool IsIndex(string column, out int index) => int.TryParse(column, NumberStyles.None, CultureInfo.InvariantCulture, out index);

    private static bool IsNumber(string field) => double.TryParse(field, NumberStyles.Float, CultureInfo.InvariantCulture, out _);

    private static List<string> Row(SafeFileHandle file, long[] rows, long row, char separator)
    {
        // Blank lines may follow the row; a row itself is never longer.
        var bytes = new byte[Math.Min(rows[row + 1] - rows[row], TableText.LongestRow)];
        for (var done = 0; done < bytes.Length;)
        {
            var read = RandomAccess.Read(file, bytes.AsSpan(done), rows[row] + done);
            if (read == 0)
                throw new FormatException("it became shorter while it was read");
            done += read;
        }

        return TableText.Fields(Encoding.UTF8.GetString(bytes), separator);
    }

    private long LineOf(long row)
    {
        using var stream = new FileStream(_plan.Path, FileMode.Open, FileAccess.Read, FileShare.Read);
        long line = 1;
        for (var left = _rows[row]; left > 0; left--)
            line += stream.ReadByte() == '\n' ? 1 : 0;
        return line;
    }

    private sealed class Reader(TableSamples table) : ISampleReader
    {
        private readonly SafeFileHandle _file = Open(table);

        public void Read(long index, Span<byte> destination)
        {
            var row = index + table._firstRow;
            try
            {
                var fields = Row(_file, table._rows, row, table._plan.Separator);
                for (var i = 0; i < table._columns.Length; i++)
                {
                    var column = table._columns[i];
                    if (column >= fields.Count)
                        throw new FormatException($"line {table.LineOf(row)} has {fields.Count} columns; column {column} (from 0) is asked for");
                    Write(fields[column].Trim(), row, column, destination[(i * 8)..]);
                }
            }
            catch (Exception fault) when (fault is FormatException || DatasetError.IsFileFault(fault))
            {
                throw DatasetError.Unreadable(table._plan.Path, fault.Message, table.Location, fault);
            }
        }

        public void Dispose() => _file.Dispose();

        private static SafeFileHandle Open(TableSamples table)
        {
            try
            {
                return File.OpenHandle(table._plan.Path);
            }
            catch (Exception fault) when (DatasetError.IsFileFault(fault))
            {
                throw DatasetError.Unreadable(table._plan.Path, fault.Message, table.Location, fault);
            }
        }

        private void Write(string field, long row, int column, Span<byte> destination)
        {
            if (table._plan.Classes.Count > 0)
                BinaryPrimitives.WriteInt64LittleEndian(destination, Class(field, row));
            else if (table.Type == DataType.Int64 && long.TryParse(field, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
                BinaryPrimitives.WriteInt64LittleEndian(destination, whole);
            else if (!double.TryParse(field, NumberStyles.Float, CultureInfo.InvariantCulture, out var value))
                throw new FormatException($"line {table.LineOf(row)}, column {column}: '{Shortened(field)}' is not a number");
            else if (table.Type == DataType.Double)
                BinaryPrimitives.WriteDoubleLittleEndian(destination, value);
            else if (Math.Round(value) == value && Math.Abs(value) < 1L << 53)
                BinaryPrimitives.WriteInt64LittleEndian(destination, (long)value);
            else
                throw new FormatException($"line {table.LineOf(row)}, column {column}: '{Shortened(field)}' is not a whole number");
        }

        private long Class(string field, long row)
        {
            for (var i = 0; i < table._plan.Classes.Count; i++)
            {
                if (table._plan.Classes[i] == field)
                    return i;
            }

            throw DatasetError.DoesNotFit(
                $"'{Path.GetFileName(table._plan.Path)}' line {table.LineOf(row)}: the class '{Shortened(field)}' is not among 'classes'.{NearestName.Hint(field, table._plan.Classes)}",
                table.Location);
        }

        private static string Shortened(string field) => field.Length <= 40 ? field : field[..40] + "…";
    }
}
