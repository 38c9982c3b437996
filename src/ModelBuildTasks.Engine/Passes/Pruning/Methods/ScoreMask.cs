using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Passes.Pruning.Methods;

/// <summary>Masks by scores of single weights that do not depend on what else goes: magnitude and Wanda.</summary>
internal static class ScoreMask
{
    /// <summary>w², or with <paramref name="method"/> Wanda w²·E[x²], the square of |w|·‖x‖ (Sun et al. 2023), in the order of the tensor.</summary>
    public static double[] Scores(SparseLayer layer, PruneMethod method)
    {
        var scores = new double[layer.Values.Length];
        for (var row = 0; row < layer.Rows.Count; row++)
        {
            var squares = method == PruneMethod.Wanda ? layer.Squares[layer.Rows.Group(row)] : [];
            for (var c = 0; c < layer.Rows.Columns; c++)
            {
                var i = layer.Rows.Index(row, c);
                scores[i] = (double)layer.Values[i] * layer.Values[i] * (squares.Length > 0 ? squares[c] : 1);
            }
        }

        return scores;
    }

    /// <summary>The weights that become zero, in the order of the tensor: those of the least scores, as many as asked for, or as the pattern says.</summary>
    /// <param name="layer">The weight.</param>
    /// <param name="scores">A score for each weight.</param>
    /// <param name="clear">How many weights become zero; of a pattern it says nothing.</param>
    /// <param name="within">Rows that are compared with one another: Wanda compares within each output, magnitude within the layer.</param>
    public static bool[] Choose(SparseLayer layer, double[] scores, long clear, ComparedWithin within)
    {
        var (rows, shape, order) = (layer.Rows, layer.Shape, layer.Order);
        var mask = new bool[scores.Length];
        var units = Units(layer, scores);
        var perRow = rows.Columns / shape.Columns;
        var strips = rows.Count / shape.Rows;
        void Clear(int strip, int unit)
        {
            for (var r = 0; r < shape.Rows; r++)
            {
                for (var c = 0; c < shape.Columns; c++)
                    mask[rows.Index(strip * shape.Rows + r, order[unit * shape.Columns + c])] = true;
            }
        }

        if (shape.IsPattern)
        {
            for (var row = 0; row < rows.Count; row++)
            {
                for (var start = 0; start < perRow; start += shape.Group)
                {
                    foreach (var unit in Least(units.AsSpan(row * perRow + start, shape.Group).ToArray(), shape.Group - shape.Keep))
                        Clear(row, start + unit);
                }
            }

            return mask;
        }

        var size = shape.Rows * shape.Columns;
        if (within == ComparedWithin.Layer)
        {
            foreach (var i in Least(units, (int)(clear / size)))
                Clear(i / perRow, i % perRow);
            return mask;
        }

        for (var strip = 0; strip < strips; strip++)
        {
            // Rounded so that the layer has as many zeros as were asked for.
            var count = (int)((Int128)(clear / size) * (strip + 1) / strips - (Int128)(clear / size) * strip / strips);
            foreach (var unit in Least(units.AsSpan(strip * perRow, perRow).ToArray(), count))
                Clear(strip, unit);
        }

        return mask;
    }

    /// <summary>The scores of what becomes zero together, single weights or blocks: [strips of rows, blocks of a row].</summary>
    public static double[] Units(SparseLayer layer, double[] scores)
    {
        var (rows, shape, order) = (layer.Rows, layer.Shape, layer.Order);
        var perRow = rows.Columns / shape.Columns;
        var units = new double[rows.Count / shape.Rows * perRow];
        for (var row = 0; row < rows.Count; row++)
        {
            for (var i = 0; i < rows.Columns; i++)
                units[row / shape.Rows * perRow + i / shape.Columns] += scores[rows.Index(row, order[i])];
        }

        return units;
    }

    /// <summary>Indexes of the least scores; of equal ones those that come first.</summary>
    public static ReadOnlySpan<int> Least(double[] scores, int count)
    {
        var index = new int[scores.Length];
        for (var i = 0; i < index.Length; i++)
            index[i] = i;
        index.AsSpan().Sort((a, b) => scores[a] != scores[b] ? scores[a].CompareTo(scores[b]) : a.CompareTo(b));
        return index.AsSpan(0, Math.Min(count, index.Length));
    }

    /// <summary>The weight with zeros where the mask says.</summary>
    public static float[] Apply(float[] values, bool[] mask)
    {
        var result = new float[values.Length];
        for (var i = 0; i < result.Length; i++)
            result[i] = mask[i] ? 0 : values[i];
        return result;
    }
}

/// <summary>Which scores are compared with one another.</summary>
internal enum ComparedWithin
{
    /// <summary>Those of an output channel.</summary>
    Row,

    /// <summary>All of a weight.</summary>
    Layer,
}
