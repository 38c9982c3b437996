using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>How an array lies in a file.</summary>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Dimensions, samples first.</param>
/// <param name="DataOffset">Where the values begin.</param>
/// <param name="BigEndian">Whether values have their most significant byte first.</param>
/// <param name="ColumnMajor">Whether the first axis changes fastest.</param>
internal sealed record ArrayFormat(DataType Type, long[] Shape, long DataOffset, bool BigEndian, bool ColumnMajor);
