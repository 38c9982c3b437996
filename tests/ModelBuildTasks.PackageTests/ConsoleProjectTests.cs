namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class ConsoleProjectTests
{
    [TestMethod]
    public void A_console_project_embeds_the_model_and_runs_it()
    {
        using var project = new TestProject(items: """<PackageReference Include="Microsoft.ML.OnnxRuntime" Version="1.31.1" />""");
        project.Write("Program.cs", """
            using System.Security.Cryptography;
            using App;
            using Microsoft.ML.OnnxRuntime;

            var names = typeof(CompressedModels).Assembly.GetManifestResourceNames().Order();
            Console.WriteLine(string.Join(' ', names));
            var bytes = CompressedModels.Iris.ReadAllBytes();
            Console.WriteLine(bytes.Length == CompressedModels.Iris.Length);
            Console.WriteLine(Convert.ToHexString(SHA256.HashData(bytes)).ToLowerInvariant() == CompressedModels.Iris.Sha256);
            using (var stream = CompressedModels.Iris.OpenRead())
                Console.WriteLine(stream.Length == bytes.Length);
            using var options = new SessionOptions { IntraOpNumThreads = 1 };
            foreach (var session in new[] { CompressedModels.Iris.CreateSession(), CompressedModels.Iris.CreateSession(options) })
                using (session)
                {
                    using var input = OrtValue.CreateTensorValueFromMemory(new float[] { 5, 3, 1, 1 }, new long[] { 1, 4 });
                    using var results = session.Run(new RunOptions(), session.InputNames, new[] { input }, session.OutputNames);
                    Console.WriteLine(results[0].GetTensorDataAsSpan<float>().Length);
                }
            """);
        project.Build("-p:ImplicitUsings=enable", "-p:Nullable=enable").Succeeded();
        Assert.AreEqual("models/Digits.onnx models/Iris.onnx|True|True|True|3|3", project.Execute().ReplaceLineEndings("|"));
        Assert.IsTrue(File.Exists(project["obj/models/report.json"]));
    }

    [TestMethod]
    public void Published_in_one_file_the_model_is_inside()
    {
        using var project = new TestProject();
        project.Run("publish", "-p:PublishSingleFile=true", "-p:SelfContained=false", "--use-current-runtime", "-o", project["out"]).Succeeded();
        var program = Directory.GetFiles(project["out"], OperatingSystem.IsWindows() ? "App.exe" : "App").Single();
        using var process = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(program) { RedirectStandardOutput = true })!;
        var printed = process.StandardOutput.ReadToEnd().Trim();
        process.WaitForExit();
        Assert.AreEqual(project.Output("Iris.onnx").Length.ToString(), printed);
    }

    [TestMethod]
    public void A_folder_and_a_project_with_odd_names_are_no_obstacle()
    {
        using var project = new TestProject(folderName: "Dré @#(1) 日本");
        project.Write("Directory.Build.props", "<Project><PropertyGroup><RootNamespace>my-app.1st</RootNamespace></PropertyGroup></Project>");
        project.Write("Program.cs", "System.Console.WriteLine(my_app._1st.CompressedModels.Iris.ReadAllBytes().Length);\n");
        project.Build().Succeeded();
        Assert.AreEqual(project.Output("Iris.onnx").Length.ToString(), project.Execute());
    }
}
