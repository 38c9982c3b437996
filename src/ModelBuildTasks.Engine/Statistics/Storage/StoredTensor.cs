namespace ModelBuildTasks.Engine.Statistics;

/// <summary>What the store knows of one value of a model.</summary>
/// <param name="Seen">Its statistics; null for a value that was asked for and is no float32 tensor.</param>
/// <param name="ChannelAxis">The axis of the channel means in it, or null when there are none.</param>
/// <param name="RangeAxis">The axis of the channel ranges in it, or null when there are none.</param>
internal sealed record StoredTensor(TensorStatistics? Seen, int? ChannelAxis, int? RangeAxis);
