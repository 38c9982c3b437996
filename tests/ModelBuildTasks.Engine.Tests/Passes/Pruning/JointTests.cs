using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Joint;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

[TestClass]
public sealed class JointTests
{
    private static readonly SourceLocation _at = new("test");

    [TestMethod]
    [DataRow(4)]
    [DataRow(12)]
    public void The_sweep_is_elimination_in_which_zeros_and_rounding_are_made_up_for_alike(int block)
    {
        const int Rows = 5, Columns = 12;
        var layer = SparseCase.Product(Rows, Columns, SparseCase.Single, seed: 3);
        var h = layer.Form(0).H;
        var grid = new Tenths();
        var w = Enumerable.Range(0, Rows).Select(r => layer.Row(layer.Values, r)).ToArray();
        for (var begin = 0; begin < Columns; begin += block)
        {
            // As if all of the block were rounded: what zero loses more than that.
            var trial = w.Select(row => (double[])row.Clone()).ToArray();
            var scores = new List<(double Score, int Row, int Column)>();
            for (var c = begin; c < begin + block; c++)
            {
                var rest = SparseCase.Inverse(h, Columns, [.. Enumerable.Range(c, Columns - c)]);
                for (var r = 0; r < Rows; r++)
                {
                    var rounded = grid.Nearest(r, c, trial[r][c]);
                    scores.Add(((trial[r][c] * trial[r][c] - (trial[r][c] - rounded) * (trial[r][c] - rounded)) / rest[0, 0], r, c));
                    Set(trial[r], c, rounded, rest);
                }
            }

            var gone = scores.OrderBy(s => s.Score).Take(Rows * block / 2).Select(s => (s.Row, s.Column)).ToHashSet();
            for (var c = begin; c < begin + block; c++)
            {
                var rest = SparseCase.Inverse(h, Columns, [.. Enumerable.Range(c, Columns - c)]);
                for (var r = 0; r < Rows; r++)
                    Set(w[r], c, gone.Contains((r, c)) ? 0 : grid.Nearest(r, c, w[r][c]), rest);
            }
        }

        var (found, zeros) = JointRounding.Sweep(layer, Rows * Columns / 2, grid, block);

        for (var r = 0; r < Rows; r++)
        {
            for (var c = 0; c < Columns; c++)
                Assert.AreEqual(w[r][c], layer.Row(found, r)[c], 1e-4, $"{r},{c}");
        }

        Assert.AreEqual(Rows * Columns / 2, zeros.Count(z => z));

        // SparseGPT, equation 3: the error of a column over [H⁻¹]cc goes to the columns behind it.
        static void Set(double[] row, int c, double value, double[,] rest)
        {
            var error = (row[c] - value) / rest[0, 0];
            for (var j = c; j < row.Length; j++)
                row[j] -= error * rest[0, j - c];
            row[c] = value;
        }
    }

    [TestMethod]
    public void On_the_layers_of_a_real_model_it_loses_no_more_than_pruning_and_GPTQ_one_after_the_other()
    {
        var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var context = QuantizeTests.Context(ListDataset.Random(model, 8));
        var weights = PrunableWeights.Find(model, new RuleSet(model, [])).SelectMany(n => n.Weights).Where(w => w.Rows!.Columns is >= 16 and <= 128).Take(4).ToList();
        var data = new RoundingData(model.Graph, weights.SelectMany(w => w.Uses));
        StatisticsCollector.Collect(model, [], context.Calibration!, 2, grams: data.Matrices);
        var (apart, together) = (0.0, 0.0);
        foreach (var (weight, structure) in weights.SelectMany(w => new[] { PruneStructure.Unstructured, PruneStructure.Pattern }, (w, s) => (w, s)))
        {
            var plan = new PrunePlan(_at, 0.5) { Structure = structure, Shape = (2, 4), Quantize = BitModels.Plan(BitModels.Bits("int3")) };
            if (MaskShape.Of(plan).Misfit(weight.Rows!) is not null || !StoredNumbers.Of(model, plan.Quantize, context).ByName.TryGetValue(weight.Key.Name, out var form))
                continue;
            var layer = SparseLayer.Of(model, weight.Uses[0], weight.Rows!, MaskShape.Of(plan), data, takesBack: true, threads: 2);
            var pruned = LayerPruning.Prune(layer, PruneMethod.Auto, PruneRepair.Refit, weight.Count / 2, LayerPruning.MostAutoCost);
            var (start, halves) = BitQuantizer.Nearest(pruned.Values, form.Layout!.Value, plan.Quantize.Bits!, form.Group, layer.Squares[0], 1);
            var rounded = layer.Loss(GridRounding.Round(pruned.Values, start, layer.Form, halves, 1).Decode());

            var joint = JointRounding.Run(layer, pruned, plan, weight.Count / 2, form);

            Assert.IsLessThanOrEqualTo(rounded * 1.0001, joint.Loss!.Value);
            Assert.IsGreaterThanOrEqualTo(weight.Count / 2, joint.Values.Count(v => v == 0));
            (apart, together) = (apart + Math.Log(rounded), together + Math.Log(joint.Loss.Value));
        }

        Assert.IsLessThan(apart - 0.1, together);
    }

    [TestMethod]
    [DataRow("MatMul")]
    [DataRow("MatMul, K 100")]
    [DataRow("Gemm")]
    [DataRow("Gemm, transB")]
    [DataRow("Conv")]
    [DataRow("Conv, grouped")]
    [DataRow("Conv, line")]
    public void Quantize_behind_it_stores_exactly_these_values_and_all_zeros(string kind)
    {
        using var model = BitModels.One(kind).Model;
        var context = QuantizeTests.Context(ListDataset.Random(model, 6)) with { Threads = 2 };
        foreach (var word in new[] { "int8", "int8, one scale", "int4", "uint3", "ternary" })
        {
            var quantize = word.StartsWith("int8", StringComparison.Ordinal) ? QuantizeTests.Plan(ActivationMode.None) with { PerChannel = word == "int8" } : BitModels.Plan(BitModels.Bits(word));
            foreach (var structure in new[] { PruneStructure.Unstructured, PruneStructure.Pattern, PruneStructure.Blocks })
            {
                var plan = new PrunePlan(_at, 0.5) { Structure = structure, Shape = (2, 4), Quantize = quantize, Allocation = PruneAllocation.Uniform };
                using var pruned = Prune.Run(model, plan, context).Model;
                var tensor = pruned.Graph.Initializer.First(t => t.Name == "w");
                var values = pruned.ReadFloats(tensor);
                // 2:4 does not fit an odd number of input channels, blocks not always.
                if (!values.Contains(0))
                    continue;
                Assert.IsGreaterThanOrEqualTo(0.45 * values.Length, values.Count(v => v == 0), $"{word} {structure}");

                using var stored = Quantize.Run(pruned, quantize, context).Model;

                var decoded = Decoded(stored);
                if (kind == "Gemm, transB" && stored.Graph.Node.Any(n => n.OpType == "MatMul"))
                    decoded = [.. Enumerable.Range(0, decoded.Length).Select(i => decoded[(i % (int)tensor.Dims[1] * (int)tensor.Dims[0]) + (i / (int)tensor.Dims[1])])];
                CollectionAssert.AreEqual(values, decoded, $"{word} {structure}");
                Assert.IsEmpty(MaskCheck.Compare(pruned, stored, []).Lost, word);
            }
        }
    }

    [TestMethod]
    public void The_outputs_of_a_real_model_keep_more_and_are_the_same_on_any_number_of_threads()
    {
        var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var seen = ListDataset.Random(model, 12);
        var quantize = BitModels.Plan(BitModels.Bits("int4"));
        var plan = new PrunePlan(_at, 0) { Structure = PruneStructure.Pattern, Shape = (2, 4), Method = PruneMethod.SparseGpt };
        var context = QuantizeTests.Context(seen);

        var apart = Quantize.Run(Prune.Run(model, plan, context).Model, quantize, context).Model;
        var pruned = Prune.Run(model, plan with { Quantize = quantize }, context with { Threads = 2 });
        var together = Quantize.Run(pruned.Model, quantize, context).Model;

        // Each layer makes up for the rounding in front of it, too.
        Assert.IsGreaterThan(QuantizeTests.Sqnr(model, apart, seen) + 2, QuantizeTests.Sqnr(model, together, seen));
        Assert.IsTrue(pruned.Decisions.Any(d => d.Reason.StartsWith("one sweep of zeros and rounding", StringComparison.Ordinal)), string.Join("; ", pruned.Decisions.Select(d => d.Reason)));
        CollectionAssert.AreEqual(Prune.Run(model, plan with { Quantize = quantize }, context).Model.ToBytes(), pruned.Model.ToBytes());
    }

    [TestMethod]
    [DataRow(0)]
    [DataRow(4)]
    public void An_exchange_takes_from_the_loss_and_moves_zeros_only_within_their_group(int group)
    {
        const int Columns = 16;
        var exchanged = 0;
        for (var seed = 0; seed < 10; seed++)
        {
            var layer = SparseCase.Product(1, Columns, SparseCase.Single, seed);
            var (form, wanted) = (layer.Form(0), layer.Row(layer.Values, 0));
            var numbers = new GridRounding.Grid([0.1], [127], Columns, 254);
            // Zeros as bad as they come: the first two of four.
            double[] one = [.. Enumerable.Range(0, Columns).Select(c => c % 4 < 2 ? 0 : double.NaN)];
            double[] error = [.. wanted.Select((w, c) => (c % 4 < 2 ? 0 : numbers.Nearest(c, w)) - w)];
            var before = form.Value(error);

            var any = new MaskExchange(form, numbers, [.. Enumerable.Range(0, Columns)], group).Run(wanted, error, one, [.. Enumerable.Repeat(true, Columns)]);

            exchanged += any ? 1 : 0;
            Assert.IsTrue(any ? form.Value(error) < before : form.Value(error) == before);
            Assert.AreEqual(Columns / 2, one.Count(v => v == 0));
            for (var c = 0; c < Columns; c++)
                Assert.AreEqual(one[c] == 0 ? 0 : numbers.Nearest(c, wanted[c] + error[c]), wanted[c] + error[c], 1e-9);
            for (var g = 0; g < Columns; g += 4)
                Assert.IsTrue(group == 0 || one.Skip(g).Take(4).Count(v => v == 0) == 2);
        }

        Assert.IsGreaterThan(8, exchanged);
    }

    [TestMethod]
    public void What_quantize_would_not_find_again_is_refused()
    {
        using var model = BitModels.One("MatMul").Model;
        var context = QuantizeTests.Context(ListDataset.Random(model, 4));
        foreach (var bits in new BitsPlan[] { new(4) { Average = 3.5 }, new(4) { Method = BitsMethod.Awq }, BitModels.Bits("binary") })
        {
            var error = Assert.ThrowsExactly<ModelBuildException>(() => Prune.Run(model, new PrunePlan(_at, 0.5) { Quantize = BitModels.Plan(bits) }, context));
            Assert.AreEqual(DiagnosticCodes.NotRoundedAsStored, error.First.Code);
        }

        var missing = Assert.ThrowsExactly<ModelBuildException>(() => Prune.Run(model, new PrunePlan(_at, 0.5) { Quantize = QuantizeTests.Plan(ActivationMode.None) }, QuantizeTests.Context()));
        Assert.AreEqual(DiagnosticCodes.DataMissing, missing.First.Code);
    }

    [TestMethod]
    public void What_is_not_rounded_says_why()
    {
        using var model = BitModels.One("Conv").Model;
        var context = QuantizeTests.Context(ListDataset.Random(model, 4), "portable");
        var plan = new PrunePlan(_at, 0.5) { Quantize = QuantizeTests.Plan(ActivationMode.Uint8) };

        StringAssert.Contains(Prune.Run(model, plan, context).Decisions[0].Reason, "the runtime's integer arithmetic wants scales that rounding changes", StringComparison.Ordinal);

        context = context with { Rules = [new(default, ["Conv"], null, false)] };
        StringAssert.Contains(Prune.Run(model, plan, context).Decisions[0].Reason, "quantize will not store it in 8 bits or fewer", StringComparison.Ordinal);
    }

    /// <summary>The weight that the runtime computes with.</summary>
    private static float[] Decoded(OnnxModel model)
    {
        var probe = model.Clone();
        var name = probe.Graph.Node.First(n => n.Input.Count > 1 && n.Input[0] == "x").Input[1];
        probe.Graph.Output.Add(new ValueInfoProto { Name = name });
        using var session = new Session(probe, new SessionSettings());
        return session.Run(probe.Inputs.ToDictionary(i => i.Name, i => Tensor.Of<float>(DataType.Float, [.. i.Shape!], new float[ElementTypes.Count(i.Shape!)])))[name].ToFloats();
    }

    private sealed class Tenths : ISweepGrid
    {
        public double Nearest(int row, int column, double value) => Math.Round(value * 10) / 10;
    }
}
