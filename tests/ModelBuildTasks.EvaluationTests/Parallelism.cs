// One MSBuild in one process: projects are evaluated one after the other.
[assembly: DoNotParallelize]
