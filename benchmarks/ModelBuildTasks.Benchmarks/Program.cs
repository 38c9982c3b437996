using BenchmarkDotNet.Running;
using ModelBuildTasks.Benchmarks;

if (args is ["models", var data, ..])
    return ModelTable.Write(data, args.ElementAtOrDefault(2));
if (args is ["models"])
{
    Console.Error.WriteLine("usage: models DATA_FOLDER [TARGET]");
    return 2;
}

BenchmarkSwitcher.FromAssembly(typeof(ModelTable).Assembly).Run(args);
return 0;
