namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Puts the files of an artifact in place, all of them or none.</summary>
internal static class Placement
{
    /// <summary>
    /// Renames each file into place and removes what an earlier artifact left and this one has not. When a rename fails, the
    /// earlier files are back where they were.
    /// </summary>
    /// <param name="files">Where each file is, and where it goes.</param>
    /// <param name="obsolete">Files to remove.</param>
    /// <param name="work">A folder on the same volume.</param>
    /// <exception cref="IOException">A rename failed; nothing has changed.</exception>
    public static void Put(IReadOnlyList<(string From, string To)> files, IEnumerable<string> obsolete, string work)
    {
        // One file takes the place of another in one step; several need a way back.
        var leaving = obsolete.Where(File.Exists).ToList();
        if (files.Count == 1 && leaving.Count == 0)
        {
            File.Move(files[0].From, files[0].To, overwrite: true);
            return;
        }

        var done = new Stack<(string From, string To)>();
        void Move(string from, string to)
        {
            File.Move(from, to);
            done.Push((from, to));
        }

        try
        {
            foreach (var old in leaving.Concat(files.Select(f => f.To).Where(File.Exists)))
                Move(old, Path.Combine(work, $"{done.Count}.previous"));
            foreach (var (from, to) in files)
                Move(from, to);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            while (done.TryPop(out var move))
                File.Move(move.To, move.From);
            throw;
        }
    }
}
