using System.Numerics;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The discrete Fourier transform X[k] = Σ x[n]·e^(−2πi·kn/size) in double, by the size's prime factors (Cooley and Tukey, 1965).</summary>
internal sealed class FourierTransform
{
    private readonly int _size;
    private readonly Complex[] _roots;
    private readonly Complex[] _terms;
    private readonly Complex[] _result;

    /// <param name="size">Values; any number from 1. A large prime factor costs with its square.</param>
    public FourierTransform(int size)
    {
        _size = size;
        _roots = new Complex[size];
        for (var k = 0; k < size; k++)
        {
            var (sine, cosine) = Math.SinCos(2 * Math.PI * k / size);
            _roots[k] = new(cosine, -sine);
        }

        _terms = new Complex[size];
        _result = new Complex[size];
    }

    /// <summary>Bins 0 to size/2 of real values; the span ends with the next call.</summary>
    public ReadOnlySpan<Complex> OfReal(ReadOnlySpan<double> values)
    {
        Transform(values, 0, 1, _result);
        return _result.AsSpan(0, _size / 2 + 1);
    }

    // The transform of every stride-th value from an offset on.
    private void Transform(ReadOnlySpan<double> values, int offset, int stride, Span<Complex> result)
    {
        var size = result.Length;
        if (size == 1)
        {
            result[0] = values[offset];
            return;
        }

        var parts = SmallestFactor(size);
        var length = size / parts;
        for (var r = 0; r < parts; r++)
            Transform(values, offset + r * stride, stride * parts, result.Slice(r * length, length));
        var terms = _terms.AsSpan(0, parts);
        for (var k = 0; k < length; k++)
        {
            for (var r = 0; r < parts; r++)
                terms[r] = result[r * length + k] * _roots[(long)r * k * stride % _size];
            for (var q = 0; q < parts; q++)
            {
                var sum = terms[0];
                for (var r = 1; r < parts; r++)
                    sum += terms[r] * _roots[(long)r * q * (_size / parts) % _size];
                result[q * length + k] = sum;
            }
        }
    }

    private static int SmallestFactor(int number)
    {
        for (var factor = 2; factor * factor <= number; factor++)
        {
            if (number % factor == 0)
                return factor;
        }

        return number;
    }
}
