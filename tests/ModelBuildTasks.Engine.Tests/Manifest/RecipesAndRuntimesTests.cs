using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class RecipesAndRuntimesTests
{
    [TestMethod]
    public void Every_recipe_file_is_sound_and_says_what_it_does()
    {
        CollectionAssert.AreEqual(new[] { "binary", "float16", "int4", "int8", "int8-dynamic", "int8-weights", "lossless", "sparse-int8" }, Recipes.Names.ToArray());
        foreach (var name in Recipes.Names)
        {
            var errors = new DiagnosticBag();
            Assert.IsNotNull(Recipes.Read(Resources.Text($"recipes/{name}.yaml"), name, errors));
            Assert.IsEmpty(errors.InOrder(name));
            Assert.IsGreaterThan(20, Recipes.Meaning(name).Length);
        }
    }

    [TestMethod]
    [DataRow("int8", ActivationMode.Auto)]
    [DataRow("int8-dynamic", ActivationMode.Dynamic)]
    [DataRow("int8-weights", ActivationMode.None)]
    public void An_int8_recipe_is_one_quantize_pass(string name, ActivationMode activations) =>
        Assert.AreEqual(activations, Recipes.Passes(name) is [QuantizePlan quantize] ? quantize.Activations : (ActivationMode)(-1));

    [TestMethod]
    public void Lossless_has_no_passes_beside_clean_up() => Assert.IsEmpty(Recipes.Passes("lossless"));

    [TestMethod]
    public void A_recipe_that_is_not_there_is_an_error_with_the_nearest_name()
    {
        var wrong = Assert.ThrowsExactly<ModelBuildException>(() => Recipes.Passes("int8-weigths"));
        Assert.AreEqual(DiagnosticCodes.UnknownName, wrong.First.Code);
        StringAssert.Contains(wrong.First.Message, "'int8-weights'");
    }

    [TestMethod]
    public void A_target_can_build_on_a_recipe_with_rules_and_checks_of_its_own()
    {
        using var folder = new ManifestFolder("a.onnx");
        var target = folder.Read("""
            version: 1
            targets:
              - model: a.onnx
                recipe:
                  extends: int8-dynamic
                  rules: [ { match: { op: Gemm }, quantize: none } ]
                  validate: { sqnr: { min: 30 }, mse: { max: 1 } }
                rules: [ { match: { name: last }, quantize: int8 } ]
                validate: { sqnr: { min: 25 } }
            """).Targets.Single();

        Assert.AreEqual("int8-dynamic", target.Recipe);
        Assert.AreEqual(ActivationMode.Dynamic, ((QuantizePlan)target.Passes.Single()).Activations);
        CollectionAssert.AreEqual(new[] { false, true }, target.Rules.Select(r => r.Quantize).ToArray());
        CollectionAssert.AreEqual(new[] { 25.0, 1 }, target.Validation!.Gates.Select(g => g.Limit).ToArray());
    }

    [TestMethod]
    public void The_cpu_policy_knows_weighted_operators_with_their_forms_in_order()
    {
        var policy = RuntimePolicies.Get("ort-cpu");
        Assert.AreEqual(("ort-cpu", 17, 64), (policy.Name, policy.Opset, policy.ContentHash.Length));
        CollectionAssert.AreEqual(new[] { QuantizedForm.Dynamic, QuantizedForm.Static, QuantizedForm.Weights, QuantizedForm.Half }, policy.Operators["MatMul"].Forms.ToArray());
        CollectionAssert.AreEqual(new[] { QuantizedForm.Static, QuantizedForm.Weights, QuantizedForm.Half }, policy.Operators["Conv"].Forms.ToArray());
        Assert.AreEqual(
            (OperatorRole.Weighted, OperatorRole.Arithmetic, OperatorRole.Movement, OperatorRole.Activation),
            (policy.Operators["LSTM"].Role, policy.Operators["Add"].Role, policy.Operators["Reshape"].Role, policy.Operators["Relu"].Role));
    }

    [TestMethod]
    public void An_operator_that_is_weighted_and_moves_values_keeps_its_forms()
    {
        var gather = RuntimePolicies.Get("ort-cpu").Operators["Gather"];
        Assert.AreEqual(OperatorRole.Movement, gather.Role);
        CollectionAssert.AreEqual(new[] { QuantizedForm.Weights, QuantizedForm.Half }, gather.Forms.ToArray());
    }

    [TestMethod]
    public void Every_policy_file_is_sound_and_says_where_its_facts_come_from()
    {
        CollectionAssert.AreEqual(new[] { "coreml", "litert", "openvino", "ort-cpu", "ort-cpu-arm64", "portable", "qnn", "tensorrt" }, RuntimePolicies.Names.ToArray());
        foreach (var name in RuntimePolicies.Names)
        {
            Assert.AreEqual(name, RuntimePolicies.Get(name).Name);
            StringAssert.StartsWith(Resources.Text($"runtimes/{name}.yaml"), "# ");
            if (name != RuntimePolicies.Default)
            {
                StringAssert.Contains(Resources.Text($"runtimes/{name}.yaml"), "# From: ");
                StringAssert.Contains(Resources.Text($"runtimes/{name}.yaml"), "# Not covered: ");
            }
        }
    }

    [TestMethod]
    public void A_policy_says_which_numbers_the_runtime_computes_with()
    {
        var (cpu, qnn, tensorrt) = (RuntimePolicies.Get("ort-cpu").Formats, RuntimePolicies.Get("qnn").Formats, RuntimePolicies.Get("tensorrt").Formats);
        Assert.AreEqual(("Uint8", false, 0, 255), (cpu.Activations[0].Type.ToString(), cpu.Activations[0].Symmetric, cpu.Activations[0].Least, cpu.Activations[0].Greatest));
        Assert.AreEqual(("Int8", true, -127), (tensorrt.Activations[0].Type.ToString(), tensorrt.Activations[0].Symmetric, tensorrt.Activations[0].Least));
        Assert.AreEqual((false, false, true, true), (tensorrt.QuantizedBias, tensorrt.AbsorbsActivations, cpu.QuantizedBias, cpu.AbsorbsActivations));
        Assert.AreEqual((true, false), (qnn.IsPerChannel("Conv"), qnn.IsPerChannel("Gemm")));
        Assert.AreEqual(("Uint8", "Uint16"), (qnn.Activation(ActivationMode.Uint8)!.Type.ToString(), qnn.Activation(ActivationMode.Uint16)!.Type.ToString()));
        Assert.IsNull(cpu.Activation(ActivationMode.Uint16));
        Assert.AreEqual((-1.0, 1.0), qnn.FixedRanges["Tanh"]);
    }

    [TestMethod]
    public void A_policy_that_extends_another_takes_over_what_it_does_not_say()
    {
        var (cpu, own) = (RuntimePolicies.Get("ort-cpu"), RuntimePolicies.ReadText("name: own\nextends: ort-cpu\nweighted: { Conv: [weights] }\nbias: float\n", "own.yaml"));
        Assert.AreEqual(("own", cpu.Opset, false), (own.Name, own.Opset, own.Formats.QuantizedBias));
        CollectionAssert.AreEqual(new[] { QuantizedForm.Weights }, own.Operators["Conv"].Forms.ToArray());
        CollectionAssert.AreEqual(cpu.Operators["MatMul"].Forms.ToArray(), own.Operators["MatMul"].Forms.ToArray());
        Assert.IsTrue(RuntimePolicies.Get("portable").Formats.PairsSaturate);
        Assert.IsFalse(cpu.Formats.PairsSaturate);
    }

    [TestMethod]
    public void A_policys_hash_follows_its_text()
    {
        const string Text = "name: own\nopset: 17\nweighted: { Conv: [static] }\n";
        Assert.AreEqual(RuntimePolicies.ReadText(Text, "a").ContentHash, RuntimePolicies.ReadText(Text, "b").ContentHash);
        Assert.AreNotEqual(RuntimePolicies.ReadText(Text, "a").ContentHash, RuntimePolicies.ReadText(Text + "# more\n", "a").ContentHash);
    }

    [TestMethod]
    [DataRow("", "MBT1005")]
    [DataRow("name: own\nopset: 17\nweighted: { Conv: [static] }\nspeed: 3\n", "MBT1002")]
    [DataRow("name: own\nopset: 17\n", "MBT1005")]
    [DataRow("name: own\nopset: seventeen\nweighted: { Conv: [static] }\n", "MBT1004")]
    [DataRow("name: own\nopset: 17\nweighted: { Conv: [static] }\nmovement: [Reshape]\nactivation: [Reshape]\n", "MBT1003")]
    [DataRow("name: own\nextends: ort-gpu\n", "MBT1007")]
    [DataRow("name: own\nextends: ort-cpu\nactivations: { types: [uint8], symmetric: true }\nabsorb: false\n", "MBT1006")]
    [DataRow("name: own\nextends: ort-cpu\nactivations: { types: [int8], symmetric: true }\n", "MBT1006")]
    [DataRow("name: own\nextends: tensorrt\nfixed_ranges: { Tanh: [-1, 1] }\n", "MBT1006")]
    [DataRow("name: own\nextends: ort-cpu\nfixed_ranges: { Tanh: [1, -1] }\n", "MBT1006")]
    [DataRow("name: own\nextends: ort-cpu\nfixed_ranges: { Tanh: [1] }\n", "MBT1004")]
    [DataRow("name: own\nextends: ort-cpu\nactivations: { types: [int4] }\n", "MBT1006")]
    [DataRow("name: own\nextends: ort-cpu\nweights: { saturation: int8 }\n", "MBT1006")]
    public void A_policy_is_checked(string text, string code)
    {
        var wrong = Assert.ThrowsExactly<ModelBuildException>(() => RuntimePolicies.ReadText(text, "own.yaml"));
        Assert.AreEqual((code, "own.yaml"), (wrong.Diagnostics.Single().Code, wrong.First.Location?.File));
    }
}
