using ModelBuildTasks.Tool;
using ModelBuildTasks.Tool.Building;

// The verb that the MSBuild task starts is no part of the command line that people see.
return args is ["build", .. var rest]
    ? BuildCommand.Run(rest)
    : await ModelBuildCommand.RunAsync(args, Terminal.OfConsole());
