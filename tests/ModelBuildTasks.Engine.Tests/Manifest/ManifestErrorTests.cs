namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class ManifestErrorTests
{
    private const string Datasets = "datasets: { photos: { inputs: { x: { npy: x.npy } } }, digits: { inputs: { x: { npy: x.npy } }, labels: { npy: x.npy } } }\n";

    // The text stands behind "version: 1"; the error is told as line:column code message-part.
    [TestMethod]
    // Keys
    [DataRow("targets:\n  - { model: a.onnx, recipie: int8 }", "3:22 MBT1002 unknown key 'recipie'; did you mean 'recipe'?")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { agreemnt: { min: 1 } } } ]", "2:55 MBT1002 did you mean 'agreement'?")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, frobnicate: 1 } ]", "2:43 MBT1002 valid: model, name, runtime")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, sqnr: { min: 3 } } ]", "2:43 MBT1002 unknown key 'sqnr'; it belongs into 'validate'")]
    [DataRow("targets: [ { model: a.onnx, model: a.onnx, recipe: int8 } ]", "2:29 MBT1003 'model' is already given in line 2")]
    [DataRow("targets: [ { recipe: int8 } ]", "2:12 MBT1005 'model' is missing here")]
    [DataRow("datasets: { d: { take: 3 } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:16 MBT1005 'inputs' is missing here")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { tensor: x }, type: int16 } ] } ]", "2:52 MBT1006 ort-cpu has no int16 activations; it has uint8")]
    [DataRow("datasets: {}", "1:1 MBT1005 'targets' is missing here: a list of mappings")]
    [DataRow("targets: []", "2:10 MBT1005 'targets' is an empty list")]
    [DataRow("targets: [ { model: a.onnx } ]", "2:12 MBT1005 neither 'recipe' nor 'passes'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { sqnr: {} } } ]", "2:61 MBT1005 'sqnr' needs min or max or max_drop")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, calibration: { take: 3 } } ]", "2:56 MBT1005 no dataset is named here; add 'use'")]
    [DataRow("datasets: { d: { inputs: { x: { } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:31 MBT1005 one of images, npy, idx, csv, tsv, wav, value, random, feedback")]
    [DataRow("datasets: { d: { inputs: { x: { image: x.npy } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:33 MBT1002 did you mean 'images'?")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: {}, quantize: none } ] } ]", "2:61 MBT1005 'match' needs op or name")]
    // Types
    [DataRow("targets: [ { model: [a.onnx], recipe: int8 } ]", "2:21 MBT1004 'model' wants the path of an ONNX model; found a list")]
    [DataRow("targets: [ { model: 12, recipe: int8 } ]", "2:21 MBT1004 write it in quotes")]
    [DataRow("targets: a.onnx", "2:10 MBT1004 'targets' wants a list of mappings; found 'a.onnx'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { size: { max: 2 megs } } } ]", "2:68 MBT1004 a size such as 1.4 MB")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { sqnr: { min: 20% } } } ]", "2:68 MBT1004 'min' wants a number; found '20%'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { agreement: { min: \"95\" } } } ]", "2:73 MBT1004 found the quoted text \"95\"")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: } ]", "2:53 MBT1004 'validate' wants 'none', or a mapping; found nothing")]
    [DataRow("targets: [ { model: !!str a.onnx, recipe: int8 } ]", "2:21 MBT1004 tags such as !!str")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, ? [x] : 3 } ]", "2:45 MBT1004 a key is a text, not a list")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy, resize: [1, 2, 3] } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:53 MBT1004 a list of 2")]
    // Ranges and combinations
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { agreement: { min: 120% } } } ]", "2:73 MBT1006 120 % is out of range")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { sqnr: { min: 30, max: 20 } } } ]", "2:68 MBT1006 greater than its max")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { mse: { max: .inf } } } ]", "2:67 MBT1006 not a finite number")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { latency: { ratio: 0 } } } ]", "2:73 MBT1006 above 0")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, passes: [] } ]", "2:43 MBT1006 'recipe' and 'passes' exclude each other")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 100% } } ] } ]", "2:58 MBT1006 leaves nothing")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 50 } } ] } ]", "2:58 MBT1006 out of range")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 50% }, quantize: {} } ] } ]", "2:65 MBT1006 'prune' and 'quantize'")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { quantize: { activations: none, calibrator: mse } } ] } ]", "2:84 MBT1006 does not use")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { quantize: { percentile: 99 } } ] } ]", "2:65 MBT1006 only with 'calibrator: percentile'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { name: \"(a\" }, quantize: none } ] } ]", "2:69 MBT1006 not a regular expression")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { name: \"a(?=b)\" }, quantize: none } ] } ]", "2:69 MBT1006 lookarounds")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, name: my-net } ]", "2:49 MBT1006 the name 'my-net' is not a C# identifier")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, on_failure: eror } ]", "2:55 MBT1006 did you mean 'error'?")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy, crop: 8, resize: 4 } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:51 MBT1006 the crop of 8 x 8 does not fit")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy, channels: GRAY, mean: [1, 2, 3] } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:67 MBT1006 'mean' has 3 values for 1 channel")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy, std: [1, 0, 1] } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:50 MBT1006 cannot be 0")]
    [DataRow("datasets: { d: { inputs: { x: { random: { min: 2, max: 1 } } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:48 MBT1006 min 2 is greater than max 1")]
    [DataRow("datasets: { d: { inputs: { x: { csv: x.npy, columns: [a], header: false } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:67 MBT1006 'header: false'")]
    [DataRow("datasets: { d: { inputs: { x: { csv: x.npy, columns: [-1] } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:55 MBT1006 columns count from 0")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy, idx: x.npy } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:45 MBT1006 'npy' and 'idx'")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy } }, take: 0 } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:55 MBT1006 0 is out of range")]
    // Names
    [DataRow("targets: [ { model: a.onnx, recipe: int88 } ]", "2:37 MBT1007 unknown recipe 'int88'; did you mean 'int8'?")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, runtime: ort-gpu } ]", "2:52 MBT1007 unknown runtime 'ort-gpu'; did you mean 'ort-cpu'?")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, recipe: int8, calibration: fotos } ]", "3:56 MBT1007 unknown dataset 'fotos'; valid: photos, digits")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, recipe: int8, validate: { data: { use: photo } } } ]", "3:68 MBT1007 did you mean 'photos'?")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, calibration: photos } ]", "2:56 MBT1007 the manifest has no 'datasets'")]
    [DataRow("targets:\n  - { model: a.onnx, recipe: int8 }\n  - { model: a.onnx, recipe: int8 }", "4:14 MBT1008 'A' is already that of the target in line 3")]
    [DataRow("targets:\n  - { model: a.onnx, recipe: int8, name: Net }\n  - { model: a.onnx, recipe: int8, name: NET }", "4:42 MBT1008 line 3")]
    // Files
    [DataRow("targets: [ { model: b.onnx, recipe: int8 } ]", "2:21 MBT1009 the model 'b.onnx' does not exist; did you mean 'a.onnx'?")]
    [DataRow("targets: [ { model: models/a.onnx, recipe: int8 } ]", "2:21 MBT1009 there is no folder 'models'")]
    [DataRow("targets: [ { model: photos, recipe: int8 } ]", "2:21 MBT1009 it is a folder")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, runtime: own.yaml } ]", "2:52 MBT1009 the policy 'own.yaml'")]
    [DataRow("datasets: { d: { inputs: { x: { images: photos/*.png } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:41 MBT1009 'photos/*.png' matches no jpg or png file; names match exactly")]
    [DataRow("datasets: { d: { inputs: { x: { images: notes/* } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:41 MBT1009 'notes/*' matches no jpg or png file")]
    [DataRow("datasets: { d: { inputs: { x: { images: photo/*.jpg } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:41 MBT1009 there is no folder 'photo'; did you mean 'photos'?")]
    [DataRow("datasets: { d: { inputs: { x: { idx: y.gz } }, labels: { npy: x.npy } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:38 MBT1009 the file 'y.gz' does not exist")]
    // Not there yet
    [DataRow("targets: [ { model: a.onnx, goal: { minimize: size } } ]", "2:29 MBT1010 'goal' is not available in this version")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { data: photos, method: blockwse } } ] } ]", "3:74 MBT1006 did you mean 'blockwise'?")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { method: blockwise, hidden: auto } } ], calibration: digits } ]", "3:79 MBT1006 'hidden' has no meaning with 'method: blockwise'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { method: blockwise, labels: 30% } } ], calibration: digits } ]", "3:79 MBT1006 'labels' has no meaning with 'method: blockwise'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { method: blockwise, prune: { amount: 50% } } } ], calibration: digits } ]", "3:78 MBT1006 not with 'method: blockwise'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { hidden: [ { studnt: a, teacher: b } ] } } ], calibration: digits } ]", "3:64 MBT1002 'studnt'; did you mean 'student'?")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { memory: much } } ], calibration: digits } ]", "3:60 MBT1004 a size such as")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { quantize: { weights: int4 } } } ], calibration: digits } ]", "3:52 MBT1011 a quantize that does not follow")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { quantize: { weights: int4 } } }, { quantize: { weights: int2 } } ], calibration: digits } ]", "3:52 MBT1011 the quantize in line 3 will not store them")]
    // Distillation
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { loss: values, labels: 30% } } ], calibration: digits } ]", "3:74 MBT1006 'labels' is for scores of classes")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { loss: value } } ], calibration: digits } ]", "3:58 MBT1006 did you mean 'values'?")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: } ] } ]", "3:41 MBT1023 distill trains on data; give it a 'data'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { data: fotos } } ] } ]", "3:58 MBT1007 unknown dataset 'fotos'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { max_time: 5 } } ], calibration: photos } ]", "3:62 MBT1006 a clock may not choose")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { labels: 30% } } ], calibration: photos } ]", "3:41 MBT1023 'photos' does not have")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { data: photos, labels: 30% } } ], calibration: digits } ]", "3:41 MBT1023 'photos' does not have")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { labels: 100%, temperature: 3 } } ], calibration: digits } ]", "3:79 MBT1006 'temperature' has no meaning")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { hidden_weight: 3 } } ], calibration: digits } ]", "3:67 MBT1006 only with 'hidden'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { hidden: [a, b, a] } } ], calibration: digits } ]", "3:60 MBT1006 named twice")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { hidden: some } } ], calibration: digits } ]", "3:60 MBT1006 unknown value 'some'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { held_back: 100% } } ], calibration: digits } ]", "3:63 MBT1006 nothing is left to train on")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { warm_up: 100% } } ], calibration: digits } ]", "3:61 MBT1006 never at work")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { epochs: 0 } } ], calibration: digits } ]", "3:60 MBT1006 out of range")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { prune: {} } } ], calibration: digits } ]", "3:59 MBT1005 'prune' needs amount or structure")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { prune: { structure: unstructured } } } ], calibration: digits } ]", "3:72 MBT1006 'structure: unstructured' needs amount")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { prune: { structure: channels, amount: 30% } } } ], calibration: digits } ]", "3:72 MBT1006 channels make tensors smaller, which training cannot; put 'prune: { structure: channels }' in front")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { prune: { structure: '2:4', amount: 30% } } } ], calibration: digits } ]", "3:87 MBT1006 says itself how much goes")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { data: digits, prune: { amount: 30%, allocate: loss } } } ] } ]", "3:66 MBT1023 predicts losses from calibration data")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { prune: { amount: 30% } } }, { prune: { structure: channels, amount: 30% } } ], calibration: digits } ]", "3:82 MBT1011 channels, heads and layers cannot go after distill")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { distill: { student: b.onnx } } ], calibration: digits } ]", "3:61 MBT1009 the student 'b.onnx' does not exist")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { structure: channels, amount: 30% } }, { distill: { student: a.onnx } } ], calibration: digits } ]", "3:110 MBT1011 takes the place of the model, and what prune made of it")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30% } }, { distill: { quantize: { weights: binary } } }, { quantize: { weights: binary } } ], calibration: digits } ]", "3:69 MBT1011 signs, which have no zero")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30% } }, { distill: { scratch: true } } ], calibration: digits } ]", "3:69 MBT1011 lose the zeros of pruning (line 3)")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { quantize: }, { distill: } ], calibration: digits } ]", "3:56 MBT1011 distill cannot follow quantize")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { float16: }, { distill: } ], calibration: digits } ]", "3:55 MBT1011 distill cannot follow float16")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { cluster: }, { distill: } ], calibration: digits } ]", "3:55 MBT1011 distill cannot follow cluster")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { store: }, { distill: } ], calibration: digits } ]", "3:53 MBT1011 distill cannot follow store")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { quantize: { weights: float8 } } ] } ]", "2:62 MBT1010 'float8'")]
    [DataRow("targets: [ { model: a.onnx, recipe: smallest } ]", "2:37 MBT1010 'smallest'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { op: Gemm }, quantize: int16 } ] } ]", "2:85 MBT1010 'int16'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { tensor: x }, range: [1, 0] } ] } ]", "2:83 MBT1006 a range is")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { op: Gemm, tensor: x }, range: [0, 1] } ] } ]", "2:63 MBT1002 unknown key 'op'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { subgraph: {} }, quantize: none } ] } ]", "2:73 MBT1005 'subgraph' needs from or to")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, package: { as: file } } ]", "2:58 MBT1006 'file'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, package: { encoding: gzip } } ]", "2:64 MBT1006 'gzip'")]
    [DataRow("datasets: { d: { inputs: { x: { npz: y } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:33 MBT1010 source 'npz'")]
    [DataRow("datasets: { d: { inputs: { x: { text: y.txt } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:33 MBT1010 source 'text' is not available in this version")]
    // Streams
    [DataRow("datasets: { d: { inputs: { x: { wav: \"*.wav\", window: 4 } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:38 MBT1009 the pattern '*.wav' matches no wav file")]
    [DataRow("datasets: { d: { inputs: { x: { wav: s.wave, rate: 16000 } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:31 MBT1005 'x' needs window or stft")]
    [DataRow("datasets: { d: { inputs: { x: { wav: s.wave, window: 4, stft: { size: 4 } } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:57 MBT1006 'window' and 'stft' exclude each other")]
    [DataRow("datasets: { d: { inputs: { x: { wav: s.wave, hop: 2, stft: { size: 4 } } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:51 MBT1006 with 'stft', 'hop' stands in it")]
    [DataRow("datasets: { d: { inputs: { x: { wav: s.wave, context: 2, stft: { size: 4 } } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:55 MBT1006 'context' goes in front of a 'window'")]
    [DataRow("datasets: { d: { inputs: { x: { wav: s.wave, stft: { size: 1 } } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:60 MBT1006 1 is out of range")]
    [DataRow("datasets: { d: { inputs: { x: { wav: s.wave, stft: { size: 4, window: hamming } } } } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:71 MBT1006 unknown value 'hamming'")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy }, s: { feedback: t } }, shuffle: 1 } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:78 MBT1006 cannot be shuffled")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy }, s: { feedback: t } }, batch: 2 } }\ntargets: [ { model: a.onnx, recipe: int8 } ]", "2:76 MBT1006 one sample a run")]
    [DataRow("datasets: { d: { inputs: { x: { npy: x.npy }, s: { feedback: t } } } }\ntargets: [ { model: a.onnx, recipe: int8, calibration: { use: d, shuffle: 3 } } ]", "3:75 MBT1006 cannot be shuffled")]
    // Pruning
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: {} } ] } ]", "2:48 MBT1005 'prune' needs amount or parameters")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: heads } } ] } ]", "2:61 MBT1006 needs amount or parameters or macs or bytes or latency")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: unstructured } } ] } ]", "2:61 MBT1006 'structure: unstructured' needs amount")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: \"2:4\", amount: 50% } } ] } ]", "2:76 MBT1006 says itself how much goes")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: \"4:4\" } } ] } ]", "2:61 MBT1006 leaves everything")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: \"2:4\", allocate: global } } ] } ]", "2:78 MBT1006 the same share everywhere")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: 1x1, amount: 50% } } ] } ]", "2:61 MBT1006 single weights")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: channel, amount: 50% } } ] } ]", "2:61 MBT1006 did you mean 'channels'?")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { macs: 30%, amount: 3% } } ] } ]", "2:50 MBT1006 'amount' and 'macs' exclude each other")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { macs: 30% } } ] } ]", "2:56 MBT1006 zeros in the place of weights change no 'macs'")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: 4x1, bytes: 1 MB } } ] } ]", "2:73 MBT1006 change no 'bytes'")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: channels, macs: 100% } } ] } ]", "2:77 MBT1006 'macs' of 100% leaves nothing")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { structure: channels, amount: 30%, method: wanda } } ], calibration: photos } ]", "3:92 MBT1006 looks at single weights")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { structure: layers, amount: 30%, method: flap } } ], calibration: photos } ]", "3:90 MBT1006 is for 'structure: channels'")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, method: flap } } ], calibration: photos } ]", "3:71 MBT1006 is for 'structure: channels'")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: layers, amount: 30%, allocate: uniform } } ] } ]", "2:92 MBT1006 go as a whole")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, repair: bias } } ], calibration: photos } ]", "3:71 MBT1006 is for channels")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { structure: layers, amount: 30%, repair: refit } } ], calibration: photos } ]", "3:90 MBT1006 leaves nothing that could make up for it")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, method: obs, repair: none } } ], calibration: photos } ]", "3:84 MBT1006 makes up for what goes")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, multiple: 8 } } ] } ]", "2:73 MBT1006 only with 'structure: channels'")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, limit: 20% } } ] } ]", "2:70 MBT1006 below the amount")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, limit: 100% } } ] } ]", "2:70 MBT1006 a limit of 100% is none")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, allocate: uniform, limit: 50% } } ] } ]", "2:89 MBT1006 no meaning with 'allocate: uniform'")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: \"2:4\", limit: 50% } } ] } ]", "2:75 MBT1006 leaves no choice")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, quantize: { weights: int4 } } }, { quantize: { weights: int4 } } ] } ]", "2:41 MBT1023 for zeros and rounding by calibration data")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, quantize: { weights: int4 } } } ], calibration: digits } ]", "3:63 MBT1011 prune rounds weights for a quantize that does not follow")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, quantize: { weights: int4 } } }, { quantize: { weights: int3 } } ], calibration: digits } ]", "3:63 MBT1011 the quantize in line 3 will not store them")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, quantize: {} } }, { distill: }, { quantize: } ], calibration: digits } ]", "3:83 MBT1011 distill moves weights off the values")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { structure: channels, amount: 30%, quantize: {} } }, { quantize: } ], calibration: digits } ]", "3:94 MBT1006 it is for single weights, patterns and blocks")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, repair: none, quantize: {} } }, { quantize: } ], calibration: digits } ]", "3:71 MBT1006 which 'repair: none' excludes")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, method: sparsegpt } } ] } ]", "2:41 MBT1023 'method: sparsegpt' chooses by")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, allocate: loss } } ] } ]", "2:41 MBT1023 'allocate: loss' predicts")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30%, loss: scores } } ] } ]", "2:41 MBT1023 'loss: scores' weighs")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: channels, amount: 30%, repair: bias } } ] } ]", "2:41 MBT1023 'repair: bias' fits")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { amount: 30% } }, { prune: { structure: channels, macs: 30% } } ] } ]", "2:69 MBT1011 channels, heads and layers cannot go after single weights were pruned (line 2)")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, rules: [ { match: { op: Gemm }, prune: all } ] } ]", "2:82 MBT1006 unknown value 'all'")]
    // Passes and data
    [DataRow("targets: [ { model: a.onnx, passes: [ { quantize: {} }, { prune: { amount: 5% } } ] } ]", "2:59 MBT1011 prune cannot follow quantize")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { quantize: {} }, { quantize: } ] } ]", "2:59 MBT1011 quantize cannot follow quantize")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { cluster: {} }, { quantize: } ] } ]", "2:58 MBT1011 quantize cannot follow cluster")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { cluster: {} }, { prune: { amount: 5% } } ] } ]", "2:58 MBT1011 prune cannot follow cluster")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { store: {} }, { cluster: } ] } ]", "2:56 MBT1011 cluster cannot follow store")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { store: {} }, { store: } ] } ]", "2:56 MBT1011 store cannot follow store")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { float16: {} }, { quantize: } ] } ]", "2:58 MBT1011 quantize cannot follow float16")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { float16: {} }, { prune: { amount: 5% } } ] } ]", "2:58 MBT1011 prune cannot follow float16")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { float16: }, { float16: } ] } ]", "2:55 MBT1011 float16 cannot follow float16")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { prune: { structure: channels, macs: 30%, loss: scores } } ] } ]", "2:88 MBT1006 'loss' is for zeros in the place of weights")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { float16: { compute: false, keep_io: false } } ] } ]", "2:77 MBT1006 'keep_io' has a meaning only with arithmetic")]
    [DataRow("targets: [ { model: a.onnx, passes: [ { quantize: { activations: uint8 } } ] } ]", "2:41 MBT1023 give the target a 'calibration'")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8, validate: { accuracy: { min: 9 } } } ]", "2:72 MBT1023 accuracy needs data with labels")]
    [DataRow(Datasets + "targets: [ { model: a.onnx, recipe: int8, calibration: digits, validate: { data: photos, accuracy: { min: 9 } } } ]", "3:107 MBT1023 'photos' does not have")]
    public void An_error_stands_alone_at_its_line_and_column(string text, string expected)
    {
        using var folder = new ManifestFolder("a.onnx", "x.npy", "photos/1.jpg", "notes/1.txt", "s.wave");
        var errors = folder.Errors("version: 1\n" + text);
        Assert.HasCount(1, errors, string.Join('\n', errors));
        var words = expected.Split(' ', 3);
        StringAssert.StartsWith(errors[0], $"{words[0]} {words[1]} ");
        StringAssert.Contains(errors[0], words[2]);
    }

    [TestMethod]
    public void Prune_and_distill_take_turns()
    {
        using var folder = new ManifestFolder("a.onnx", "x.npy");
        Assert.IsEmpty(folder.Errors("version: 1\n" + Datasets + "targets: [ { model: a.onnx, calibration: digits, passes: [ { prune: { structure: channels, amount: 30% } }, { distill: }, { prune: { structure: '2:4' } }, { distill: { data: { use: digits, take: 3 }, labels: 20%, quantize: { weights: int4 } } }, { quantize: { weights: int4 } }, { store: } ] } ]"));
    }

    [TestMethod]
    [DataRow("", "1:1 MBT1005 the manifest is empty")]
    [DataRow("# nothing\n", "1:1 MBT1005 the manifest is empty")]
    [DataRow("targets: [ { model: a.onnx, recipe: int8 } ]", "1:1 MBT1012 'version' is missing here: the number 1")]
    [DataRow("version: 2\nmodels: x", "1:10 MBT1012 version 1 of the manifest, not 2")]
    [DataRow("version: one\n", "1:10 MBT1012 not 'one'")]
    [DataRow("- a", "1:1 MBT1004 'manifest' wants a mapping with version, datasets, defaults, targets; found a list")]
    [DataRow("version: 1\ntargets:\n\t- model: a.onnx\n", "3:1 MBT1001 a tab cannot indent YAML")]
    [DataRow("version: 1\ntargets: [ {\n", "3:1 MBT1001 did not find expected node content")]
    [DataRow("version: 1\ntargets: [ a\nb: c\n", "2:10 MBT1001 perhaps a bracket or brace is not closed")]
    [DataRow("version: 1\ntargets: @x\n", "2:10 MBT1001 character that cannot start any token")]
    [DataRow("version: 1\n---\nversion: 1\n", "2:1 MBT1001 a second document begins here")]
    [DataRow("version: 1\ntargets: *all\n", "2:10 MBT1001 no anchor &all")]
    [DataRow("version: 1\ntargets: &all [ *all ]\n", "2:17 MBT1001 the alias *all stands inside")]
    [DataRow("version: 1\ntargets: \0\n", "2:10 MBT1001 a control character stands here")]
    public void What_is_no_manifest_is_refused_where_it_ends_to_be_one(string text, string expected) =>
        An_error_of_the_whole_text(text, expected);

    [TestMethod]
    public void All_errors_are_found_in_the_order_of_the_lines()
    {
        using var folder = new ManifestFolder("a.onnx");
        var errors = folder.Errors("""
            version: 1
            datasets:
              d: { inputs: { x: { npy: no.npy } }, take: -1 }
            targets:
              - { model: no.onnx, recipe: int8, calibration: e }
              - { model: a.onnx, recipe: int7, on_failure: never }
              - { model: a.onnx }
            extra: 1
            """);

        CollectionAssert.AreEqual(
            new[] { "3 MBT1009", "3 MBT1006", "5 MBT1009", "5 MBT1007", "6 MBT1007", "6 MBT1006", "7 MBT1005", "7 MBT1008", "8 MBT1002" },
            errors.Select(e => e.Split(':')[0] + " " + e.Split(' ')[1]).ToArray());
    }

    [TestMethod]
    public void An_alias_bomb_is_refused_quickly()
    {
        var bomb = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + string.Concat(Enumerable.Range(1, 30).Select(i => $"a{i}: &a{i} [{string.Join(", ", Enumerable.Repeat($"*a{i - 1}", 10))}]\n"));
        An_error_of_the_whole_text(bomb, "7:15 MBT1001 the aliases stand for more than");
    }

    [TestMethod]
    [DataRow("[")]
    [DataRow("- ")]
    [DataRow("{a: ")]
    public void Deep_nesting_is_refused(string opening)
    {
        using var folder = new ManifestFolder();
        var error = folder.Diagnostics(string.Concat(Enumerable.Repeat(opening, 100_000))).Single();
        StringAssert.Contains(error.Message, "nested deeper");
    }

    [TestMethod]
    public void A_file_of_more_than_four_megabytes_is_refused()
    {
        using var folder = new ManifestFolder();
        folder.Add("compression.yaml", new string('#', 4_000_001));
        Assert.IsNull(Engine.Manifest.ManifestReader.TryRead(folder.ManifestPath, out var diagnostics, out _));
        Assert.AreEqual("MBT1001", diagnostics.Single().Code);
    }

    [TestMethod]
    public void A_file_that_is_not_text_is_refused_at_its_first_wrong_byte()
    {
        using var folder = new ManifestFolder();
        File.WriteAllBytes(folder.ManifestPath, [.. "version: 1\nx: "u8, 0xFF, 0xFE]);
        Assert.IsNull(Engine.Manifest.ManifestReader.TryRead(folder.ManifestPath, out var diagnostics, out _));
        Assert.AreEqual(("MBT1001", 2, 4), (diagnostics.Single().Code, diagnostics[0].Location!.Value.Line, diagnostics[0].Location!.Value.Column));
    }

    [TestMethod]
    public void Errors_in_an_own_policy_are_located_in_that_file()
    {
        using var folder = new ManifestFolder("a.onnx");
        folder.Add("policies/own.yaml", "name: own\nopset: 3\nweighted: { Conv: [statik] }\narithmetic: [Conv]\n");
        var errors = folder.Diagnostics("version: 1\ntargets: [ { model: a.onnx, recipe: int8, runtime: policies/own.yaml } ]");
        CollectionAssert.AreEqual(
            new[] { "(2,8) MBT1006", "(3,20) MBT1006", "(4,14) MBT1003" },
            errors.Select(e => e.Location.ToString()!.Replace(Path.Combine("policies/own.yaml"), "", StringComparison.Ordinal) + " " + e.Code).ToArray());
    }

    private static void An_error_of_the_whole_text(string text, string expected)
    {
        using var folder = new ManifestFolder("a.onnx");
        var errors = folder.Errors(text);
        var words = expected.Split(' ', 3);
        StringAssert.StartsWith(errors[0], $"{words[0]} {words[1]} ");
        StringAssert.Contains(errors[0], words[2]);
    }
}
