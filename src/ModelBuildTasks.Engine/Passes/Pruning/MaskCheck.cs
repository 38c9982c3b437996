using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>What a comparison of masks found.</summary>
/// <param name="Weights">Weights whose zeros were compared.</param>
/// <param name="Lost">What lost zeros, in words.</param>
/// <param name="Unknown">Nodes whose weights were not found again.</param>
internal sealed record MaskVerdict(int Weights, IReadOnlyList<string> Lost, IReadOnlyList<string> Unknown);

/// <summary>
/// Compares the zeros of pruned weights with what the weights of the finished model decode to: codes, scales, palettes and all that is computed when
/// the model is loaded.
/// </summary>
internal static class MaskCheck
{
    /// <summary>Compares the weights of nodes, occurrence by occurrence.</summary>
    /// <param name="pruned">The model as pruning left it.</param>
    /// <param name="finished">The model that came of it.</param>
    /// <param name="rules">The rules that pruning went by.</param>
    public static MaskVerdict Compare(OnnxModel pruned, OnnxModel finished, IReadOnlyList<RulePlan> rules)
    {
        var final = new FinalWeights(finished);
        var (lost, unknown) = (new List<string>(), new List<string>());
        var compared = 0;
        foreach (var found in PrunableWeights.Find(pruned, new RuleSet(pruned, rules)))
        {
            foreach (var weight in found.Weights)
            {
                var values = pruned.ReadFloats(weight.Tensor);
                if (!values.Contains(0))
                    continue;
                var input = Enumerable.Range(0, found.Node.Input.Count).First(i => found.Node.Input[i] == weight.Key.Name);
                var behind = found.Graph.Consumers(found.Node.Output[0]).Where(n => n.OpType is "Relu" or "Clip" or "LeakyRelu" or "Sigmoid" or "HardSigmoid" or "Tanh").Select(n => n.Output[0]);
                if (final.Read(found.Graph.Number, found.Node, input, [.. weight.Tensor.Dims], behind) is not { } decoded)
                {
                    unknown.Add(found.Node.DisplayName());
                    continue;
                }

                compared++;
                var (was, gone) = (0, 0);
                for (var i = 0; i < values.Length; i++)
                {
                    was += values[i] == 0 ? 1 : 0;
                    gone += values[i] == 0 && decoded[i] != 0 ? 1 : 0;
                }

                if (gone > 0)
                    lost.Add(string.Create(CultureInfo.InvariantCulture, $"{found.Node.OpType} '{found.Node.DisplayName()}' ({gone:N0} of {was:N0})"));
            }
        }

        return new(compared, lost, unknown);
    }

    /// <summary>Refuses a model that lost zeros of its pruned weights.</summary>
    /// <exception cref="ModelBuildException">MBT2050: it did.</exception>
    public static void Require(MaskVerdict verdict, SourceLocation location)
    {
        if (verdict.Lost.Count == 0)
            return;
        var more = verdict.Lost.Count > 3 ? $" and {verdict.Lost.Count - 3} more" : "";
        throw new ModelBuildException(DiagnosticCodes.ZerosLost, $"weights that were pruned are not zero any more in the model that the passes behind it made: {string.Join(", ", verdict.Lost.Take(3))}{more}", location);
    }
}
