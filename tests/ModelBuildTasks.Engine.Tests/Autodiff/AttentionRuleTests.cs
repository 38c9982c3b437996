using CsCheck;
using ModelBuildTasks.Engine.Autodiff;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class AttentionRuleTests
{
    [TestMethod]
    public void Attention_as_its_products() => Gen.Select(Gen.Int[0, 3], Gen.Int[1, 2], Gen.Bool, Gen.Bool, Gen.Bool).Each(
        (mask, shared, flat, causal, scaled) =>
        {
            const int batch = 2, length = 3, heads = 4, size = 2, wide = 3;
            var (keys, reach) = (heads / shared, causal ? length : 5);
            var model = new SmallModel(23);
            if (flat)
                model.Random("q", 1, batch, length, heads * size).Random("k", 2, batch, reach, keys * size).Random("v", 3, batch, reach, keys * wide);
            else
                model.Random("q", 1, batch, heads, length, size).Random("k", 2, batch, keys, reach, size).Random("v", 3, batch, keys, reach, wide);
            if (mask == 1)
                model.Random("m", 4, length, reach);
            if (mask == 2)
                model.Random("fixed_m", 4, batch, 1, length, reach);
            if (mask == 3)
                model.Random("fixed_m", 4, batch, heads, length, reach).Floats("fixed_l", [], -0.8f).Node("Greater", "fixed_m,fixed_l", "m");
            List<(string, object)> attributes = [];
            if (flat)
                attributes.AddRange([("q_num_heads", heads), ("kv_num_heads", keys)]);
            if (causal)
                attributes.Add(("is_causal", 1));
            if (scaled)
                attributes.Add(("scale", 0.9f));
            var inputs = mask switch { 0 => "q,k,v", 2 => "q,k,v,fixed_m", _ => "q,k,v,m" };
            GradientCheck.All(model.Node("Attention", inputs, "y", [.. attributes]).Output("y"), 1e-2, 1e-3);
        },
        30);

    [TestMethod]
    public void A_cap_on_scores_is_before_what_is_masked() => GradientCheck.All(
        new SmallModel(23).Random("q", 1, 1, 2, 3, 4).Random("k", 2, 1, 2, 3, 4).Random("v", 3, 1, 2, 3, 4)
            .Node("Attention", "q,k,v", "y", ("softcap", 0.4f), ("is_causal", 1), ("scale", 2f)).Output("y"), 1e-2, 1e-3);

    [TestMethod]
    public void Values_that_are_turned_by_their_places() => Gen.Select(Gen.Bool, Gen.Bool, Gen.Bool, Gen.Bool).Each(
        (flat, interleaved, placed, part) =>
        {
            const int batch = 2, length = 3, heads = 2, size = 6;
            var turned = part ? 4 : size;
            var model = new SmallModel(23);
            if (flat)
                model.Random("x", 1, batch, length, heads * size);
            else
                model.Random("x", 1, batch, heads, length, size);
            long[] table = placed ? [5, turned / 2] : [batch, length, turned / 2];
            model.Random("fixed_c", 2, table).Random("fixed_s", 3, table);
            if (placed)
                model.Longs("p", [batch, length], 0, 1, 2, 4, 3, 0);
            List<(string, object)> attributes = [("interleaved", interleaved ? 1 : 0)];
            if (part)
                attributes.Add(("rotary_embedding_dim", turned));
            if (flat || part)
                attributes.Add(("num_heads", heads));
            GradientCheck.All(model.Node("RotaryEmbedding", placed ? "x,fixed_c,fixed_s,p" : "x,fixed_c,fixed_s", "y", [.. attributes]).Output("y"), 1e-2, 1e-3);
        },
        16);

    [TestMethod]
    public void What_is_not_known_is_named()
    {
        var model = new SmallModel(23).Random("q", 1, 1, 2, 3, 4).Random("k", 2, 1, 2, 3, 4).Random("v", 3, 1, 2, 3, 4)
            .Random("fixed_k", 4, 1, 2, 2, 4).Random("fixed_v", 5, 1, 2, 2, 4).Node("Attention", "q,k,v,,fixed_k,fixed_v", "y").Output("y");
        var why = Trainability.Of(model.Model, ["y"], new Dictionary<string, Engine.Data.Tensor>(), []).Single(t => t.Weight == "q").Reason;
        StringAssert.Contains(why, "of the past");
    }
}
