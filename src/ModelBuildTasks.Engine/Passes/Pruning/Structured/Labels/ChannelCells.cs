namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>
/// Union-find over cells. A cell is an index on an axis; cells of one class can only be removed together, and those of a pinned class not at all.
/// The cell <see cref="Fixed"/> stands for indices that always stay.
/// </summary>
internal sealed class ChannelCells
{
    /// <summary>What cannot be removed.</summary>
    public const int Fixed = -1;

    private readonly List<int> _parents = [];
    private readonly List<int> _pins = [];

    /// <summary>Number of cells.</summary>
    public int Count => _parents.Count;

    /// <summary>New cells, each a class of its own.</summary>
    public int[] Fresh(int count)
    {
        var cells = new int[count];
        for (var i = 0; i < count; i++)
        {
            cells[i] = _parents.Count;
            _parents.Add(cells[i]);
            _pins.Add(-1);
        }

        return cells;
    }

    /// <summary>The class of a cell.</summary>
    public int Find(int cell)
    {
        if (cell < 0)
            return Fixed;
        while (_parents[cell] != cell)
            cell = _parents[cell] = _parents[_parents[cell]];
        return cell;
    }

    /// <summary>Number of the barrier that pins a cell's class; -1 where none does.</summary>
    public int Pin(int cell) => Find(cell) is var root and >= 0 ? _pins[root] : 0;

    /// <summary>Cells go together from now on. The least cell stands for the class, so that the order of unions does not matter.</summary>
    public void Union(int first, int second)
    {
        (first, second) = (Find(first), Find(second));
        if (first == second)
            return;
        if (second < first)
            (first, second) = (second, first);
        _parents[second] = first;
        if (_pins[first] < 0 || (_pins[second] >= 0 && _pins[second] < _pins[first]))
            _pins[first] = _pins[second];
    }

    /// <summary>A class stays; the first barrier is remembered.</summary>
    public void Pin(int cell, int barrier)
    {
        var root = Find(cell);
        if (root >= 0 && _pins[root] < 0)
            _pins[root] = barrier;
    }
}
