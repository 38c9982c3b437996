using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>
/// Values inside student and teacher that differ in width are compared behind a matrix that takes the student's channels to the teacher's (Romero et al.:
/// FitNets: Hints for Thin Deep Nets, 2015). It begins as the least squares fit on some samples, is trained along with the student, and goes with
/// the end of training.
/// </summary>
internal sealed class HiddenProjections
{
    // Places that a fit is made on; a matrix of a thousand channels has fewer unknowns a row.
    private const int Places = 16384;
    private const int Batches = 8;

    private readonly HashSet<string> _values = [];
    private readonly HashSet<string> _weights = [];

    private HiddenProjections(OnnxModel student, IReadOnlyList<LossTerm> terms) => (Student, Terms) = (student, terms);

    /// <summary>The student with the matrices, whose products are outputs.</summary>
    public OnnxModel Student { get; }

    /// <summary>The terms, which compare the products where there are any.</summary>
    public IReadOnlyList<LossTerm> Terms { get; private set; }

    /// <summary>How many matrices there are.</summary>
    public int Count => _weights.Count;

    /// <summary>Puts matrices behind the values that need one.</summary>
    /// <param name="student">The student; it stays as it is.</param>
    /// <param name="teacher">The teacher.</param>
    /// <param name="terms">What is compared.</param>
    /// <param name="data">What the matrices are fitted on.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="ModelBuildException">MBT2065: values that are compared differ in more than their width.</exception>
    public static HiddenProjections Attach(OnnxModel student, OnnxModel teacher, IReadOnlyList<LossTerm> terms, IDataset data, CancellationToken cancellation = default)
    {
        List<LossTerm> hidden = [.. terms.Where(t => t.Kind is LossKind.SquaredError or LossKind.Cosine && student.Graph.Output.All(o => o.Name != t.Value))];
        if (hidden.Count == 0)
            return new(student, terms);
        using var mine = new Session(Showing(student, hidden.Select(t => t.Value)), new SessionSettings());
        using var theirs = new Session(Showing(teacher, hidden.Select(Reference)), new SessionSettings());
        var fits = new Dictionary<LossTerm, LeastSquares>(ReferenceEqualityComparer.Instance);
        foreach (var batch in data.Batches().Take(Batches))
        {
            var (values, wanted) = (mine.Run(batch.Inputs, [.. hidden.Select(t => t.Value).Distinct()], cancellation), theirs.Run(batch.Inputs, [.. hidden.Select(Reference).Distinct()], cancellation));
            foreach (var term in hidden)
            {
                var (value, target) = (values[term.Value], wanted[Reference(term)]);
                if (Axis(term, value.Shape, target.Shape) is not { } axis)
                    continue;
                if (!fits.TryGetValue(term, out var fit))
                    fits[term] = fit = new(axis, value.Shape[axis], target.Shape[axis]);
                if (fit.Rows < Places)
                    fit.Add(value, target);
            }
        }

        if (fits.Count == 0)
            return new(student, terms);
        var result = new HiddenProjections(student.Clone(), terms);
        var names = new NameAllocator(result.Student);
        result.Terms = [.. terms.Select(t => fits.TryGetValue(t, out var fit) ? t with { Value = result.Project(t.Value, fit, names), Reference = Reference(t) } : t)];
        return result;
    }

    /// <summary>Takes the matrices out again.</summary>
    public OnnxModel Detach(OnnxModel trained)
    {
        if (Count == 0)
            return trained;
        var clone = trained.Clone();
        GraphEdit.Keep(clone.Graph.Node, n => !n.Output.Any(_values.Contains));
        GraphEdit.Keep(clone.Graph.Output, o => !_values.Contains(o.Name));
        GraphEdit.Keep(clone.Graph.Initializer, t => !_weights.Contains(t.Name));
        return clone;
    }

    private static string Reference(LossTerm term) => term.Reference ?? term.Value;

    private static OnnxModel Showing(OnnxModel model, IEnumerable<string> values)
    {
        var clone = model.Clone();
        var known = clone.Graph.Output.Select(o => o.Name).ToHashSet();
        clone.Graph.Output.AddRange(values.Where(known.Add).Select(v => new ValueInfoProto { Name = v }));
        return clone;
    }

    /// <summary>The axis in which two shapes differ, or null where they do not.</summary>
    private static int? Axis(LossTerm term, long[] mine, long[] theirs)
    {
        List<int> differ = [.. Enumerable.Range(0, Math.Min(mine.Length, theirs.Length)).Where(i => mine[i] != theirs[i])];
        if (mine.Length == theirs.Length && differ.Count == 0)
            return null;
        if (mine.Length == theirs.Length && differ is [> 0 and var axis])
            return axis;
        throw new ModelBuildException(DiagnosticCodes.HiddenShapes,
            $"'{term.Value}' of the student is float32[{string.Join(',', mine)}], '{Reference(term)}' of its teacher [{string.Join(',', theirs)}]: values that are compared may differ in one width alone, and not in that of samples");
    }

    private string Project(string value, LeastSquares fit, NameAllocator names)
    {
        var graph = Student.Graph;
        var weight = names.Next($"{value}/projection");
        graph.Initializer.Add(Student.CreateTensor(weight, [fit.From, fit.To], fit.Solve()));
        _weights.Add(weight);
        var last = fit.Rank - 1;
        string Node(string op, IEnumerable<string> inputs, long[]? perm)
        {
            var output = names.Next($"{value}/projected");
            var node = GraphExtensions.Node(op, inputs, [output]);
            if (perm is not null)
                node.Set("perm", perm);
            graph.Node.Add(node);
            _values.Add(output);
            return output;
        }

        // Channels go last for the product, and back to their place: a transposition of two axes is its own inverse.
        long[] swap = [.. Enumerable.Range(0, fit.Rank).Select(i => (long)(i == fit.Axis ? last : i == last ? fit.Axis : i))];
        var product = Node("MatMul", [fit.Axis == last ? value : Node("Transpose", [value], swap), weight], null);
        var result = fit.Axis == last ? product : Node("Transpose", [product], swap);
        graph.Output.Add(new ValueInfoProto { Name = result, Type = Autodiff.TrainingForm.TypeOf(Onnx.TensorProto.Types.DataType.Float, fit.Shape) });
        return result;
    }

    /// <summary>min Σ |xP - y|² over the places of values.</summary>
    private sealed class LeastSquares(int axis, long from, long to)
    {
        private readonly double[] _gram = new double[from * from];
        private readonly double[] _cross = new double[from * to];

        public int Axis => axis;

        public long From => from;

        public long To => to;

        public int Rank { get; private set; }

        public long[] Shape { get; private set; } = [];

        public long Rows { get; private set; }

        public void Add(Tensor x, Tensor y)
        {
            (Rank, Shape) = (x.Shape.Length, [.. y.Shape]);
            var (inner, outer) = (ElementTypes.Count(x.Shape[(axis + 1)..]), ElementTypes.Count(x.Shape[..axis]));
            var a = x.As<float>();
            var b = y.As<float>();
            var (row, target) = (new double[from], new double[to]);
            for (long o = 0; o < outer; o++)
            {
                for (long i = 0; i < inner && Rows < Places; i++, Rows++)
                {
                    Gather(a, row, o, i, inner);
                    Gather(b, target, o, i, inner);
                    for (var k = 0; k < row.Length; k++)
                    {
                        System.Numerics.Tensors.TensorPrimitives.MultiplyAdd<double>(row, row[k], _gram.AsSpan(k * row.Length, row.Length), _gram.AsSpan(k * row.Length, row.Length));
                        System.Numerics.Tensors.TensorPrimitives.MultiplyAdd<double>(target, row[k], _cross.AsSpan(k * target.Length, target.Length), _cross.AsSpan(k * target.Length, target.Length));
                    }
                }
            }
        }

        public float[] Solve()
        {
            var n = (int)from;
            var lower = Cholesky.FactorDamped(_gram, n);
            var (result, column) = (new float[from * to], new double[n]);
            for (var j = 0; j < to; j++)
            {
                for (var i = 0; i < n; i++)
                    column[i] = _cross[(i * to) + j];
                Cholesky.Solve(lower, column);
                for (var i = 0; i < n; i++)
                    result[(i * to) + j] = (float)column[i];
            }

            return result;
        }

        private static void Gather(ReadOnlySpan<float> values, double[] into, long outer, long at, long inner)
        {
            for (var c = 0; c < into.Length; c++)
                into[c] = values[(int)((((outer * into.Length) + c) * inner) + at)];
        }
    }
}
