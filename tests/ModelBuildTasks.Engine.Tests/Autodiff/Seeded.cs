using CsCheck;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

/// <summary>
/// Draws cases that are the same in every run. <see cref="Check.Sample{T}(Gen{T}, Action{T}, Action{string}?, string?, long, int, int, Func{T, string}?)"/> seeds only the first of
/// them, and differences of a function with corners do not have the gradient's value everywhere: a test of it would fail now and then.
/// </summary>
internal static class Seeded
{
    public static void Each<T>(this Gen<T> gen, Action<T> check, int count)
    {
        var random = PCG.Parse("0000KOIr8R01");
        for (var i = 0; i < count; i++)
        {
            var value = gen.Generate(random, null, out _);
            try
            {
                check(value);
            }
            catch (Exception e)
            {
                throw new AssertFailedException($"case {i}, {value}: {e.Message}", e);
            }
        }
    }

    public static void Each<T1, T2, T3, T4>(this Gen<(T1, T2, T3, T4)> gen, Action<T1, T2, T3, T4> check, int count) =>
        gen.Each(t => check(t.Item1, t.Item2, t.Item3, t.Item4), count);

    public static void Each<T1, T2, T3, T4, T5>(this Gen<(T1, T2, T3, T4, T5)> gen, Action<T1, T2, T3, T4, T5> check, int count) =>
        gen.Each(t => check(t.Item1, t.Item2, t.Item3, t.Item4, t.Item5), count);

    public static void Each<T1, T2, T3, T4, T5, T6>(this Gen<(T1, T2, T3, T4, T5, T6)> gen, Action<T1, T2, T3, T4, T5, T6> check, int count) =>
        gen.Each(t => check(t.Item1, t.Item2, t.Item3, t.Item4, t.Item5, t.Item6), count);
}
