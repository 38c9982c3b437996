using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Scores;
using ModelBuildTasks.Engine.Passes.Pruning.Sequential;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>Biases take back what a pruned weight takes from the outputs on average: W·E[x] − Ŵ·E[x̂], where x̂ is what it reads now.</summary>
internal static class BiasRepair
{
    /// <summary>Gives each node that reads a weight a bias of its own.</summary>
    /// <param name="model">The model, edited in place.</param>
    /// <param name="weight">The weight.</param>
    /// <param name="data">What was seen of its inputs.</param>
    /// <param name="before">W.</param>
    /// <param name="after">Ŵ.</param>
    /// <param name="names">Free names.</param>
    /// <param name="find">Finds the node of a use in <paramref name="model"/>.</param>
    /// <param name="paired">Where the inputs are others than they were: E[x] before and now.</param>
    /// <param name="scores">Where the outputs are scores: what was seen of the inputs as errors count.</param>
    public static void Apply(
        OnnxModel model, PrunableWeight weight, RoundingData data, float[] before, float[] after, NameAllocator names, Func<NodeWeight, NodeProto> find, PairedMoments? paired = null,
        ScoreMoments? scores = null)
    {
        foreach (var use in weight.Uses)
        {
            if (use.Bias is not { } bias || data.Of(use, use.Node.Input[0]) is not { } gram || ElementTypes.Count(bias.Dims) != weight.Rows!.Count)
                continue;
            var rows = weight.Rows;
            var means = paired is null ? Enumerable.Range(0, rows.Groups).Select(gram.Means).ToArray() : [paired.MeansBefore];
            var now = paired is null ? means : [paired.MeansNow];
            var values = model.ReadFloats(bias);
            for (var row = 0; row < rows.Count; row++)
            {
                double shift = scores is null ? 0 : ScoreLayer.Shift(row, rows, after, scores);
                for (var c = 0; c < rows.Columns && scores is null; c++)
                {
                    var i = rows.Index(row, c);
                    shift += (double)before[i] * means[rows.Group(row)][c] - (double)after[i] * now[rows.Group(row)][c];
                }

                values[row] = (float)(values[row] + shift);
            }

            var name = names.Next($"{use.Node.Input[2]}_fitted");
            model.Graph.WithBodies().ElementAt(use.Graph).Initializer.Add(model.CreateTensor<float>(name, DataType.Float, bias.Dims, values));
            find(use).Input[2] = name;
        }
    }
}
