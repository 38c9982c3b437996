namespace ModelBuildTasks.Engine.Validation;

/// <summary>Sums over samples, from which all metrics follow. Batches are added in sample order, so that the result is the same on any thread count.</summary>
internal sealed class Tally(int tops)
{
    /// <summary>Metrics in dB end here, so that equal outputs have a finite value.</summary>
    public const double MaxDecibels = 200;

    public long Samples { get; set; }

    /// <summary>Elements of float outputs that are numbers in both models.</summary>
    public long Values { get; set; }

    /// <summary>Elements that are NaN or infinite in the artifact and a number in the original.</summary>
    public long NonFinite { get; set; }

    public double Signal { get; set; }

    public double Noise { get; set; }

    public double Power { get; set; }

    public double Dot { get; set; }

    public long Decisions { get; set; }

    public long Agreed { get; set; }

    public long Labels { get; set; }

    public long[] ReferenceHits { get; } = new long[tops];

    public long[] CompressedHits { get; } = new long[tops];

    public long Likelihoods { get; set; }

    public double ReferenceNll { get; set; }

    public double CompressedNll { get; set; }

    /// <summary>Why accuracy or likelihood cannot be computed, or null.</summary>
    public string? LabelProblem { get; set; }

    /// <summary>Why agreement cannot be computed, or null.</summary>
    public string? AgreementProblem { get; set; }

    /// <summary>Why the likelihood of next tokens cannot be computed, or null.</summary>
    public string? TokenProblem { get; set; }

    public double Sqnr => Noise == 0 ? MaxDecibels : Math.Clamp(10 * Math.Log10(Signal / Noise), -MaxDecibels, MaxDecibels);

    public double Cosine => Signal == 0 || Power == 0 ? (Signal == Power ? 1 : 0) : Math.Clamp(Dot / Math.Sqrt(Signal) / Math.Sqrt(Power), -1, 1);

    public double Mse => Noise / Values;

    public void Add(Tally other)
    {
        Samples += other.Samples;
        Values += other.Values;
        NonFinite += other.NonFinite;
        Signal += other.Signal;
        Noise += other.Noise;
        Power += other.Power;
        Dot += other.Dot;
        Decisions += other.Decisions;
        Agreed += other.Agreed;
        Labels += other.Labels;
        for (var i = 0; i < ReferenceHits.Length; i++)
        {
            ReferenceHits[i] += other.ReferenceHits[i];
            CompressedHits[i] += other.CompressedHits[i];
        }

        Likelihoods += other.Likelihoods;
        ReferenceNll += other.ReferenceNll;
        CompressedNll += other.CompressedNll;
        LabelProblem ??= other.LabelProblem;
        AgreementProblem ??= other.AgreementProblem;
        TokenProblem ??= other.TokenProblem;
    }
}
