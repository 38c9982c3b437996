using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class TableTests
{
    private static readonly ValueDescription Pair = Make.Input("x", DataType.Float, -1, 2);

    [TestMethod]
    [DataRow("a,b\n1,2\n3,4\n")]
    [DataRow("1,2\n3,4")]
    [DataRow("\uFEFF\"a\",\"b\"\r\n\"1\",\"2\"\r\n\r\n3,4\r\n\r\n")]
    [DataRow("a,\"b \"\"x\"\",\ny\"\n 1 , 2\n3e0,4.0\n")]
    [DataRow("a,b\r1,2\r3,4\r")]
    public void Rows_are_read_with_or_without_header_quotes_blank_lines_and_any_line_ends(string text)
    {
        using var folder = new TemporaryFolder();
        var data = Make.Open(Make.Csv(Make.WriteText(folder, text)), Pair);
        CollectionAssert.AreEqual(new[] { 1f, 2f, 3f, 4f }, Make.Floats(data));
        Assert.AreEqual(2, data.Count);
    }

    [TestMethod]
    public void Columns_are_chosen_by_index_or_name_in_the_order_given()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteText(folder, "id,width,height\n1,2,3\n4,5,6\n");
        CollectionAssert.AreEqual(new[] { 3f, 2f, 6f, 5f }, Make.Floats(Make.Open(Make.Csv(path, "height", "width"), Pair)));
        CollectionAssert.AreEqual(new[] { 3f, 1f, 6f, 4f }, Make.Floats(Make.Open(Make.Csv(path, "2", "0"), Pair)));
        var error = Make.Fails(() => Make.Open(Make.Csv(path, "hight", "width"), Pair), DiagnosticCodes.DatasetUnreadable);
        StringAssert.Contains(error.Message, "Did you mean 'height'?");
        Make.Fails(() => Make.Open(Make.Csv(path, "3", "0"), Pair), DiagnosticCodes.DatasetUnreadable);
        var tabs = Make.WriteText(folder, "1\t2\n");
        CollectionAssert.AreEqual(new[] { 1f, 2f }, Make.Floats(Make.Open(new TableSource(Make.Here, tabs, '\t', [], null, []), Pair)));
    }

    [TestMethod]
    public void A_row_takes_the_shape_that_the_model_declares()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteText(folder, "1,2,3,4\n5,6,7,8\n");
        var batch = Make.Open(Make.Csv(path), Make.Input("x", DataType.Int64, 1, 1, 2, 2)).Batches().First().Inputs["x"];
        CollectionAssert.AreEqual(new long[] { 1, 1, 2, 2 }, batch.Shape);
        CollectionAssert.AreEqual(new long[] { 1, 2, 3, 4 }, batch.As<long>().ToArray());
        Make.Fails(() => Make.Open(Make.Csv(path), Make.Input("x", DataType.Int64, 1, 3)), DiagnosticCodes.DatasetDoesNotFit);
    }

    [TestMethod]
    public void What_is_no_number_is_named_with_its_line()
    {
        using var folder = new TemporaryFolder();
        var word = Make.Csv(Make.WriteText(folder, "1,2\n\n3,four\n"));
        StringAssert.Contains(Make.Fails(() => Make.Floats(Make.Open(word, Pair)), DiagnosticCodes.DatasetUnreadable).Message, "line 3, column 1: 'four'");
        var ragged = Make.Csv(Make.WriteText(folder, "1,2\n3\n"));
        StringAssert.Contains(Make.Fails(() => Make.Floats(Make.Open(ragged, Pair)), DiagnosticCodes.DatasetUnreadable).Message, "line 2 has 1 columns");
        var comma = Make.Csv(Make.WriteText(folder, "\"1,5\",2\n\"2,5\",3\n"));
        Make.Fails(() => Make.Floats(Make.Open(comma, Pair)), DiagnosticCodes.DatasetUnreadable);
        var open = Make.Csv(Make.WriteText(folder, "1,\"2\n3,4\n"));
        Make.Fails(() => Make.Open(open, Pair), DiagnosticCodes.DatasetUnreadable);
        var part = Make.Csv(Make.WriteText(folder, "1,2.5\n"));
        Make.Fails(() => Make.Floats(Make.Open(part, Make.Input("x", DataType.Int32, -1, 2))), DiagnosticCodes.DatasetUnreadable);
        Make.Fails(() => Make.Open(Make.Csv(Make.WriteText(folder, "")), Pair), DiagnosticCodes.DatasetEmpty);
        Make.Fails(() => Make.Open(Make.Csv(Make.WriteText(folder, "a,b\n")), Pair), DiagnosticCodes.DatasetEmpty);
    }

    [TestMethod]
    public void Class_names_become_indices_and_an_unknown_one_is_an_error()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteText(folder, "cat\n\"dog\"\ncat\n");
        var x = new ValueSource(Make.Here, [1]);
        var labels = Make.Csv(path, "0") with { Classes = ["dog", "cat"] };
        long[] Read(SourcePlan source) => [.. DatasetFactory.Open(Make.Use(Make.Plan(x, source)), [Make.Input("x", DataType.Float, 1)]).Batches().SelectMany(b => b.Labels!)];
        CollectionAssert.AreEqual(new long[] { 1, 0, 1 }, Read(labels));
        CollectionAssert.AreEqual(new long[] { 0, 1 }, Read(labels with { Header = true }));
        var named = Make.WriteText(folder, "animal\ncat\ndog\n");
        CollectionAssert.AreEqual(new long[] { 1, 0 }, Read(labels with { Path = named }));
        var error = Make.Fails(() => Read(labels with { Classes = ["dig", "cat"] }), DiagnosticCodes.DatasetDoesNotFit);
        StringAssert.Contains(error.Message, "line 2: the class 'dog'");
        StringAssert.Contains(error.Message, "'dig'");
        Make.Fails(() => Read(labels with { Classes = [] }), DiagnosticCodes.DatasetUnreadable);
        Make.Fails(() => Read(x), DiagnosticCodes.InvalidValue);
    }
}
