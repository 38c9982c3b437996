using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Lowering;

/// <summary>One step of an LSTM, GRU or RNN, as the operators are specified.</summary>
internal sealed class RecurrentCell(GraphBuilder b, IReadOnlyList<string> activations, long hidden, string recurrence, string? bias, bool resetBehind)
{
    private readonly string _transposed = b.Transpose(recurrence, 1, 0);
    private string[]? _parts;
    private string[]? _biasParts;

    /// <summary>
    /// Adds the bias of the inputs, and that of the state where it can be added before the steps: for all but the GRU's last gate, whose
    /// state is reset first.
    /// </summary>
    public string AddBias(string inputs, string? inputBias)
    {
        if (inputBias is null || bias is null)
            return inputs;
        if (!resetBehind)
            return b.Add(inputs, b.Add(inputBias, bias));
        return b.Add(inputs, inputBias);
    }

    /// <summary>From the inputs' part of the gates [batch, gates · hidden] and the state to the next state.</summary>
    public (string H, string? C) Step(int gates, string x, string h, string? c) => gates switch
    {
        4 => Lstm(x, h, c!),
        3 => (Gru(x, h), null),
        _ => (Activate(0, b.Add(x, Recur(h, _transposed))), null),
    };

    private string Recur(string h, string weight) => b.MatMul(h, weight);

    private string Activate(int i, string x) => b.Op(activations[i], x);

    // Gates in the order input, output, forget, cell.
    private (string H, string C) Lstm(string x, string h, string c)
    {
        var sums = b.Split(b.Add(x, Recur(h, _transposed)), [hidden, hidden, hidden, hidden], 1);
        var (input, output, forget, cell) = (Activate(0, sums[0]), Activate(0, sums[1]), Activate(0, sums[2]), Activate(1, sums[3]));
        var next = b.Add(b.Mul(forget, c), b.Mul(input, cell));
        return (b.Mul(output, Activate(2, next)), next);
    }

    // Gates in the order update, reset, hidden.
    private string Gru(string x, string h)
    {
        _parts ??= b.Split(_transposed, [2 * hidden, hidden], 1);
        var inputs = b.Split(x, [2 * hidden, hidden], 1);
        var recurrent = Recur(h, _parts[0]);
        if (resetBehind && bias is not null)
        {
            _biasParts ??= b.Split(bias, [2 * hidden, hidden], 0);
            recurrent = b.Add(recurrent, _biasParts[0]);
        }

        var both = b.Split(Activate(0, b.Add(inputs[0], recurrent)), [hidden, hidden], 1);
        var (update, reset) = (both[0], both[1]);
        string state;
        if (resetBehind)
        {
            var moved = Recur(h, _parts[1]);
            state = b.Mul(reset, _biasParts is null ? moved : b.Add(moved, _biasParts[1]));
        }
        else
        {
            state = Recur(b.Mul(reset, h), _parts[1]);
        }

        var fresh = Activate(1, b.Add(inputs[1], state));
        return b.Add(fresh, b.Mul(update, b.Sub(h, fresh)));
    }
}
