using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>
/// Codes on an evenly spaced grid, for packages that are entropy-coded: there a uniform quantizer is within 0.25 bit of the best that any can do
/// (Gish and Pierce 1968), and values that are rare cost much and values that are frequent little whatever the palette. Where the inputs are known,
/// an input channel whose errors others can make up for gets a wider step: nearest plane makes Σ (Lⱼⱼ·stepⱼ)²/12 of error, which for
/// the same Σ log2 stepⱼ is least where all terms are equal.
/// </summary>
/// <param name="weight">The weight.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class SteppedSearch(ClusterWeight weight, int threads)
{
    // Steps of channels differ by at most so much from their geometric mean: calibration data is not all data.
    private const double Widest = 4;

    // Of the logarithm of what theory says so much is taken: on photos that were held out 1.2 dB better than all of it, and 1.7 dB than none.
    private const double Trust = 0.5;

    private readonly ParallelOptions _parallel = new() { MaxDegreeOfParallelism = Math.Max(1, threads) };
    private readonly QuadraticForm[] _forms = weight.Forms(threads);
    private double[]? _shares;
    private double? _leastStep;

    /// <summary>Codes rounded to nearest at a step, which is the geometric mean of the channels' steps.</summary>
    public SteppedWeight Nearest(double step) => Codes(step, (steps, row, into) =>
    {
        for (var c = 0; c < into.Length; c++)
            into[c] = Math.Clamp(Math.Round(Value(row, c) / steps[c]), -SteppedWeight.Limit, SteppedWeight.Limit);
    });

    /// <summary>Codes for the least output error at a step; to nearest where the inputs are not known.</summary>
    public SteppedWeight Round(double step) => _forms.Length == 0 ? Nearest(step) : Codes(step, (steps, row, into) =>
    {
        var wanted = new double[into.Length];
        var (form, grid) = (_forms[weight.Rows!.Group(row)], new StepGrid(steps, weight.KeepsZeros ? wanted : null));
        var (nearest, plane) = (new double[into.Length], new double[into.Length]);
        for (var c = 0; c < wanted.Length; c++)
        {
            wanted[c] = Value(row, c);
            nearest[c] = grid.Nearest(c, wanted[c]) - wanted[c];
        }

        var least = form.CoordinateDescent(wanted, grid, nearest);
        form.NearestPlane(wanted, grid, plane);
        var best = form.CoordinateDescent(wanted, grid, plane) < least ? plane : nearest;
        for (var c = 0; c < into.Length; c++)
            into[c] = Math.Round((wanted[c] + best[c]) / steps[c]);
    });

    /// <summary>The least step at which no code is cut off.</summary>
    public double LeastStep => _leastStep ??= FindLeastStep();

    private float Value(int row, int column) => weight.Values[weight.Rows is null ? row * RowLength + column : weight.Rows.Index(row, column)];

    private int RowLength => weight.Rows?.Columns ?? weight.Values.Length / Rows;

    private int Rows => weight.Rows?.Count ?? (int)Math.Max(1, weight.Weight.Tensor.Dims[0]);

    private int InputAxis => weight.Weight.Node.OpType switch
    {
        "Conv" => 1,
        "ConvTranspose" => 0,
        "LSTM" or "GRU" or "RNN" => 2,
        _ => weight.Weight.Tensor.Dims.Count == 2 ? 1 - weight.Weight.ChannelAxis : 0,
    };

    private SteppedWeight Codes(double step, Action<double[], int, double[]> round)
    {
        _shares ??= Shares();
        // Below this float16 has too few digits for a scale.
        var halves = step * _shares.Min() > 1e-4;
        float[] scales = [.. _shares.Select(s => halves ? (float)(Half)(step * s) : Math.Max((float)(step * s), 1e-30f))];
        var taps = scales.Length == 1 ? RowLength : RowLength / scales.Length;
        var steps = new double[RowLength];
        for (var c = 0; c < steps.Length; c++)
            steps[c] = scales[c / taps];
        var codes = new sbyte[weight.Values.Length];
        Parallel.For(0, Rows, _parallel, row =>
        {
            var found = new double[steps.Length];
            round(steps, row, found);
            for (var c = 0; c < found.Length; c++)
                codes[weight.Rows is null ? row * RowLength + c : weight.Rows.Index(row, c)] = (sbyte)found[c];
        });
        return new(codes, scales, InputAxis);
    }

    private double FindLeastStep()
    {
        _shares ??= Shares();
        var taps = _shares.Length == 1 ? RowLength : RowLength / _shares.Length;
        double most = 0;
        for (var row = 0; row < Rows; row++)
        {
            for (var c = 0; c < RowLength; c++)
                most = Math.Max(most, Math.Abs(Value(row, c)) / _shares[c / taps]);
        }

        return most > 0 ? most / SteppedWeight.Limit : 1;
    }

    /// <summary>The steps of the input channels, with a geometric mean of 1; [1] where they do not differ.</summary>
    private double[] Shares()
    {
        if (_forms.Length != 1)
            return [1];
        var remainders = _forms[0].Remainders();
        var channels = (int)weight.Weight.Tensor.Dims[InputAxis];
        if (channels < 2 || remainders.Length % channels != 0)
            return [1];
        var taps = remainders.Length / channels;
        var logs = new double[channels];
        for (var c = 0; c < remainders.Length; c++)
            logs[c / taps] -= Trust * Math.Log2(Math.Max(remainders[c], 1e-30)) / taps;
        var mean = logs.Average();
        // A few steps an octave: the scales themselves then take few bits.
        var shares = logs.Select(l => Math.Pow(2, Math.Round(Math.Clamp(l - mean, -Math.Log2(Widest), Math.Log2(Widest)) * 4) / 4)).ToArray();
        return Array.TrueForAll(shares, s => s == shares[0]) ? [1] : shares;
    }
}
