using CsCheck;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Surgery on random networks.</summary>
[TestClass]
public sealed class RandomSurgeryTests
{
    [TestMethod]
    public void What_is_dead_goes_without_a_trace_in_random_networks()
    {
        var (groups, regathered) = (0, 0);
        Gen.Int[0, 1 << 20].Sample(seed =>
        {
            var model = new RandomNet(seed).Model.Model;
            var analysis = ChannelAnalysis.Of(model, ValueTypes.Infer(model));
            var inputs = SurgeryProof.Inputs(("x", SmallModel.Tensor(seed, 1, 6, 4, 4)));
            var random = new Random(seed);
            var removed = new Dictionary<int, IReadOnlyList<int>>();
            foreach (var group in analysis.Groups.Where(g => g.Units > 1))
            {
                // Any units, but not all of them.
                var keep = random.Next(group.Units);
                IReadOnlyList<int> units = [.. Enumerable.Range(0, group.Units).Where(u => u != keep && random.Next(2) == 0)];
                if (units.Count == 0)
                    continue;
                removed[group.Id] = units;
                if (ChannelSurgery.Vanishing(analysis, new Dictionary<int, IReadOnlyList<int>> { [group.Id] = units }) is null)
                    _ = SurgeryProof.Prove(model, analysis, new() { [group.Id] = units }, [inputs], $"{group.Name} of {seed}", mayDoNothing: true);
            }

            if (removed.Count == 0 || ChannelSurgery.Vanishing(analysis, removed) is not null)
                return;
            var cut = SurgeryProof.Prove(model, analysis, removed, [inputs], $"all of {seed}", mayDoNothing: true);
            Interlocked.Add(ref groups, removed.Count);
            if (cut.Graph.Node.Count(n => n.OpType == "Gather") > model.Graph.Node.Count(n => n.OpType == "Gather"))
                Interlocked.Increment(ref regathered);
        }, iter: 80, threads: 1);
        Assert.IsGreaterThan(100, groups, "hardly anything was removed");
        Assert.IsGreaterThan(0, regathered, "no shuffle was ever cut");
    }

    [TestMethod]
    public void Names_decide_nothing()
    {
        for (var seed = 0; seed < 10; seed++)
        {
            var model = new RandomNet(seed).Model.Model;
            var renamed = model.Clone();
            // In the opposite order.
            var names = renamed.Graph.Initializer.Select(i => i.Name).Concat(renamed.Graph.Node.SelectMany(n => n.Output)).Where(n => n != "y").ToList();
            var map = names.Select((n, i) => (n, $"z{names.Count - i:0000}")).ToDictionary(p => p.n, p => p.Item2);
            foreach (var tensor in renamed.Graph.Initializer)
                tensor.Name = map[tensor.Name];
            foreach (var node in renamed.Graph.Node)
            {
                node.Name = "";
                for (var i = 0; i < node.Input.Count; i++)
                    node.Input[i] = map.GetValueOrDefault(node.Input[i], node.Input[i]);
                for (var i = 0; i < node.Output.Count; i++)
                    node.Output[i] = map.GetValueOrDefault(node.Output[i], node.Output[i]);
            }

            Assert.AreEqual(Text(model, map), Text(renamed, []), $"seed {seed}");
        }
    }

    private static string Text(OnnxModel model, Dictionary<string, string> map) => string.Join('\n', ChannelAnalysis.Of(model, ValueTypes.Infer(model)).Groups.Select(g =>
        $"{g.Kind} {g.Units} {string.Join(',', g.Parameters)} {string.Join(',', g.Macs)} "
        + string.Join(' ', g.Slices.Select(s => $"{map.GetValueOrDefault(s.Tensor, s.Tensor)}/{s.Axis}/{s.Role}/{string.Join(';', s.Indices.Select(i => string.Join(',', i)))}"))
        + string.Join(' ', g.Consumers.Select(c => $"{c.Node} {c.Input}")) + string.Join(' ', g.Producers.Select(c => $"{c.Node} {c.Input}"))));
}
