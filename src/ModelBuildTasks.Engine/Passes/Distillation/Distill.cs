using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;
using ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;
using ModelBuildTasks.Engine.Passes.DistillationSteps.Streams;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Knowledge distillation (Hinton, Vinyals, Dean 2015): the weights of a model that was made smaller, or of another model, are trained until it
/// answers like the original. No labels are needed. Weights that were pruned keep their zeros, and biases are trained, too. The result is the
/// same on any number of threads.
/// </summary>
public static class Distill
{
    /// <summary>Trains a copy of the model.</summary>
    /// <param name="model">The student, where the plan names no other; it stays as it is.</param>
    /// <param name="plan">How it is trained.</param>
    /// <param name="context">Training data (<see cref="PassContext.Training"/>, or else the calibration data), <see cref="PassContext.Teacher"/>, and <see cref="PassContext.Student"/> for a plan that names one.</param>
    /// <exception cref="ModelBuildException">MBT1010, MBT2004, MBT2040 to MBT2049, MBT2062 to MBT2065: why it cannot be trained, or how training failed.</exception>
    public static PassResult Run(OnnxModel model, DistillPlan plan, PassContext context)
    {
        var data = context.Training ?? context.Calibration ?? throw new ModelBuildException(DiagnosticCodes.DataMissing, "distill trains on data, and there is none", plan.Location);
        var teacher = context.Teacher ?? throw new ModelBuildException(DiagnosticCodes.DataMissing, "distill needs the original, which the model learns from", plan.Location);
        var given = plan.Student is null ? model : context.Student ?? throw new ModelBuildException(DiagnosticCodes.DataMissing, "the student that the plan names was not loaded", plan.Student.Location);
        try
        {
            return Train(given, teacher, data, plan, context);
        }
        catch (ModelBuildException e)
        {
            throw e.At(plan.Location);
        }
        catch (Exception e) when (TrainingMemory.IsExhausted(e))
        {
            throw new ModelBuildException(DiagnosticCodes.TrainingOutOfMemory, "training ran out of memory; a smaller 'batch', a smaller input, or a 'memory' below what the machine has helps", plan.Location, e);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(DiagnosticCodes.OriginalDoesNotRun, $"student or teacher does not run on the training data '{data.Description}': {OnnxRuntimeText.OneLine(e)}", plan.Location, e);
        }
    }

    private static PassResult Train(OnnxModel given, OnnxModel teacher, IDataset data, DistillPlan plan, PassContext context)
    {
        CheckInterface(given, teacher);
        if (plan.Window is not null && data.Feedback.Count == 0)
            throw new ModelBuildException(DiagnosticCodes.NoStreamTraining, "'window' counts the runs of a stream, and no output of the model is fed back in the data that is trained on");
        var student = given.Clone();
        ConstantNodes.Apply(student);
        var (stored, isHalf) = (student, false);
        if (WideArithmetic.Apply(student) is { } wide)
        {
            // A step of training is less than float16 tells apart: it is done in float32, and what comes of it is stored as before.
            RefuseHalf(plan, data);
            (student, teacher, isHalf) = (wide, WideArithmetic.Apply(teacher) ?? teacher, true);
        }

        if (plan.Scratch)
            student = FreshWeights.Draw(student, (ulong)plan.Seed);
        var sample = data.Batches().First().Inputs;
        var projections = HiddenProjections.Attach(student, teacher, DistillationTerms.Of(student, teacher, plan, sample), data, context.Cancellation);
        var options = new TrainerOptions
        {
            Terms = projections.Terms,
            Constants = ConstantInputs(student),
            Epochs = plan.Epochs ?? (plan.Method == DistillMethod.Blockwise ? 50 : 2),
            Steps = plan.Steps,
            Batch = plan.Batch,
            Rate = (float)plan.LearningRate,
            WarmUp = (float)plan.WarmUp,
            HeldBack = (float)plan.HeldBack,
            Patience = plan.Patience,
            Seed = (ulong)plan.Seed,
            Threads = context.Threads,
            Quantizer = plan.Quantize is null ? null : FakeQuantizer.Of(student, plan.Quantize, context),
            KeepZeros = !plan.Scratch,
            Memory = plan.Memory,
            Gradual = plan.Prune is null ? null : GradualPruning.Of(student, plan, context),
            Optimizer = new(Decay: (float)plan.WeightDecay),
        };
        var start = Stopwatch.GetTimestamp();
        if (data.Feedback.Count > 0 && projections.Count > 0)
            throw new ModelBuildException(DiagnosticCodes.NoStreamTraining, "hidden values that differ in width cannot be compared in a model whose outputs are fed back; name such as have the same width in both");
        Action<TrainingProgress> progress = p => Report(context, p, start);
        var trained = plan.Method == DistillMethod.Blockwise ? new BlockwiseTrainer(student, teacher, data, options).Run(progress, context.Cancellation)
            : data.Feedback.Count > 0 ? new StreamTrainer(student, teacher, data, options, plan.Window ?? DistillPlan.DefaultWindow).Run(progress, context.Cancellation)
            : new Trainer(projections.Student, teacher, data, options).Run(progress, context.Cancellation);
        trained = trained with { Student = projections.Detach(trained.Student) };
        var better = trained.After < trained.Before;
        var decisions = Rows(student, stored, trained, better, plan.Prune is not null);
        if (isHalf)
            trained = trained with { Student = NarrowArithmetic.Apply(stored, student, trained.Student) };
        return new(better || plan.Student is not null || plan.Scratch || plan.Prune is not null ? trained.Student : given.Clone(), decisions, Summary(trained, better, plan.Prune is not null));
    }

    private static void RefuseHalf(DistillPlan plan, IDataset data)
    {
        if (plan.Quantize is not null)
            throw new ModelBuildException(DiagnosticCodes.NotTrainedAsStored, "weights cannot be trained as quantize will store them: those of a model in float16 are no multiples of a scale to the bit; leave 'quantize' out of 'distill', or take the float32 form of the model");
        if (plan.Method == DistillMethod.Blockwise)
            throw new ModelBuildException(DiagnosticCodes.NoBlocks, "a model in float16 is not trained block by block; train it end to end, or take its float32 form");
        if (data.Feedback.Count > 0)
            throw new ModelBuildException(DiagnosticCodes.NoStreamTraining, "a model in float16 whose outputs are fed back cannot be trained; take its float32 form");
    }

    /// <summary>The artifact takes the original's place in the app: it must be called as that.</summary>
    private static void CheckInterface(OnnxModel student, OnnxModel teacher)
    {
        static string types(IEnumerable<ValueDescription> values) => string.Join(", ", values.OrderBy(v => v.Name, StringComparer.Ordinal).Select(v => $"'{v.Name}' ({ElementTypes.Name(v.Type)})"));
        foreach (var (what, mine, theirs) in new[] { ("inputs", types(student.Inputs), types(teacher.Inputs)), ("outputs", types(student.Outputs), types(teacher.Outputs)) })
        {
            if (mine != theirs)
                throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"the student's {what} are {mine}, its teacher's {theirs}");
        }
    }

    /// <summary>Inputs that have no axis for samples, such as a sampling rate: numbers, and what is of fixed length beside inputs of free length.</summary>
    private static List<string> ConstantInputs(OnnxModel student)
    {
        var free = student.Inputs.Any(i => i.Shape is [<= 0, ..]);
        return [.. student.Inputs.Where(i => i.Shape is [] || (free && i.Shape is [> 0, ..])).Select(i => i.Name)];
    }

    private static void Report(PassContext context, TrainingProgress p, long start)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        // A line for each percent is enough.
        if (p.Step < p.Steps && p.Step * 100L / p.Steps == (p.Step - 1) * 100L / p.Steps)
            return;
        var left = Stopwatch.GetElapsedTime(start) * ((double)(p.Steps - p.Step) / p.Step);
        var heldBack = p.HeldBack is { } h ? $", {h.ToString("G4", CultureInfo.InvariantCulture)} held back" : "";
        var done = (double)p.Step / p.Steps;
        if (context.ProgressText is { } tell)
            tell($"step {p.Step} of {p.Steps}, loss {p.Loss.ToString("G4", CultureInfo.InvariantCulture)}{heldBack}, {left.TotalSeconds.ToString("0", CultureInfo.InvariantCulture)} s left", done);
        else
            context.Progress?.Invoke(done);
    }

    private static string Summary(TrainingResult trained, bool better, bool prunes)
    {
        var losses = string.Create(CultureInfo.InvariantCulture, $"{trained.Before:G4} -> {trained.After:G4}");
        if (prunes)
            return string.Create(CultureInfo.InvariantCulture, $"{trained.Steps} steps in which {trained.Masked.Count} weight{(trained.Masked.Count == 1 ? " was" : "s were")} pruned, loss on held-back samples {(better ? $"{trained.Before:G4} (pruned at once) -> {trained.After:G4}" : $"no better than pruned at once, {trained.Before:G4}: they are")}");
        var masked = trained.Masked.Count == 0 ? "" : $", {trained.Masked.Count} pruned weight{(trained.Masked.Count == 1 ? "" : "s")} kept their zeros";
        if (trained.Blocks.All > 0)
            masked = $", {trained.Blocks.Kept} of {trained.Blocks.All} blocks with new weights{masked}";
        return better ? $"{trained.Steps} steps, loss on held-back samples {losses}{masked}" : $"{trained.Steps} steps made the loss on held-back samples no better than {trained.Before.ToString("G4", CultureInfo.InvariantCulture)}; the weights stay";
    }

    /// <summary>A row for each node that reads what was trained.</summary>
    private static List<Decision> Rows(OnnxModel student, OnnxModel stored, TrainingResult trained, bool better, bool prunes)
    {
        var weights = trained.Weights.ToHashSet();
        var (before, after) = (student.Graph.Initializer.ToDictionary(t => t.Name), trained.Student.Graph.Initializer.ToDictionary(t => t.Name));
        var files = stored.Graph.Initializer.ToDictionary(t => t.Name);
        var rows = new List<Decision>();
        foreach (var node in student.Graph.Node)
        {
            foreach (var name in node.Input.Where(weights.Remove))
            {
                var (old, now) = (student.ReadFloats(before[name]), trained.Student.ReadFloats(after[name]));
                var bytes = stored.ByteLength(files[name]);
                var zeros = !trained.Masked.Contains(name) ? "" : prunes ? string.Create(CultureInfo.InvariantCulture, $"; {100.0 * now.Count(v => v == 0) / now.Length:0.0} % of it is zero") : "; its zeros stay";
                var reason = prunes && !better ? $"pruned at once by magnitude, which training did not improve on{zeros}"
                    : better ? $"'{name}' moved by {Change(old, now)} % of its norm{zeros}" : "training made the answers to samples that were held back no better";
                var note = trained.Notes.GetValueOrDefault(name, (true, ""));
                if (better && note.Item2.Length > 0)
                    reason = note.Item1 ? $"{reason}; {note.Item2}" : note.Item2;
                rows.Add(new(node.DisplayName(), node.OpType, better && note.Item1 ? "trained" : prunes ? "pruned" : "left", reason) { BytesBefore = bytes, BytesAfter = bytes });
            }
        }

        return rows;
    }

    private static string Change(float[] old, float[] now)
    {
        double moved = 0, norm = 0;
        for (var i = 0; i < old.Length; i++)
        {
            moved += ((double)now[i] - old[i]) * ((double)now[i] - old[i]);
            norm += (double)old[i] * old[i];
        }

        return norm == 0 ? "more than 100" : (100 * Math.Sqrt(moved / norm)).ToString("0.0", CultureInfo.InvariantCulture);
    }
}
