using System.Globalization;
using BenchmarkDotNet.Running;
using ModelBuildTasks.Benchmarks;
using ModelBuildTasks.Benchmarks.Costs;
using ModelBuildTasks.Benchmarks.Large;
using ModelBuildTasks.Benchmarks.Peers;
using ModelBuildTasks.Benchmarks.Training;

switch (args)
{
    case ["models", var data, ..]:
        return ModelTable.Write(data, args.ElementAtOrDefault(2));
    case ["bits", var data, ..]:
        return BitsTable.Write(data, args.ElementAtOrDefault(2));
    case ["half", var data, ..]:
        return HalfTable.Write(data, args.ElementAtOrDefault(2));
    case ["surgery", var data, ..]:
        return SurgeryTable.Write(data, args.ElementAtOrDefault(2) is var only and not "all" ? only : null, args.Contains("--details"));
    case ["calibration", var data, ..]:
        return CalibrationTable.Write(data, args.ElementAtOrDefault(2));
    case ["channels", var data, ..]:
        return ChannelsTable.Write(data, args.ElementAtOrDefault(2));
    case ["palettes", var data, ..]:
        return PaletteTable.Write(data, args[2..]);
    case ["sparse", var data, ..]:
        return SparseTable.Write(data, args.ElementAtOrDefault(2), args.Length > 3 ? args[3..] : []);
    case ["calibration-run", var data, var crops, var threads, var batch, var activations]:
        return CalibrationTable.Run(data, crops, int.Parse(threads, CultureInfo.InvariantCulture), int.Parse(batch, CultureInfo.InvariantCulture), activations);
    case ["costs", "--check", var data, ..]:
        return ModelTable.WithManifest(data, manifest => CostCommand.Check(manifest, args.ElementAtOrDefault(3)));
    case ["costs", ..]:
        return CostCommand.Measure(args.Length > 1 && int.TryParse(args[1], CultureInfo.InvariantCulture, out var rounds) ? rounds : 20);
    case ["compare", var data, var tree, ..]:
        return ModelTable.WithManifest(data, manifest => CompareCommand.Run(manifest, tree, args.ElementAtOrDefault(3) is var name and not "all" ? name : null, args.Length > 4 ? args[4..] : ["chroot", tree, "python3"]));
    case ["speed", var tool, var model, var tree, ..]:
        return SpeedCommand.Run(Path.GetFullPath(tool), model, tree, args.Length > 4 ? args[4..] : ["chroot", tree, "python3"]);
    case ["large", var tool, var folder, ..]:
        return LargeCommand.Run(Path.GetFullPath(tool), folder, args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 32, args.ElementAtOrDefault(4) ?? "rtn");
    case ["gradients", var data, ..]:
        return GradientTable.Write(data, args.ElementAtOrDefault(2));
    case ["distill", var data, ..]:
        return DistillTable.Write(data, args.ElementAtOrDefault(2));
    case ["recovery", var data, ..]:
        return RecoveryTable.Write(data, args.ElementAtOrDefault(2) ?? "digits_mobile", args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 2);
    case ["fewbits", var data, ..]:
        return FewBitsTable.Write(data, args[2..]);
    case ["steps", var data, ..]:
        return StepTable.Write(data, args.ElementAtOrDefault(2), args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 2, args.ElementAtOrDefault(4));
    case ["speed", ..] or ["large", ..] or ["models"] or ["bits"] or ["channels"] or ["half"] or ["surgery"] or ["palettes"] or ["gradients"] or ["steps"] or ["recovery"] or ["distill"] or ["fewbits"] or ["sparse"] or ["calibration"] or ["compare", ..]:
        Console.Error.WriteLine("usage: models DATA_FOLDER [TARGET] | bits DATA_FOLDER [TARGET] | channels DATA_FOLDER [TARGET] | half DATA_FOLDER [TARGET] | surgery DATA_FOLDER [TARGET|all] [--details] | palettes DATA_FOLDER [PASS...] | gradients DATA_FOLDER [TARGET] | steps DATA_FOLDER [MODEL|all [THREADS [FOLDER_FOR_GRAPHS]]] | recovery DATA_FOLDER [MODEL [EPOCHS]] | distill DATA_FOLDER [TARGET] | fewbits DATA_FOLDER [MODEL|all [WEIGHTS|all [EPOCHS [RATE]]]] | sparse DATA_FOLDER [MODEL|all [PASS...]] | compare DATA_FOLDER PYTHON_TREE [TARGET|all [PYTHON_COMMAND...]] | calibration DATA_FOLDER [CROPS_FILE_TO_WRITE] | speed MODELBUILD MODEL PYTHON_TREE [PYTHON_COMMAND...] | large MODELBUILD FOLDER [LAYERS [METHOD]] | costs [ROUNDS] | costs --check DATA_FOLDER [TARGET]");
        return 2;
}

BenchmarkSwitcher.FromAssembly(typeof(ModelTable).Assembly).Run(args);
return 0;
