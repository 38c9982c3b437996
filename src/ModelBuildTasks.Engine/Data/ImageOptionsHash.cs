using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The part of image options in a dataset's content hash.</summary>
internal static class ImageOptionsHash
{
    public static void Add(ContentHasher hash, ImageOptions options)
    {
        hash.Add($"resize {options.ResizeShortSide} {options.ResizeExact} crop {options.Crop} {options.Channels} {options.ChannelsGiven} {options.Layout}");
        hash.Add(options.Scale);
        hash.Add(options.Mean);
        hash.Add(options.Std);
    }
}
