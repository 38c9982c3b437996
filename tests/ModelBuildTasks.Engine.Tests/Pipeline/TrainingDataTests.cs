using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class TrainingDataTests
{
    private static readonly SourceLocation _at = new("compression.yaml", 6, 9);

    [TestMethod]
    public void The_pass_gets_its_data_and_the_cleaned_up_original()
    {
        using var bench = Training();
        bench.CleanUp = (model, _) => new(TinyModel.Shrink(model, w => w), [], "clean");
        PassContext? seen = null;
        bench.Target = bench.Target with { Passes = [new PrunePlan(_at, 0.5), bench.Target.Passes[0]] };
        var pass = 0;
        bench.Pass = (model, context) =>
        {
            seen = context;
            // The first pass is none that trains.
            Assert.AreEqual(pass++ > 0, context.Training is not null);
            return Bench.Done(TinyModel.Shrink(model, w => w * 0.9f));
        };
        Assert.IsTrue(bench.Run().Succeeded);
        Assert.AreSame(bench.Data, seen!.Training);
        // The teacher is what clean-up made of the original, not what the pass before made of that.
        Assert.IsFalse(seen.Teacher!.Graph.Initializer.Any(t => t.Name == TinyModel.Ballast));
        CollectionAssert.AreEqual(TinyModel.Weights, seen.Teacher.ReadFloats(seen.Teacher.Graph.Initializer.First(t => t.Name == "W")));
    }

    [TestMethod]
    public void Other_training_data_or_options_or_another_student_trains_again()
    {
        using var bench = Training();
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        bool hit() => bench.Run().Targets[0].CacheHit;
        Assert.IsFalse(hit());
        Assert.IsTrue(hit());
        bench.Data = new TinyData([[3, 1, 0, 0], [0, 2, 1, 5]]);
        Assert.IsFalse(hit());
        var plan = (DistillPlan)bench.Target.Passes[0];
        bench.Target = bench.Target with { Passes = [plan with { Epochs = 3 }] };
        Assert.IsFalse(hit());
        using (var student = TinyModel.Create(3))
            student.Save(bench.File("student.onnx"));
        bench.Target = bench.Target with { Passes = [plan with { Student = new(_at, bench.File("student.onnx")) }] };
        Assert.IsFalse(hit());
        Assert.IsTrue(hit());
        using (var student = TinyModel.Create(5))
            student.Save(bench.File("student.onnx"));
        Assert.IsFalse(hit());
        // Where the same student lies says nothing.
        File.Copy(bench.File("student.onnx"), bench.File("same.onnx"));
        bench.Target = bench.Target with { Passes = [plan with { Student = new(_at, bench.File("same.onnx")) }] };
        Assert.IsTrue(hit());
    }

    [TestMethod]
    public void A_student_is_cleaned_up_and_one_that_is_no_model_is_told_at_its_place()
    {
        using var bench = Training();
        var plan = (DistillPlan)bench.Target.Passes[0] with { Student = new(_at, bench.File("student.onnx")) };
        bench.Target = bench.Target with { Passes = [plan] };
        File.WriteAllText(bench.File("student.onnx"), "no model");
        var error = bench.Run().Targets[0].Diagnostics.Single();
        Assert.AreEqual(_at, error.Location);
        using (var student = TinyModel.Create(7))
            student.Save(bench.File("student.onnx"));
        var cleaned = 0;
        bench.CleanUp = (model, _) =>
        {
            cleaned++;
            return new(model.Clone(), [], "clean");
        };
        bench.Pass = (model, context) =>
        {
            Assert.AreEqual(7, context.Student!.Graph.Initializer.First(t => t.Name == TinyModel.Ballast).Dims[0]);
            return Bench.Done(TinyModel.Shrink(model, w => w));
        };
        Assert.IsTrue(bench.Run().Succeeded);
        Assert.AreEqual(2, cleaned);
    }

    private static Bench Training()
    {
        var bench = new Bench();
        var data = new DatasetPlan { Name = "tiny", Location = _at, Inputs = new Dictionary<string, SourcePlan>() };
        bench.Target = bench.Target with { Validation = null, Passes = [new DistillPlan(_at) { Data = new(data, _at) }] };
        return bench;
    }
}
