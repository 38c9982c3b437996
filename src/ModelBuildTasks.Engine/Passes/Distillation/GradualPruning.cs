using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;
using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>
/// Zeros that grow while a student is trained (Zhu and Gupta: To Prune, or Not to Prune, 2017): after a share t of the steps in which they grow,
/// 1 − (1 − t)³ of those that there will be. Always the weights of the least magnitude go that are left at that time; what is gone stays gone.
/// </summary>
internal sealed class GradualPruning
{
    // Between two times that zeros are added the rest has some steps to make up for them. The first step has some already: without any, a student that
    // answers right has no gradient, and Adam would walk at random.
    private const int Times = 32;

    private readonly Dictionary<string, (PrunableWeight Weight, long Clear)> _weights;
    private readonly MaskShape _shape;
    private readonly double _until;
    private readonly int _threads;

    private GradualPruning(Dictionary<string, (PrunableWeight, long)> weights, DistillPlan plan, int threads) =>
        (_weights, _shape, _until, _threads) = (weights, MaskShape.Of(plan.Prune!), plan.PruneUntil, threads);

    /// <summary>Finds the weights, and how many of each go.</summary>
    /// <param name="student">The student.</param>
    /// <param name="plan">What is asked for; its <see cref="DistillPlan.Prune"/> is not null.</param>
    /// <param name="context">Rules, and calibration data where the amount is spread by loss.</param>
    /// <exception cref="ModelBuildException">MBT2068: no weight has the shape, or what is stored behind training has no zeros.</exception>
    public static GradualPruning Of(OnnxModel student, DistillPlan plan, PassContext context)
    {
        var prune = plan.Prune!;
        if (plan.Quantize?.Bits?.Bits == 1)
            throw new ModelBuildException(DiagnosticCodes.NotPrunedInTraining, "weights cannot be pruned while they are trained as binary: signs have no zero", prune.Location);
        var own = student.Graph.Initializer.Select(t => t.Name).ToHashSet();
        // Random weights predict no loss, and a pattern is the same share everywhere.
        var allocation = prune.Allocation == PruneAllocation.Auto && (plan.Scratch || prune.Structure == PruneStructure.Pattern || context.Calibration is null) ? PruneAllocation.Uniform : prune.Allocation;
        prune = prune with { Loss = plan.Loss, Allocation = allocation, Method = allocation is PruneAllocation.Auto or PruneAllocation.Loss ? PruneMethod.Auto : PruneMethod.Magnitude };
        var amounts = ZeroPruning.Amounts(student, prune, context).Where(a => a.Key.Key.Home == 0 && own.Contains(a.Key.Key.Name)).ToDictionary(a => a.Key.Key.Name, a => (a.Key, a.Value));
        return amounts.Count > 0 ? new(amounts, plan, context.Threads)
            : throw new ModelBuildException(DiagnosticCodes.NotPrunedInTraining, "no weight can be pruned while it is trained: none fits the structure, or rules hold them all", prune.Location);
    }

    /// <summary>The steps in which zeros grow.</summary>
    /// <param name="total">Steps of the training.</param>
    public int Steps(int total) => Math.Clamp((int)Math.Ceiling(total * _until), 1, Math.Max(1, total));

    /// <summary>Whether zeros are added in a step.</summary>
    /// <param name="done">Steps that will be done with it.</param>
    /// <param name="total">Steps of the training.</param>
    public bool IsDue(int done, int total) => Steps(total) is var steps && (done == steps || done < steps && (done - 1) % Math.Max(1, steps / Times) == 0);

    /// <summary>The share of the zeros that there will be, 0 to 1.</summary>
    /// <param name="done">Steps that will be done.</param>
    /// <param name="total">Steps of the training.</param>
    public double Share(int done, int total)
    {
        var left = 1 - Math.Min(1, (double)done / Steps(total));
        return 1 - left * left * left;
    }

    /// <summary>Adds zeros to masks: 0 at zeros, 1 elsewhere.</summary>
    /// <param name="share">How many of those that there will be.</param>
    /// <param name="masks">The masks so far; those that grow are replaced.</param>
    /// <param name="trained">Names of the weights that are trained.</param>
    /// <param name="values">The values of a weight.</param>
    public void Grow(double share, Dictionary<string, float[]> masks, IReadOnlyCollection<string> trained, Func<string, float[]> values)
    {
        foreach (var (name, (weight, clear)) in _weights.Where(w => trained.Contains(w.Key)))
        {
            var now = values(name);
            var before = masks.GetValueOrDefault(name);
            var scores = new double[now.Length];
            for (var i = 0; i < scores.Length; i++)
                scores[i] = before?[i] == 0 ? -1 : (double)now[i] * now[i];
            // All of them are exact: a share of 1 rounds nothing away.
            var wanted = share >= 1 ? clear : (long)(clear * share);
            var mask = new float[now.Length];
            Array.Fill(mask, 1);
            if (before is not null)
                before.CopyTo(mask, 0);
            foreach (var at in Gone(weight, now, scores, wanted))
                mask[at] = 0;
            masks[name] = mask;
        }
    }

    private IEnumerable<int> Gone(PrunableWeight weight, float[] values, double[] scores, long wanted)
    {
        if (_shape.Structure == PruneStructure.Unstructured)
            return ScoreMask.Least(scores, (int)Math.Min(wanted, scores.Length)).ToArray();
        var layer = new SparseLayer(values, weight.Rows!, _shape, [], [], _threads);
        var mask = ScoreMask.Choose(layer, scores, wanted, ComparedWithin.Layer);
        var chosen = Enumerable.Range(0, mask.Length).Where(i => mask[i]);
        // A pattern knows only all that will go: of them those that are least go first.
        return _shape.IsPattern ? chosen.OrderBy(i => scores[i]).ThenBy(i => i).Take((int)wanted) : chosen;
    }
}
