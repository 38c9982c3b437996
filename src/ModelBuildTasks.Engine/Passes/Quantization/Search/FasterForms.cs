using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// Leaves integer arithmetic where the policy's cost table says that it is no faster: small layers, and layers whose way into and out of
/// 8 bits costs more than they save.
/// </summary>
internal static class FasterForms
{
    // What integer arithmetic of a connected part has to save at least: a table is not exact, and slower than before is worse than not faster.
    private const double LeastSaving = 0.07;
    private const int MostRounds = 3;

    /// <summary>The choices with slower integer forms replaced by what comes behind them in the policy's order.</summary>
    public static IReadOnlyList<FormChoice> Choose(IReadOnlyList<FormChoice> choices, Prices prices, double integerMacs, Func<IReadOnlyList<FormChoice>, Assignment> form)
    {
        if (!prices.Knows)
            return choices;
        // Who asks for integer arithmetic gets it; half of what may leave it is kept for precision.
        var leastShare = integerMacs > 0 ? (1 + integerMacs) / 2 : 0;
        var now = form(choices);
        var least = prices.Nanoseconds(now);
        var reason = $"{prices.Runtime} is not faster at it in 8-bit arithmetic";
        for (var round = 0; round < MostRounds; round++)
        {
            var before = least;
            foreach (var nodes in Parts(now))
                Try(nodes, round == 0 ? LeastSaving : 0);
            foreach (var choice in now.Choices.Where(c => c.Form is QuantizedForm.Static or QuantizedForm.Dynamic).ToList())
            {
                Try([choice.Node], 0);
                // With what it multiplies in float, ranges found at run time may be the shorter way.
                if (choice is { IsProduct: true, Form: QuantizedForm.Static } && choice.Options.Any(o => o.Form == QuantizedForm.Dynamic))
                    Take(new Dictionary<NodeProto, QuantizedForm?>(ReferenceEqualityComparer.Instance) { [choice.Node] = QuantizedForm.Dynamic }, 0);
            }

            if (least >= before)
                break;
        }

        return now.Choices;

        void Try(IReadOnlyList<NodeProto> nodes, double saving)
        {
            var forms = new Dictionary<NodeProto, QuantizedForm?>(ReferenceEqualityComparer.Instance);
            foreach (var choice in now.Choices.Where(c => nodes.Contains(c.Node, ReferenceEqualityComparer.Instance)))
            {
                var next = choice.Options.SkipWhile(o => o.Form != choice.Form).FirstOrDefault(o => o.Form is not (QuantizedForm.Static or QuantizedForm.Dynamic));
                if (next is not null)
                    forms[choice.Node] = next.Form;
            }

            if (forms.Count > 0)
                Take(forms, saving);
        }

        void Take(IReadOnlyDictionary<NodeProto, QuantizedForm?> forms, double saving)
        {
            var result = form(Assignment.With(now.Choices, forms, reason));
            if (prices.IntegerShare(result) < leastShare)
                return;
            var time = prices.Nanoseconds(result);
            // With the margin a part may also become slower by prediction: then it saved too little to be sure of.
            if (time <= least || time * (1 - saving) < least && saving > 0)
                (now, least) = (result, time);
        }
    }

    /// <summary>
    /// The weighted nodes of each connected part in 8 bits; products whose range is taken at run time stand alone. Products of two activations
    /// with nothing in 8 bits around them are one part: each of them is too little to be sure of.
    /// </summary>
    private static List<List<NodeProto>> Parts(Assignment assignment)
    {
        if (assignment.Part is not { } part)
            return [];
        var groups = new Dictionary<string, List<NodeProto>>();
        var owner = new Dictionary<string, string>();
        foreach (var node in part.Graph.Nodes)
        {
            var values = part.Graph.DataInputs(node).Select(i => node.Input[i]).Where(part.Graph.IsMadeInside)
                .Concat(part.Graph.UsedOutputs(node).Select(i => part.Graph.FinalOutput(node, i))).Select(Find).Distinct().ToList();
            if (values.Count == 0)
                continue;
            var into = values[0];
            foreach (var value in values)
            {
                if (value != into && groups.Remove(value, out var moved))
                    Members(into).AddRange(moved);
                owner[value] = into;
            }

            if (part.Graph.Weighted.Contains(node))
                Members(into).Add(node);
        }

        var products = assignment.Choices.Where(c => c.IsProduct).Select(c => c.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var alone = groups.Values.Where(g => g.TrueForAll(products.Contains)).ToList();
        return [.. groups.Values.Except(alone), .. alone.Count > 0 ? new[] { alone.SelectMany(g => g).ToList() } : []];

        List<NodeProto> Members(string name) => groups.TryGetValue(name, out var list) ? list : groups[name] = [];

        string Find(string name)
        {
            while (owner.TryGetValue(name, out var next) && next != name)
                name = next;
            return name;
        }
    }
}
