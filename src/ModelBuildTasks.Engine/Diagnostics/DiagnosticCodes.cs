namespace ModelBuildTasks.Engine.Diagnostics;

/// <summary>Every diagnostic code with its title. A code has a page in <c>docs/diagnostics</c> and is never given a second meaning.</summary>
public static class DiagnosticCodes
{
    // MBT1xxx: the manifest and the datasets it names.

    /// <summary>The manifest is not valid YAML.</summary>
    public const string ManifestSyntax = "MBT1001";

    /// <summary>A key that the manifest does not know.</summary>
    public const string UnknownKey = "MBT1002";

    /// <summary>The same key twice in one mapping.</summary>
    public const string DuplicateKey = "MBT1003";

    /// <summary>A value of the wrong type or form.</summary>
    public const string WrongType = "MBT1004";

    /// <summary>A required key is missing.</summary>
    public const string MissingKey = "MBT1005";

    /// <summary>A value outside its range, or a combination that makes no sense.</summary>
    public const string InvalidValue = "MBT1006";

    /// <summary>A name (dataset, recipe, runtime, target) that is not defined.</summary>
    public const string UnknownName = "MBT1007";

    /// <summary>Two targets, or two manifests, give artifacts of the same name.</summary>
    public const string DuplicateName = "MBT1008";

    /// <summary>A file or folder that the manifest names does not exist.</summary>
    public const string FileNotFound = "MBT1009";

    /// <summary>A feature of the manifest that this version does not have yet.</summary>
    public const string NotAvailable = "MBT1010";

    /// <summary>An impossible order or combination of passes.</summary>
    public const string ImpossiblePasses = "MBT1011";

    /// <summary>The manifest's <c>version</c> is not one that this tool reads.</summary>
    public const string ManifestVersion = "MBT1012";

    /// <summary>A dataset file cannot be read: wrong format, truncated, or too large.</summary>
    public const string DatasetUnreadable = "MBT1020";

    /// <summary>A dataset does not fit the model's inputs (name, type or shape).</summary>
    public const string DatasetDoesNotFit = "MBT1021";

    /// <summary>A dataset has no samples.</summary>
    public const string DatasetEmpty = "MBT1022";

    /// <summary>A pass or metric needs data or labels and has none.</summary>
    public const string DataMissing = "MBT1023";

    // MBT2xxx: reading, compressing and writing models.

    /// <summary>The model file is not an ONNX model (empty, text, a Git LFS pointer, truncated).</summary>
    public const string NotAModel = "MBT2001";

    /// <summary>The model is damaged: sizes, names or graphs that contradict each other.</summary>
    public const string DamagedModel = "MBT2002";

    /// <summary>External data outside the model's folder, missing, or shorter than the model says.</summary>
    public const string ExternalData = "MBT2003";

    /// <summary>ONNX Runtime refuses to load or to run the original model.</summary>
    public const string OriginalDoesNotRun = "MBT2004";

    /// <summary>The artifact was written but does not load or run; it was not put in place.</summary>
    public const string ArtifactDoesNotRun = "MBT2005";

    /// <summary>A pass could do nothing at all with the model (a warning).</summary>
    public const string NothingDone = "MBT2006";

    /// <summary>The artifact cannot be written.</summary>
    public const string CannotWrite = "MBT2007";

    /// <summary>A run of a model did not end in time and was stopped.</summary>
    public const string RunDoesNotEnd = "MBT2008";

    /// <summary>The compressed model has numbers or operators that the target's runtime does not execute; it was not put in place.</summary>
    public const string DoesNotConform = "MBT2020";

    /// <summary>Calibration data whose samples do not vary (a warning).</summary>
    public const string ConstantCalibrationData = "MBT2021";

    /// <summary>NaN or infinity in the calibration data, or in the model on it (a warning).</summary>
    public const string NonFiniteCalibrationData = "MBT2022";

    /// <summary>Calibration data of another scale than the model was trained on (a warning).</summary>
    public const string ScaleOfCalibrationData = "MBT2023";

    /// <summary>The model is dead, or its outputs hardly vary, on the calibration data (a warning).</summary>
    public const string DeadOnCalibrationData = "MBT2024";

    /// <summary>Too few calibration samples (a warning).</summary>
    public const string FewCalibrationSamples = "MBT2025";

    /// <summary>The runtime has no weights of the width that is asked for.</summary>
    public const string NoSuchWeights = "MBT2026";

    /// <summary>A budget of bits that the weights do not fit into.</summary>
    public const string BitBudget = "MBT2027";

    /// <summary>An artifact that cannot be embedded: it has a data file, or is too large for an assembly.</summary>
    public const string CannotEmbed = "MBT2030";

    /// <summary>An artifact that cannot be encoded: it has a data file, which a runtime maps as it is.</summary>
    public const string CannotEncode = "MBT2031";

    /// <summary>The target framework has no decoder for the artifact's encoding.</summary>
    public const string NoDecoder = "MBT2032";

    /// <summary>The types of a graph that was converted to float16 contradict each other.</summary>
    public const string HalfTypesContradict = "MBT2033";

    /// <summary>Arithmetic in float16 was asked for on a runtime that computes in float32 (a warning).</summary>
    public const string SlowHalfArithmetic = "MBT2034";

    /// <summary>What does not fit into memory cannot be kept in a temporary file.</summary>
    public const string CannotSpill = "MBT2035";

    /// <summary>A tensor that a pass has to read at once has more elements than an array can have.</summary>
    public const string TensorTooLarge = "MBT2036";

    /// <summary>The runtime does not fold constants, which palettes need.</summary>
    public const string NoFolding = "MBT2037";

    /// <summary>An operator between a weight that is to be trained and the loss has no gradient rule.</summary>
    public const string NoGradientRule = "MBT2040";

    /// <summary>What is to be trained is no float32 weight of the model, or a loss is taken of what is no float32 value.</summary>
    public const string NotTrainable = "MBT2041";

    /// <summary>A shape that a gradient needs depends on the data.</summary>
    public const string UnknownTrainingShape = "MBT2042";

    /// <summary>The model's operators cannot be raised to the operator set that gradients are written in.</summary>
    public const string OpsetBelowGradients = "MBT2043";

    /// <summary>In training the loss is not finite.</summary>
    public const string LossNotFinite = "MBT2044";

    /// <summary>The outputs of student and teacher that are compared do not match.</summary>
    public const string StudentDoesNotMatch = "MBT2045";

    /// <summary>Too few samples to train on.</summary>
    public const string FewTrainingSamples = "MBT2046";

    /// <summary>Weights cannot be trained as a quantization will store them.</summary>
    public const string NotTrainedAsStored = "MBT2049";

    /// <summary>As much as pruning was asked to remove cannot be removed.</summary>
    public const string PruneTarget = "MBT2060";

    /// <summary>Structured pruning finds nothing that it may remove.</summary>
    public const string NothingToPrune = "MBT2061";

    /// <summary>A model that is to be trained block by block has no blocks.</summary>
    public const string NoBlocks = "MBT2062";

    /// <summary>A step of training takes more memory than it may.</summary>
    public const string TrainingTooLarge = "MBT2063";

    /// <summary>Training ran out of memory.</summary>
    public const string TrainingOutOfMemory = "MBT2064";

    /// <summary>Values inside student and teacher that are compared differ in more than one width.</summary>
    public const string HiddenShapes = "MBT2065";

    /// <summary>Pruning by calibration data finds weights of another type than float32.</summary>
    public const string PrunedInFloat32 = "MBT2066";

    /// <summary>Weights cannot be pruned and rounded at once for a quantization that will not store the rounded values.</summary>
    public const string NotRoundedAsStored = "MBT2067";

    /// <summary>Weights cannot be pruned while they are trained.</summary>
    public const string NotPrunedInTraining = "MBT2068";

    /// <summary>A stream cannot be trained on as it was asked for.</summary>
    public const string NoStreamTraining = "MBT2069";

    /// <summary>Weights that were pruned are not zero any more in the finished file; it was not put in place.</summary>
    public const string ZerosLost = "MBT2050";

    /// <summary>Weights that were pruned are not found again in the finished file, so that nobody knows of their zeros (a warning).</summary>
    public const string ZerosNotCompared = "MBT2051";

    // MBT3xxx: gates.

    /// <summary>Accuracy is outside its limits.</summary>
    public const string AccuracyGate = "MBT3001";

    /// <summary>Agreement with the original is outside its limits.</summary>
    public const string AgreementGate = "MBT3002";

    /// <summary>The signal-to-quantization-noise ratio is outside its limits.</summary>
    public const string SqnrGate = "MBT3003";

    /// <summary>Cosine similarity is outside its limits.</summary>
    public const string CosineGate = "MBT3004";

    /// <summary>The mean squared error is outside its limits.</summary>
    public const string MseGate = "MBT3005";

    /// <summary>The negative log-likelihood is outside its limits.</summary>
    public const string NllGate = "MBT3006";

    /// <summary>The artifact is larger than allowed.</summary>
    public const string SizeGate = "MBT3007";

    /// <summary>The artifact is slower than allowed.</summary>
    public const string LatencyGate = "MBT3008";

    /// <summary>A gate failed and <c>on_failure: original</c> put the untouched model in place (a warning).</summary>
    public const string OriginalKept = "MBT3009";

    /// <summary>A gate failed and <c>on_failure: relax</c> gave precision back until the gates held, or could not help (a warning).</summary>
    public const string Relaxed = "MBT3010";

    // MBT9xxx: the environment.

    /// <summary>An internal error: a bug of this tool.</summary>
    public const string InternalError = "MBT9001";

    /// <summary>The worker process ended abnormally.</summary>
    public const string WorkerCrashed = "MBT9002";

    /// <summary>This platform has no ONNX Runtime library in the package.</summary>
    public const string UnsupportedPlatform = "MBT9003";

    /// <summary>The worker or the .NET host was not found.</summary>
    public const string WorkerNotFound = "MBT9004";
}
