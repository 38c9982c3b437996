using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Tool;

namespace ModelBuildTasks.Tests;

[TestClass]
public sealed class ProgressTenthsTests
{
    [TestMethod]
    public void A_training_has_a_line_for_each_tenth_and_other_steps_one()
    {
        var tenths = new ProgressTenths();
        List<string> lines = [];
        void tell(string step, string message, double? fraction)
        {
            if (tenths.Take(new("Digits", step, message, fraction)))
                lines.Add(message);
        }

        tell("prune", "prune...", 0);
        tell("prune", "prune 40 %", 0.4);
        tell("distill", "distill...", 0);
        for (var i = 1; i <= 100; i++)
            tell("distill", $"distill {i} %: step {i} of 100, loss 0.1, 3 s left", i / 100.0);
        tell("quantize", "quantize...", 0);

        Assert.AreEqual("prune...", lines[0]);
        Assert.HasCount(1 + 1 + 10 + 1, lines);
        Assert.AreEqual("distill 10 %: step 10 of 100, loss 0.1, 3 s left", lines[2]);
    }
}
