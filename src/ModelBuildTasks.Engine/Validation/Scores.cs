namespace ModelBuildTasks.Engine.Validation;

/// <summary>The scores of the classes, position by position, whatever axis they lie on.</summary>
internal static class Scores
{
    /// <summary>The scores at one position, from <paramref name="values"/> itself where they lie together, else gathered into <paramref name="buffer"/>.</summary>
    public static ReadOnlySpan<float> At(ReadOnlySpan<float> values, ClassLayout layout, long position, Span<float> buffer)
    {
        var start = checked((int)(position / layout.Inner * layout.Classes * layout.Inner + position % layout.Inner));
        if (layout.Inner == 1)
            return values.Slice(start, layout.Classes);
        for (var c = 0; c < layout.Classes; c++)
            buffer[c] = values[checked((int)(start + c * layout.Inner))];
        return buffer[..layout.Classes];
    }

    /// <summary>The class of the greatest score, the first of equals; -1 when a score is NaN.</summary>
    public static int Best(ReadOnlySpan<float> scores)
    {
        var best = 0;
        for (var c = 0; c < scores.Length; c++)
        {
            if (float.IsNaN(scores[c]))
                return -1;
            if (scores[c] > scores[best])
                best = c;
        }

        return best;
    }

    /// <summary>The place of a class in the order of descending scores, 0 for the best; of equals the first is before. <see cref="int.MaxValue"/> when a score is NaN.</summary>
    public static int Rank(ReadOnlySpan<float> scores, int label)
    {
        var rank = 0;
        for (var c = 0; c < scores.Length; c++)
        {
            if (float.IsNaN(scores[c]))
                return int.MaxValue;
            if (scores[c] > scores[label] || (scores[c] == scores[label] && c < label))
                rank++;
        }

        return rank;
    }

    /// <summary>Whether the scores are probabilities already: none negative, and a sum of 1 within 0.001.</summary>
    public static bool AreProbabilities(ReadOnlySpan<float> scores)
    {
        double sum = 0;
        foreach (var score in scores)
        {
            if (!(score >= 0))
                return false;
            sum += score;
        }

        return Math.Abs(sum - 1) <= 1e-3;
    }

    /// <summary>-log of the label's probability in nats; of logits after a softmax. A probability of 0 counts as 1e-12.</summary>
    public static double NegativeLogLikelihood(ReadOnlySpan<float> scores, int label, bool probabilities)
    {
        if (probabilities)
            return -Math.Log(Math.Max(scores[label], 1e-12));
        double max = double.NegativeInfinity, sum = 0;
        foreach (var score in scores)
            max = Math.Max(max, score);
        foreach (var score in scores)
            sum += Math.Exp(score - max);
        return max + Math.Log(sum) - scores[label];
    }
}
