using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class ManifestReaderTests
{
    private const string OneTarget = "version: 1\ntargets:\n  - { model: a.onnx, recipe: int8 }\n";

    [TestMethod]
    public void Nine_models_become_nine_targets_with_names_data_and_gates()
    {
        using var folder = new ManifestFolder(NineModels.Files);
        var plan = folder.Read(NineModels.Text);

        CollectionAssert.AreEqual(
            new[] { "SqueezeNet", "Fastestdet", "UltraFace", "Mnist", "DigitsMobile", "DigitsResnet", "SmsEncoder", "Stories", "Iris" },
            plan.Targets.Select(t => t.Name).ToArray());
        Assert.HasCount(14, plan.Datasets);
        var mnist = plan.Targets[3];
        Assert.AreEqual(folder.File("data/mnist.onnx"), mnist.ModelPath);
        Assert.AreEqual("ort-cpu", mnist.Runtime.Name);
        Assert.AreEqual("int8", mnist.Recipe);
        Assert.AreEqual(200, mnist.Calibration!.Take);
        Assert.AreEqual(2000, mnist.Validation!.Data!.Skip);
        Assert.AreSame(mnist.Calibration.Dataset, mnist.Validation.Data.Dataset);
        Assert.AreEqual(new QuantizePlan(mnist.Passes[0].Location), mnist.Passes.Single());
        Assert.AreEqual((Metric.Accuracy, LimitKind.MaxDrop, 0.002), Only(mnist));
        Assert.AreEqual((Metric.Nll, LimitKind.MaxDropRelative, 0.01), Only(plan.Targets[7]));
        Assert.AreEqual(1, plan.Targets[8].Calibration!.Shuffle);

        static (Metric, LimitKind, double) Only(TargetPlan target) => target.Validation!.Gates.Single() is var g ? (g.Metric, g.Kind, g.Limit) : default;
    }

    [TestMethod]
    public void Sources_keep_every_option_of_the_manifest()
    {
        using var folder = new ManifestFolder(NineModels.Files);
        var datasets = folder.Read(NineModels.Text).Datasets;

        var coco = (ImagesSource)datasets["coco"].Inputs["data_0"];
        Assert.AreEqual(("data/photos/coco/*.jpg", folder.Path), (coco.Pattern, coco.BaseDirectory));
        Assert.AreEqual((256, (224, 224), Channels.Bgr), (coco.Image.ResizeShortSide, coco.Image.Crop, coco.Image.Channels));
        CollectionAssert.AreEqual(new double[] { 104, 117, 124 }, coco.Image.Mean.ToArray());
        Assert.IsEmpty(coco.Image.Std);

        var array = (NpySource)datasets["imagenet47"].Inputs["data_0"];
        Assert.AreEqual((ArrayLayout.Nhwc, true, null), (array.Image.Layout, array.Image.ChannelsGiven, array.Image.ResizeShortSide));
        Assert.AreEqual(folder.File("data/photos/labels.npy"), ((NpySource)datasets["imagenet47"].Labels!).Path);

        var faces = datasets["faces-test"];
        Assert.AreEqual(((320, 240), 32L, 32L), (((ImagesSource)faces.Inputs["input"]).Image.ResizeExact, faces.Skip, faces.Take));
        Assert.AreEqual((0.00392156862745098, 100), (((IdxSource)datasets["digits-test"].Inputs["image"]).Image.Scale, datasets["digits-test"].Batch));

        var flowers = (TableSource)datasets["flowers"].Inputs["input"];
        CollectionAssert.AreEqual(new[] { "1", "2", "3", "4" }, flowers.Columns.ToArray());
        Assert.AreEqual((',', null), (flowers.Separator, flowers.Header));
        var species = (TableSource)datasets["flowers"].Labels!;
        CollectionAssert.AreEqual(new[] { "Iris-setosa", "Iris-versicolor", "Iris-virginica" }, species.Classes.ToArray());
        CollectionAssert.AreEqual(new[] { "5" }, species.Columns.ToArray());
    }

    [TestMethod]
    public void Values_random_numbers_and_tab_separated_tables_are_sources()
    {
        using var folder = new ManifestFolder("a.onnx", "t.tsv");
        var inputs = folder.Read(OneTarget + """
            datasets:
              d:
                inputs:
                  rate: { value: 16000 }
                  pair: { value: [1, -2.5] }
                  noise: { random: { min: -1, max: 1, seed: 7, count: 3, shape: [2, 5] } }
                  plain: { random: }
                  table: { tsv: t.tsv, columns: [height, 2], header: true }
                labels: { tsv: t.tsv, column: class }
            """).Datasets["d"].Inputs;

        CollectionAssert.AreEqual(new[] { "rate", "pair", "noise", "plain", "table" }, inputs.Keys.ToArray());
        CollectionAssert.AreEqual(new[] { 1, -2.5 }, ((ValueSource)inputs["pair"]).Values.ToArray());
        var noise = (RandomSource)inputs["noise"];
        Assert.AreEqual((-1.0, 1.0, 7, 3L), (noise.Min, noise.Max, noise.Seed, noise.Count));
        CollectionAssert.AreEqual(new long[] { 2, 5 }, noise.Shape.ToArray());
        Assert.AreEqual((0.0, 1.0, 0, 16L), inputs["plain"] is RandomSource plain ? (plain.Min, plain.Max, plain.Seed, plain.Count) : default);
        Assert.AreEqual(('\t', true), inputs["table"] is TableSource table ? (table.Separator, table.Header) : default);
    }

    [TestMethod]
    public void Defaults_are_merged_under_a_target_and_its_own_keys_win()
    {
        using var folder = new ManifestFolder("a.onnx", "b.onnx", "c.onnx", "x.npy");
        var targets = folder.Read("""
            version: 1
            datasets: { d: { inputs: { x: { npy: x.npy } } }, e: { inputs: { x: { npy: x.npy } } } }
            defaults:
              recipe: int8
              calibration: { use: d, take: 10 }
              on_failure: warn
              validate: { data: e, agreement: { min: 98% }, sqnr: { min: 20 } }
            targets:
              - model: a.onnx
              - { model: b.onnx, calibration: { take: 5 }, validate: { data: { skip: 3 }, agreement: { min: 90% } } }
              - { model: c.onnx, passes: [ { prune: { amount: 50% } } ], calibration: e, validate: none, on_failure: error, package: { as: none } }
            """).Targets;

        Assert.AreEqual(("int8", "d", 10L, OnFailure.Warn), (targets[0].Recipe, targets[0].Calibration!.Dataset.Name, targets[0].Calibration!.Take, targets[0].OnFailure));
        Assert.AreEqual(("d", 5L), (targets[1].Calibration!.Dataset.Name, targets[1].Calibration!.Take));
        Assert.AreEqual(("e", 3L), (targets[1].Validation!.Data!.Dataset.Name, targets[1].Validation!.Data!.Skip));
        CollectionAssert.AreEqual(new[] { 0.9, 20 }, targets[1].Validation!.Gates.Select(g => g.Limit).ToArray());
        CollectionAssert.AreEqual(new[] { 10, 7 }, targets[1].Validation!.Gates.Select(g => g.Location.Line).ToArray());
        Assert.IsNull(targets[2].Recipe);
        Assert.IsNull(targets[2].Validation);
        Assert.AreEqual("e", targets[2].Calibration!.Dataset.Name);
        Assert.AreEqual((OnFailure.Error, PackageAs.None), (targets[2].OnFailure, targets[2].Package));
        Assert.AreEqual(0.5, targets[2].Passes is [PrunePlan prune] ? prune.Amount : -1);
    }

    [TestMethod]
    public void A_target_without_validate_is_run_against_the_original_without_gates()
    {
        using var folder = new ManifestFolder("a.onnx");
        var target = folder.Read(OneTarget).Targets.Single();
        Assert.IsEmpty(target.Validation!.Gates);
        Assert.AreEqual((OnFailure.Error, PackageAs.Resource), (target.OnFailure, target.Package));
    }

    [TestMethod]
    public void Anchors_aliases_and_merge_keys_repeat_what_they_name()
    {
        using var folder = new ManifestFolder("a.onnx", "p/1.png");
        var plan = folder.Read("""
            version: 1
            datasets:
              one: { inputs: { x: &photo { images: p/*.png, crop: 8, mean: 1 } } }
              two: { inputs: { x: *photo } }
              three: { inputs: { x: { <<: *photo, crop: [4, 2] } } }
            targets: [ { model: a.onnx, recipe: lossless } ]
            """);

        var second = (ImagesSource)plan.Datasets["two"].Inputs["x"];
        Assert.AreEqual(("p/*.png", (8, 8), 1.0), (second.Pattern, second.Image.Crop, second.Image.Mean.Single()));
        var third = ((ImagesSource)plan.Datasets["three"].Inputs["x"]).Image;
        Assert.AreEqual(((4, 2), 1.0), (third.Crop, third.Mean.Single()));
    }

    [TestMethod]
    public void Rules_keep_their_order_and_what_they_match()
    {
        using var folder = new ManifestFolder("a.onnx");
        var rules = folder.Read("""
            version: 1
            targets:
              - model: a.onnx
                recipe: int8
                rules:
                  - { match: { op: [Gemm, MatMul], name: "^head/" }, quantize: none }
                  - { match: { op: Gemm }, quantize: int8 }
            """).Targets.Single().Rules;

        CollectionAssert.AreEqual(new[] { "Gemm", "MatMul" }, rules[0].Operators.ToArray());
        Assert.AreEqual(("^head/", false), (rules[0].NamePattern, rules[0].Quantize));
        Assert.AreEqual((null, true, 7), (rules[1].NamePattern, rules[1].Quantize, rules[1].Location.Line));
    }

    [TestMethod]
    public void Passes_carry_their_options_in_order()
    {
        using var folder = new ManifestFolder("a.onnx", "x.npy");
        var passes = folder.Read("""
            version: 1
            datasets: { d: { inputs: { x: { npy: x.npy } } } }
            targets:
              - model: a.onnx
                calibration: d
                passes:
                  - prune: { structure: unstructured, amount: 0.25, method: magnitude }
                  - quantize: { weights: int8, activations: uint8, calibrator: percentile, percentile: 99.9, per_channel: false }
            """).Targets.Single().Passes;

        Assert.AreEqual((0.25, 7), passes[0] is PrunePlan prune ? (prune.Amount, prune.Location.Line) : default);
        Assert.AreEqual(
            new QuantizePlan(passes[1].Location) { Activations = ActivationMode.Uint8, Calibrator = Calibrator.Percentile, Percentile = 99.9, PerChannel = false },
            passes[1]);
    }

    [TestMethod]
    public void Pruning_carries_what_it_removes_how_and_how_much_of_it()
    {
        using var folder = new ManifestFolder("a.onnx", "x.npy");
        var target = folder.Read("""
            version: 1
            datasets: { d: { inputs: { x: { npy: x.npy } } } }
            targets:
              - model: a.onnx
                calibration: d
                passes:
                  - prune: { structure: channels, bytes: 1 MB, method: flap, allocate: loss, repair: bias, multiple: 8, limit: 60% }
                  - prune: { structure: "2:4", method: wanda }
                  - prune: { structure: 4x1, amount: 97% }
                rules:
                  - { match: { op: Gemm }, quantize: none }
                  - { match: { op: Conv }, prune: none }
                  - { match: { op: Conv, name: "^body/" }, prune: auto }
            """).Targets.Single();

        CollectionAssert.AreEqual(
            new[]
            {
                new PrunePlan(target.Passes[0].Location, 1e6)
                {
                    Structure = PruneStructure.Channels, Measure = PruneMeasure.Bytes, Method = PruneMethod.Flap, Allocation = PruneAllocation.Loss, Repair = PruneRepair.Bias, Multiple = 8, Limit = 0.6,
                },
                new PrunePlan(target.Passes[1].Location, 0) { Structure = PruneStructure.Pattern, Shape = (2, 4), Method = PruneMethod.Wanda, Limit = 0.95 },
                new PrunePlan(target.Passes[2].Location, 0.97) { Structure = PruneStructure.Blocks, Shape = (4, 1), Limit = 0.97 },
            },
            target.Passes.ToArray());
        CollectionAssert.AreEqual(new bool?[] { null, false, true }, target.Rules.Select(r => r.Prune).ToArray());
    }

    [TestMethod]
    public void Files_are_all_that_the_manifest_names_with_patterns_expanded()
    {
        using var folder = new ManifestFolder("a.onnx", "p/1.png", "p/2.png", "x.csv");
        folder.Add("own.yaml", "name: own\nopset: 17\nweighted: { Conv: [static] }\n");
        var plan = folder.Read("""
            version: 1
            datasets: { d: { inputs: { x: { images: p/*.png } }, labels: { csv: x.csv, column: 0 } } }
            targets: [ { model: a.onnx, recipe: int8, runtime: own.yaml } ]
            """);

        CollectionAssert.AreEqual(
            new[] { "a.onnx", "compression.yaml", "own.yaml", "p/1.png", "p/2.png", "x.csv" }.Select(folder.File).ToArray(), plan.Files.ToArray());
        Assert.AreEqual("own", plan.Targets[0].Runtime.Name);
    }

    [TestMethod]
    public void Files_are_known_even_where_the_manifest_has_errors()
    {
        using var folder = new ManifestFolder("x.csv");
        System.IO.File.WriteAllText(folder.ManifestPath, """
            version: 1
            datasets: { d: { inputs: { x: { csv: x.csv, columns: {} } } } }
            targets: [ { model: missing.onnx, recipe: int9 } ]
            """);

        Assert.IsNull(ManifestReader.TryRead(folder.ManifestPath, out var diagnostics, out var files));
        CollectionAssert.AreEqual(new[] { "compression.yaml", "missing.onnx", "x.csv" }.Select(folder.File).ToArray(), files.ToArray());
        CollectionAssert.AreEqual(new[] { "MBT1004", "MBT1009", "MBT1007" }, diagnostics.Select(d => d.Code).ToArray());
    }

    [TestMethod]
    public void A_manifest_that_does_not_exist_is_an_error_with_its_name()
    {
        var wrong = Assert.ThrowsExactly<ModelBuildException>(() => ManifestReader.Read("nowhere/compression.yaml"));
        Assert.AreEqual("nowhere/compression.yaml: error MBT1009: the file does not exist", wrong.First.ToString());
    }

    [TestMethod]
    public void A_dataset_can_be_read_from_a_manifest_without_targets()
    {
        using var folder = new ManifestFolder("x.npy");
        folder.Add("compression.yaml", "version: 1\ndatasets: { digits: { inputs: { x: { npy: x.npy } }, take: 4 } }\n");
        Assert.AreEqual(4, ManifestReader.ReadDataset(folder.ManifestPath, "digits").Take);
        var wrong = Assert.ThrowsExactly<ModelBuildException>(() => ManifestReader.ReadDataset(folder.ManifestPath, "digit"));
        Assert.AreEqual((DiagnosticCodes.UnknownName, 2), (wrong.First.Code, wrong.First.Location?.Line));
        StringAssert.Contains(wrong.First.Message, "did you mean 'digits'?");
    }

    [TestMethod]
    public void A_target_and_a_gate_know_their_lines_and_columns()
    {
        using var folder = new ManifestFolder("a.onnx");
        var target = folder.Read("version: 1\ntargets:\n  - model: a.onnx\n    recipe: int8\n    validate:\n      sqnr: { min: 20.5 }\n").Targets.Single();
        Assert.AreEqual(new SourceLocation("compression.yaml", 3, 12, 3, 18), target.ModelLocation);
        Assert.AreEqual(new SourceLocation("compression.yaml", 3, 5, 3, 10), target.Location);
        Assert.AreEqual(new SourceLocation("compression.yaml", 6, 20, 6, 24), target.Validation!.Gates.Single().Location);
        Assert.AreEqual(new SourceLocation("compression.yaml", 4, 13, 4, 17), target.Passes.Single().Location);
    }
}
