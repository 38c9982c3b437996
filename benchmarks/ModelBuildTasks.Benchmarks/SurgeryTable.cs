using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Benchmarks;

/// <summary>
/// Proves surgery on the models of <c>models.yaml</c>: for every group, half of the units are made dead by zeros, and removed; both models run on real data and
/// have to agree. One row a model, and below it why the rest cannot go.
/// </summary>
internal static class SurgeryTable
{
    private const double Tolerance = 1e-4;

    public static int Write(string dataFolder, string? target, bool details) => ModelTable.WithManifest(dataFolder, manifest =>
    {
        Console.WriteLine("| model | groups | units | in groups of 2 and more | largest difference | all at once | branches | failed |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---|");
        var failed = false;
        foreach (var plan in ManifestReader.Read(manifest).Targets.DistinctBy(t => t.ModelPath).Where(t => target is null || t.Name == target))
            failed |= !Row(plan, details);
        return failed ? 1 : 0;
    });

    private static bool Row(TargetPlan plan, bool details)
    {
        using var original = OnnxModel.Load(plan.ModelPath);
        var model = Cleanup.Run(original, new PassContext(plan.Runtime, [])).Model;
        var shapes = ValueTypes.Infer(model);
        var inputs = DatasetFactory.Open(plan.Calibration!, original).Batches().First().Inputs;
        var analysis = ChannelAnalysis.Of(model, shapes, ValueTypes.Observe(model, inputs));
        var proof = new Proof(model, analysis, inputs);
        var (largest, failures, proved) = (0.0, new List<string>(), new List<ChannelGroup>());
        foreach (var group in analysis.Groups.Where(g => g.Units > 1))
        {
            var difference = proof.Difference(new Dictionary<int, IReadOnlyList<int>> { [group.Id] = Odd(group) }, out var message);
            largest = Math.Max(largest, difference);
            if (difference <= Tolerance)
                proved.Add(group);
            else
                failures.Add($"{group.Name} ({group.Kind}, {group.Units}): {message ?? difference.ToString("G3", CultureInfo.InvariantCulture)}");
            if (details)
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"  group {group.Id} {group.Name} {group.Kind} units {group.Units} slices {group.Slices.Count} consumers {group.Consumers.Count} parameters {group.Parameters[0]} macs {group.Macs[0]}{(group.ReadByStatistics ? " statistics" : "")}: {difference:G3} {message}"));
            }
        }

        string? whole = null;
        var all = proved.Count == 0 ? 0 : proof.Difference(proved.ToDictionary(g => g.Id, Odd), out whole);
        if (whole is not null || all > Tolerance)
            failures.Add($"all at once: {whole ?? all.ToString("G3", CultureInfo.InvariantCulture)}");
        var branches = analysis.Branches.Count(b => proof.Branch(b, failures));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"| {plan.Name} | {analysis.Groups.Count} | {analysis.Groups.Sum(g => g.Units)} | {Share(model, proved):P1} | {largest:G2} | {all:G2} | {branches} of {analysis.Branches.Count} | {string.Join("; ", failures)}{(proof.Noise > 0 ? $" (rounding of the runtime: {proof.Noise:G2})" : "")} |"));
        foreach (var barrier in analysis.Barriers.Where(b => b.Parameters > 0 || details).OrderByDescending(b => b.Parameters).Take(details ? 40 : 8))
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"    {barrier.Op} '{barrier.Node}': {barrier.Reason}: {barrier.Parameters:N0} parameters of {string.Join(", ", barrier.Weights.Take(4))}"));
        return failures.Count == 0;
    }

    private static IReadOnlyList<int> Odd(ChannelGroup group) => [.. Enumerable.Range(0, group.Units).Where(u => u % 2 == 1)];

    /// <summary>The share of float parameters that are on an axis of a proved group.</summary>
    private static double Share(OnnxModel model, IReadOnlyList<ChannelGroup> groups)
    {
        var marks = groups.SelectMany(g => g.Slices).GroupBy(s => (s.Graph, s.Tensor)).ToDictionary(g => g.Key, g => g.ToList());
        double all = 0, removable = 0;
        foreach (var index in GraphEdit.Indexes(model))
        {
            foreach (var name in GraphEdit.Definitions(index.Graph).Order(StringComparer.Ordinal))
            {
                if (index.Constant(name) is not { } tensor || !ElementTypes.IsFloat((DataType)tensor.DataType))
                    continue;
                var count = ElementTypes.Count(tensor.Dims);
                double kept = count;
                foreach (var axis in marks.GetValueOrDefault((index.Number, name), []).GroupBy(s => s.Axis))
                    kept *= 1 - (double)axis.SelectMany(s => s.Indices).SelectMany(i => i).Distinct().Count() / tensor.Dims[axis.Key];
                all += count;
                removable += count - kept;
            }
        }

        return all == 0 ? 0 : removable / all;
    }

    private sealed class Proof(OnnxModel model, ChannelAnalysis analysis, IReadOnlyDictionary<string, Tensor> inputs)
    {
        /// <summary>The largest difference that was taken for rounding because the same model without the runtime's optimizations differs as much.</summary>
        public double Noise { get; private set; }

        public double Difference(IReadOnlyDictionary<int, IReadOnlyList<int>> removed, out string? message)
        {
            var (dead, cut) = (model.Clone(), model.Clone());
            message = ChannelSurgery.Vanishing(analysis, removed);
            if (message is not null)
                return double.PositiveInfinity;
            try
            {
                UnitMask.Apply(dead, analysis, removed);
                ChannelSurgery.Remove(cut, analysis, removed);
                if (Floats(cut) >= Floats(model))
                    message = "nothing became smaller";
                if (message is not null)
                    return double.PositiveInfinity;
                var (expected, actual) = (Run(dead), Run(cut));
                var difference = Compare(expected, actual);
                // What the runtime's own choice of kernels makes of the same model is rounding, too.
                var noise = difference > Tolerance ? Compare(expected, Run(dead, optimize: false)) : 0;
                Noise = Math.Max(Noise, noise);
                return noise > 0 && difference <= 2 * noise ? Tolerance : difference;
            }
            catch (Exception e)
            {
                message = e.Message.ReplaceLineEndings(" ");
                return double.PositiveInfinity;
            }
        }

        /// <summary>A branch that adds zero goes without a trace: zero is what a product with zero makes of it.</summary>
        public bool Branch(ResidualBranch branch, List<string> failures)
        {
            try
            {
                var (dead, cut) = (model.Clone(), model.Clone());
                var join = dead.Graph.Node[branch.Join.Index];
                var input = 1 - branch.Shortcut;
                var scaled = join.Input[input] + "_zero";
                var type = ValueTypes.Infer(model).TryGetValue(join.Input[input], out var value) ? value.Type : DataType.Float;
                dead.Graph.Initializer.Add(type == DataType.Float16 ? dead.CreateTensor<Half>("zero_branch", type, [], [Half.Zero]) : dead.CreateTensor("zero_branch", [], 0f));
                dead.Graph.Node.Insert(branch.Join.Index, GraphExtensions.Node("Mul", [join.Input[input], "zero_branch"], [scaled]));
                join.Input[input] = scaled;
                ChannelSurgery.RemoveBranches(cut, analysis, [branch.Id]);
                var difference = Compare(Run(dead), Run(cut));
                if (difference > Tolerance)
                    failures.Add($"branch {branch.Name}: {difference:G3}");
                return difference <= Tolerance;
            }
            catch (Exception e)
            {
                failures.Add($"branch {branch.Name}: {e.Message.ReplaceLineEndings(" ")}");
                return false;
            }
        }

        private static long Floats(OnnxModel candidate) => GraphEdit.Indexes(candidate)
            .Sum(i => GraphEdit.Definitions(i.Graph).Sum(n => i.Constant(n) is { } tensor && ElementTypes.IsFloat((DataType)tensor.DataType) ? ElementTypes.Count(tensor.Dims) : 0));

        private IReadOnlyDictionary<string, Tensor> Run(OnnxModel candidate, bool optimize = true)
        {
            using var session = new Session(candidate, new SessionSettings(Threads: 2, Optimize: optimize));
            return session.Run(inputs);
        }

        /// <summary>The largest difference of an element over the largest element of its output.</summary>
        private static double Compare(IReadOnlyDictionary<string, Tensor> expected, IReadOnlyDictionary<string, Tensor> actual)
        {
            var largest = 0.0;
            foreach (var (name, tensor) in expected)
            {
                if (!actual[name].Shape.SequenceEqual(tensor.Shape))
                    return double.PositiveInfinity;
                var (first, second) = (tensor.ToFloats(), actual[name].ToFloats());
                var scale = first.Select(Math.Abs).DefaultIfEmpty().Max();
                for (var i = 0; i < first.Length; i++)
                {
                    var difference = Math.Abs((double)first[i] - second[i]) / Math.Max(scale, 1e-6);
                    largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
                }
            }

            return largest;
        }
    }
}
