using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("ModelBuildTasks.Tests")]
