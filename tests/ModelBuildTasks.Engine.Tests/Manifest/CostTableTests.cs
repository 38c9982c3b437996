using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class CostTableTests
{
    private const string Head = "name: own\nopset: 17\nweighted: { Conv: [static] }\n";

    [TestMethod]
    public void A_policy_says_what_kernels_cost()
    {
        var costs = RuntimePolicies.ReadText(Head + """
            costs:
              run: 9000
              block: 16
              fused: [Relu]
              quantize: { node: 100, out: 0.5 }
              kernels:
                - operators: [Conv]
                  kind: depthwise
                  float: { node: 1000, mac: 0.1 }
                  static: { node: 2000, mac: 0.05 }
                - operators: [Conv, Gemm]
                  float: { node: 3000 }
                - float: { out: 1.5 }
            """, "own.yaml").Costs;

        Assert.AreEqual((9000.0, 16L, true), (costs.Run, costs.Block, costs.Fused.Contains("Relu")));
        Assert.AreEqual((new KernelCost(100, 0, 0, 0.5, 0, 0), default(KernelCost)), (costs.Quantize, costs.Dequantize));
        Assert.AreEqual(1000 + 0.1 * 70, costs.Find("Conv", KernelKind.Depthwise)!.Float.Of(new(70, 1, 2, 3, 4)), 1e-9);
        Assert.AreEqual(0.05, costs.Find("Conv", KernelKind.Depthwise)!.Static!.Value.Mac);
        Assert.AreEqual((3000.0, null), (costs.Find("Conv", KernelKind.Plain)!.Float.Node, costs.Find("Gemm", KernelKind.Row)!.Static));
        Assert.AreEqual(1.5, costs.Find("Tanh", KernelKind.Plain)!.Float.Out);
    }

    [TestMethod]
    public void Without_the_section_nothing_is_known() => Assert.IsNull(RuntimePolicies.ReadText(Head, "own.yaml").Costs.Find("Conv", KernelKind.Plain));

    [TestMethod]
    [DataRow("costs: { fast: 1 }", "MBT1002")]
    [DataRow("costs: { run: -1 }", "MBT1006")]
    [DataRow("costs: { kernels: [ { operators: [Conv], kind: sideways, float: { node: 1 } } ] }", "MBT1006")]
    [DataRow("costs: { kernels: [ { operators: [Conv] } ] }", "MBT1005")]
    public void The_section_is_checked(string costs, string code)
    {
        var wrong = Assert.ThrowsExactly<ModelBuildException>(() => RuntimePolicies.ReadText(Head + costs, "own.yaml"));
        Assert.AreEqual((code, 4), (wrong.Diagnostics.Single().Code, wrong.First.Location!.Value.Line));
    }

    [TestMethod]
    public void The_cpu_policy_knows_the_cost_of_what_it_executes_in_8_bits()
    {
        var policy = RuntimePolicies.Get("ort-cpu");
        foreach (var (op, what) in policy.Operators.Where(o => o.Value.Role == OperatorRole.Arithmetic || o.Value.Forms.Contains(QuantizedForm.Static)))
            Assert.IsNotNull(policy.Costs.Find(op, KernelKind.Plain)?.Static, $"{op} ({what.Role})");
        foreach (var (op, _) in policy.Operators.Where(o => o.Value.Forms.Contains(QuantizedForm.Dynamic)))
            Assert.IsNotNull(policy.Costs.Find(op, KernelKind.Plain)?.Dynamic, op);
        Assert.IsGreaterThan(0, policy.Costs.Run);
    }
}
