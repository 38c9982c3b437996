using System.Globalization;

namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>
/// The versions of the operators of the default domain from opset 7 on, as the operator specification's change log lists them.
/// A version with <c>!</c> changed form or meaning, and a node of the version before has to be rewritten; at all others the
/// old form stays valid and means the same (element types were added, or attributes and inputs whose absence is the old meaning).
/// The first number is the version in force at opset 7, or the one in which the operator came.
/// </summary>
internal static class OperatorHistory
{
    /// <summary>The last opset that the table covers.</summary>
    public const long Last = 17;

    /// <summary>The first opset from which nodes can be followed.</summary>
    public const long First = 7;

    private const string Table = """
        Abs 6 13
        Acos 7
        Acosh 9
        Add 7 13 14
        And 7
        ArgMax 1 11 12 13
        ArgMin 1 11 12 13
        Asin 7
        Asinh 9
        Atan 7
        Atanh 9
        AveragePool 7 10 11
        BatchNormalization 7 9! 14! 15
        Bernoulli 15
        BitShift 11
        BlackmanWindow 17
        Cast 6 9 13
        CastLike 15
        Ceil 6 13
        Celu 12
        Clip 6 11! 12 13
        Compress 9 11
        Concat 4 11 13
        ConcatFromSequence 11
        Constant 1 9 11 12 13
        ConstantOfShape 9
        Conv 1 11
        ConvInteger 10
        ConvTranspose 1 11
        Cos 7
        Cosh 9
        CumSum 11 14
        DFT 17
        DepthToSpace 1 11 13
        DequantizeLinear 10 13
        Det 11
        Div 7 13 14
        Dropout 7 10! 12! 13
        DynamicQuantizeLinear 11
        Einsum 12
        Elu 6
        Equal 7 11 13
        Erf 9 13
        Exp 6 13
        Expand 8 13
        EyeLike 9
        Flatten 1 9 11 13
        Floor 6 13
        GRU 7 14
        Gather 1 11 13
        GatherElements 11 13
        GatherND 11 12 13
        Gemm 7 9 11 13
        GlobalAveragePool 1
        GlobalLpPool 2
        GlobalMaxPool 1
        Greater 7 9 13
        GreaterOrEqual 12 16
        GridSample 16
        HammingWindow 17
        HannWindow 17
        HardSigmoid 6
        HardSwish 14
        Hardmax 1 11 13!
        Identity 1 13 14 16
        If 1 11 13 16
        InstanceNormalization 6
        IsInf 10
        IsNaN 9 13
        LRN 1 13
        LSTM 7 14
        LayerNormalization 17
        LeakyRelu 6 16
        Less 7 9 13
        LessOrEqual 12 16
        Log 6 13
        LogSoftmax 1 11 13!
        Loop 1 11 13 16
        LpNormalization 1
        LpPool 2 11
        MatMul 1 9 13
        MatMulInteger 10
        Max 6 8 12 13
        MaxPool 1 8 10 11 12
        MaxRoiPool 1
        MaxUnpool 9 11
        Mean 6 8 13
        MeanVarianceNormalization 9 13
        MelWeightMatrix 17
        Min 6 8 12 13
        Mod 10 13
        Mul 7 13 14
        Multinomial 7
        Neg 6 13
        NegativeLogLikelihoodLoss 12 13
        NonMaxSuppression 10 11
        NonZero 9 13
        Not 1
        OneHot 9 11
        Optional 15
        OptionalGetElement 15
        OptionalHasElement 15
        Or 7
        PRelu 7 9 16
        Pad 2 11! 13
        Pow 7 12 13 15
        QLinearConv 10
        QLinearMatMul 10
        QuantizeLinear 10 13
        RNN 7 14
        RandomNormal 1
        RandomNormalLike 1
        RandomUniform 1
        RandomUniformLike 1
        Range 11
        Reciprocal 6 13
        ReduceL1 1 11 13
        ReduceL2 1 11 13
        ReduceLogSum 1 11 13
        ReduceLogSumExp 1 11 13
        ReduceMax 1 11 12 13
        ReduceMean 1 11 13
        ReduceMin 1 11 12 13
        ReduceProd 1 11 13
        ReduceSum 1 11 13!
        ReduceSumSquare 1 11 13
        Relu 6 13 14
        Reshape 5 13 14
        Resize 10 11! 13!
        ReverseSequence 10
        RoiAlign 10 16!
        Round 11
        STFT 17
        Scan 8 9! 11 16
        Scatter 9 11!
        ScatterElements 11 13 16
        ScatterND 11 13 16
        Selu 6
        SequenceAt 11
        SequenceConstruct 11
        SequenceEmpty 11
        SequenceErase 11
        SequenceInsert 11
        SequenceLength 11
        SequenceMap 17
        Shape 1 13 15
        Shrink 9
        Sigmoid 6 13
        Sign 9 13
        Sin 7
        Sinh 9
        Size 1 13
        Slice 1 10! 11 13
        Softmax 1 11 13!
        SoftmaxCrossEntropyLoss 12 13
        Softplus 1
        Softsign 1
        SpaceToDepth 1 13
        Split 2 11 13!
        SplitToSequence 11
        Sqrt 6 13
        Squeeze 1 11 13!
        StringNormalizer 10
        Sub 7 13 14
        Sum 6 8 13
        Tan 7
        Tanh 6 13
        TfIdfVectorizer 9
        ThresholdedRelu 10
        Tile 6 13
        TopK 1 10! 11
        Transpose 1 13
        Trilu 14
        Unique 11
        Unsqueeze 1 11 13!
        Upsample 7 9! 10!
        Where 9 16
        Xor 7
        """;

    private static readonly Dictionary<string, Version[]> _operators = Table
        .Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
        .Select(line => line.Split(' '))
        .ToDictionary(words => words[0], words => words[1..].Select(Parse).ToArray());

    /// <summary>Whether an opset has the operator.</summary>
    public static bool Exists(string opType, long opset) => _operators.TryGetValue(opType, out var versions) && versions[0].Number <= opset;

    /// <summary>Whether nodes of the version before have to be rewritten for this opset.</summary>
    public static bool ChangedForm(string opType, long opset) =>
        _operators.TryGetValue(opType, out var versions) && Array.Exists(versions, v => v.Number == opset && v.Changed);

    /// <summary>Every operator and opset at which its form or meaning changed.</summary>
    public static IEnumerable<(string OpType, long Opset)> FormChanges =>
        _operators.SelectMany(o => o.Value.Where(v => v.Changed).Select(v => (o.Key, v.Number)));

    private static Version Parse(string word) =>
        new(long.Parse(word.TrimEnd('!'), CultureInfo.InvariantCulture), word.EndsWith('!'));

    private readonly record struct Version(long Number, bool Changed);
}
