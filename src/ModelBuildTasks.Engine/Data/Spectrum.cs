using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Takes spectra of windows of one size.</summary>
internal sealed class Spectrum
{
    private readonly FourierTransform _transform;
    private readonly SpectrumForm _form;
    private readonly double[] _taper;
    private readonly double[] _values;

    public Spectrum(int size, SpectrumOptions options)
    {
        (_transform, _form) = (new(size), options.Form);
        _values = new double[size];
        _taper = new double[size];
        for (var n = 0; n < size; n++)
            _taper[n] = Weight(options.Taper, n, size);
    }

    /// <summary>The spectrum of a window, in the order of <see cref="SpectrumForm"/>.</summary>
    public void Of(ReadOnlySpan<float> window, Span<float> target)
    {
        for (var n = 0; n < _values.Length; n++)
            _values[n] = window[n] * _taper[n];
        var bins = _transform.OfReal(_values);
        for (var k = 0; k < bins.Length; k++)
        {
            if (_form == SpectrumForm.Magnitude)
                target[k] = (float)bins[k].Magnitude;
            else
                (target[2 * k], target[2 * k + 1]) = ((float)bins[k].Real, (float)bins[k].Imaginary);
        }
    }

    // ½ − ½·cos(2πn/size) = sin²(πn/size), whose root has no rounding below 0.
    private static double Weight(Taper taper, int n, int size)
    {
        var sine = Math.Sin(Math.PI * n / size);
        return taper switch { Taper.Hann => sine * sine, Taper.SqrtHann => sine, _ => 1 };
    }
}
