// Follow.cs: shows what time it is on a receiver, once a second, until Ctrl-C. examples/follow.c in C#.
//
//     Follow RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] [--truth FILE]
//
// --truth names a file in which a simulated receiver says what its clock really reads; the table then has a column with
// the error. Mono: mcs Follow.cs Ptpbmca.cs && mono Follow.exe; .NET: both files in a console project.
using System;
using System.Globalization;
using System.IO;
using System.Text;
using System.Threading;
using Ptpbmca;

internal static class Follow
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    // What the simulated receiver's clock reads at a monotonic time, by the last line of its file. null: it says nothing.
    private static ulong? TruthAt(string file, long at)
    {
        ulong? reads = null;
        using (var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
        using (var lines = new StreamReader(stream))
        {
            for (string line = lines.ReadLine(); line != null; line = lines.ReadLine())
            {
                string[] words = line.Split(' ');
                if (words[0] != "truth" || words.Length < 4) continue;
                long since = at - long.Parse(words[1], Plain);
                long gained = (long)(since * double.Parse(words[3], Plain) * 1e-9);
                reads = ulong.Parse(words[2], Plain) + (ulong)(since + gained);
            }
        }
        return reads;
    }

    private static string Signed(double value, string digits)
    {
        return value.ToString("+0." + digits + ";-0." + digits, Plain).PadLeft(9);
    }

    private static string Micros(double ns)
    {
        return (ns / 1e3).ToString("0.0", Plain).PadLeft(9);
    }

    // `monotonic` is a session of the monotonic clock with the same receiver: the truth is told in that.
    private static string Row(Session session, Session monotonic, string truth)
    {
        ClockOffset now = session.Offset();
        var row = new StringBuilder();
        row.AppendFormat(Plain, "{0,-9}  {1,-9}  {2,20}  {3}", now.SyncState.ToString().ToUpperInvariant(),
            now.Role.ToString().ToUpperInvariant(), now.OffsetNs, Signed(now.SkewPpm, "000"));
        if (!now.Synchronized) return row.Append("  ").Append(session.Status().Advice).ToString();
        double ageMs = now.AgeNs == ulong.MaxValue ? 0 : now.AgeNs / 1e6;
        row.AppendFormat(Plain, "  {0}  {1}  {2,7:0}  {3,5}", Micros(now.ErrorNs), Micros(now.PathDelayNs), ageMs,
            now.Epoch);
        if (monotonic != null)
        {
            long before = monotonic.LocalNow();
            ulong receiverNs = session.ReceiverNow();
            long after = monotonic.LocalNow();
            ulong? really = TruthAt(truth, before + (after - before) / 2);
            if (really.HasValue) row.Append("  ").Append(Signed((long)(receiverNs - really.Value) / 1e3, "0"));
        }
        return row.ToString();
    }

    private static int Usage()
    {
        Console.Error.WriteLine("usage: Follow RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] "
            + "[--every MS] [--truth FILE]");
        return 2;
    }

    private static int Main(string[] args)
    {
        string receiver = null, truth = null;
        double seconds = 0;
        int every = 1000;
        var config = new Config();
        for (int i = 0; i < args.Length; i++)
        {
            if (args[i] == "--local" && i + 1 < args.Length) config.LocalAddress = args[++i];
            else if (args[i] == "--ports" && i + 2 < args.Length)
            {
                config.EventPort = ushort.Parse(args[++i], Plain);
                config.GeneralPort = ushort.Parse(args[++i], Plain);
            }
            else if (args[i] == "--seconds" && i + 1 < args.Length) seconds = double.Parse(args[++i], Plain);
            else if (args[i] == "--every" && i + 1 < args.Length) every = int.Parse(args[++i], Plain);
            else if (args[i] == "--truth" && i + 1 < args.Length) truth = args[++i];
            else if (args[i][0] != '-' && receiver == null) receiver = args[i];
            else return Usage();
        }
        if (receiver == null || every < 1) return Usage();

        var stopped = new ManualResetEvent(false);
        Console.CancelKeyPress += delegate(object sender, ConsoleCancelEventArgs e)
        {
            e.Cancel = true;
            stopped.Set();
        };
        Session session = null, monotonic = null;
        try
        {
            session = new Session(receiver, config);
            if (truth != null)
            {
                config.LocalClock = Clock.Monotonic;
                monotonic = new Session(receiver, config);
            }
            if (!session.AwaitSync(5000)) Console.Error.WriteLine(session.Status().Advice);
            Console.WriteLine("{0,-9}  {1,-9}  {2,20}  {3,9}  {4,9}  {5,9}  {6,7}  {7,5}{8}", "state", "role", "offset ns",
                "skew ppm", "bound us", "path us", "age ms", "epoch", truth != null ? "   error us" : "");
            DateTime end = DateTime.UtcNow.AddSeconds(seconds);
            do
            {
                Console.WriteLine(Row(session, monotonic, truth));
                if (seconds > 0 && DateTime.UtcNow >= end) break;
            } while (!stopped.WaitOne(every));
        }
        catch (PtpbmcaException error)
        {
            Console.Error.WriteLine(error.Result + ": " + error.Message);
            return 1;
        }
        finally
        {
            if (monotonic != null) monotonic.Dispose();
            if (session != null) session.Dispose();
        }
        return 0;
    }
}
