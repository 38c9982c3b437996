using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Validation;

/// <summary>Compares the outputs of one run of both models.</summary>
/// <param name="tops">For accuracy: how many first classes count, each for itself.</param>
/// <param name="agreementAsked">Whether classes are looked for also in outputs that do not obviously have them.</param>
/// <param name="nextToken">Whether the likelihood of next tokens is wanted where there are no labels.</param>
internal sealed class BatchScorer(IReadOnlyList<int> tops, bool agreementAsked, bool nextToken)
{
    /// <summary>The sums of one batch. Outputs are given in the original's order; all have equal shapes in both.</summary>
    public Tally Score(Batch batch, IReadOnlyList<(string Name, Tensor Reference, Tensor Compressed)> outputs)
    {
        var tally = new Tally(tops.Count) { Samples = batch.Count };
        var scored = false;
        foreach (var (name, reference, compressed) in outputs)
        {
            if (!ElementTypes.IsFloat(reference.Type))
                continue;
            var original = Floats(reference);
            var artifact = Floats(compressed);
            Compare(tally, original, artifact);
            if (!scored)
                ScoreClasses(tally, batch, name, reference.Shape, original, artifact);
            scored = true;
        }

        if (!scored)
            CompareIntegers(tally, batch, outputs);
        return tally;
    }

    internal static float[] Floats(Tensor tensor) => tensor.Type == DataType.Bfloat16
        ? [.. MemoryMarshal.Cast<byte, ushort>(tensor.Bytes).ToArray().Select(v => BitConverter.UInt32BitsToSingle((uint)v << 16))]
        : tensor.ToFloats();

    private static void Compare(Tally tally, float[] reference, float[] compressed)
    {
        double signal = 0, noise = 0, power = 0, dot = 0;
        long values = 0, nonFinite = 0;
        for (var i = 0; i < reference.Length; i++)
        {
            double r = reference[i], c = compressed[i];

            // What is no number in the original (the -inf of a mask) says nothing about the artifact.
            if (!double.IsFinite(r))
                continue;
            if (!double.IsFinite(c))
            {
                nonFinite++;
                continue;
            }

            values++;
            signal += r * r;
            power += c * c;
            dot += r * c;
            noise += (r - c) * (r - c);
        }

        tally.Signal += signal;
        tally.Noise += noise;
        tally.Power += power;
        tally.Dot += dot;
        tally.Values += values;
        tally.NonFinite += nonFinite;
    }

    private void ScoreClasses(Tally tally, Batch batch, string name, long[] shape, float[] reference, float[] compressed)
    {
        var shown = $"output '{name}' [{string.Join(", ", shape)}]";
        ClassLayout? layout = null;
        if (batch.Labels is { } labels)
        {
            layout = ClassLayout.ForLabels(shape, labels.Length);
            if (layout is null)
                tally.LabelProblem = $"{labels.Length} labels in a run of {batch.Count} samples do not fit the {shown}";
            else
                ScoreLabels(tally, labels, layout.Value, shown, reference, compressed);
        }
        else if (nextToken)
        {
            ScoreTokens(tally, batch, shape, shown, reference, compressed);
        }

        layout ??= ClassLayout.WithoutLabels(shape, batch.Inputs, batch.Count, agreementAsked);
        if (layout is null)
            tally.AgreementProblem = $"{shown} has no axis of classes";
        else
            ScoreAgreement(tally, layout.Value, reference, compressed);
    }

    private static void ScoreAgreement(Tally tally, ClassLayout layout, float[] reference, float[] compressed)
    {
        var buffer = new float[layout.Classes];
        for (long p = 0; p < layout.Positions; p++)
        {
            var wanted = Scores.Best(Scores.At(reference, layout, p, buffer));
            var got = Scores.Best(Scores.At(compressed, layout, p, buffer));
            tally.Agreed += got == wanted ? 1 : 0;
        }

        tally.Decisions += layout.Positions;
    }

    private void ScoreLabels(Tally tally, long[] labels, ClassLayout layout, string shown, float[] reference, float[] compressed)
    {
        var buffer = new float[layout.Classes];
        for (var p = 0; p < labels.Length; p++)
        {
            if (labels[p] < 0 || labels[p] >= layout.Classes)
            {
                tally.LabelProblem = $"label {labels[p]} is none of the {layout.Classes} classes of the {shown}";
                return;
            }

            var label = (int)labels[p];
            var scores = Scores.At(reference, layout, p, buffer);
            var rank = Scores.Rank(scores, label);
            var probabilities = Scores.AreProbabilities(scores);
            tally.ReferenceNll += Scores.NegativeLogLikelihood(scores, label, probabilities);
            scores = Scores.At(compressed, layout, p, buffer);
            var compressedRank = Scores.Rank(scores, label);

            // Quantized probabilities may miss the sum of 1: what the original's are decides for both.
            tally.CompressedNll += Scores.NegativeLogLikelihood(scores, label, probabilities);
            for (var t = 0; t < tops.Count; t++)
            {
                tally.ReferenceHits[t] += rank < tops[t] ? 1 : 0;
                tally.CompressedHits[t] += compressedRank < tops[t] ? 1 : 0;
            }
        }

        tally.Labels += labels.Length;
        tally.Likelihoods += labels.Length;
    }

    private static void ScoreTokens(Tally tally, Batch batch, long[] shape, string shown, float[] reference, float[] compressed)
    {
        if (ClassLayout.NextToken(shape, batch.Inputs) is not (var tokens, var length, var layout))
        {
            tally.TokenProblem = $"there are no labels, and {shown} does not hold [batch, sequence, vocabulary] for one integer input [batch, sequence]";
            return;
        }

        var buffer = new float[layout.Classes];
        for (var p = 0; p < tokens.Length; p++)
        {
            if (p % length == length - 1)
                continue;
            var next = tokens[p + 1];
            if (next < 0 || next >= layout.Classes)
            {
                tally.TokenProblem = $"token {next} is not in the vocabulary of {layout.Classes} of the {shown}";
                return;
            }

            var scores = Scores.At(reference, layout, p, buffer);
            var probabilities = Scores.AreProbabilities(scores);
            tally.ReferenceNll += Scores.NegativeLogLikelihood(scores, (int)next, probabilities);
            tally.CompressedNll += Scores.NegativeLogLikelihood(Scores.At(compressed, layout, p, buffer), (int)next, probabilities);
            tally.Likelihoods++;
        }
    }

    /// <summary>Models that end in integers (an ArgMax inside): a sample agrees when all its values are the same.</summary>
    private static void CompareIntegers(Tally tally, Batch batch, IReadOnlyList<(string Name, Tensor Reference, Tensor Compressed)> outputs)
    {
        tally.LabelProblem = tally.TokenProblem = "the model has no float output";
        if (outputs.Count == 0)
        {
            tally.AgreementProblem = "the model has no tensor output that can be compared";
            return;
        }

        var (_, reference, compressed) = outputs[0];
        var perSample = batch.Count > 1 && reference.Shape is [var first, ..] && first == batch.Count;
        var samples = perSample ? batch.Count : 1;
        var bytes = reference.Bytes.Length / samples;
        for (var i = 0; i < samples; i++)
            tally.Agreed += reference.Bytes.AsSpan(i * bytes, bytes).SequenceEqual(compressed.Bytes.AsSpan(i * bytes, bytes)) ? 1 : 0;
        tally.Decisions += samples;
    }
}
