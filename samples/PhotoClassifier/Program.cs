using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using PhotoClassifier;

var folder = AppContext.BaseDirectory;
var path = args.Length > 0 ? args[0] : Path.Combine(folder, "photos", "test", "84_peacock-90051_640.jpg");
if (!File.Exists(path))
{
    Console.Error.WriteLine($"There is no photo '{path}'.");
    return 1;
}

// The compressed model is in this assembly; the accessor was made while the project was built.
using var session = CompressedModels.SqueezeNet.CreateSession();
var pixels = new DenseTensor<float>(Photo.Load(path), [1, 3, Photo.Size, Photo.Size]);
using var results = session.Run([NamedOnnxValue.CreateFromTensor("data_0", pixels)]);
var probabilities = results[0].AsEnumerable<float>();

var classes = File.ReadLines(Path.Combine(folder, "imagenet_classes.txt"))
    .Select(line => line.Split('\t')[2].Replace('_', ' '))
    .ToArray();

Console.WriteLine($"{Path.GetFileName(path)}:");
foreach (var (index, probability) in probabilities.Index().OrderByDescending(p => p.Item).Take(3))
    Console.WriteLine($"  {probability * 100,5:F1} %  {classes[index]}");

var original = CompressedModels.SqueezeNet.OriginalLength;
var embedded = CompressedModels.SqueezeNet.Length;
Console.WriteLine();
Console.WriteLine($"SqueezeNet: {embedded:N0} bytes in this app instead of {original:N0}, {100 - 100.0 * embedded / original:F0} % saved.");
Console.WriteLine("What was done to each layer, and how it was checked: obj/models/report.json");
return 0;
