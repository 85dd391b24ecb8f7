// Check.cs: the C# file against what C says of the header, and what it makes of errors, events and lifetimes.
//
//     Check layout FILE        FILE: what layout.c printed
//     Check calls              Binds 127.0.44.1, ports 24319 and 24320.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Threading;
using Ptpbmca;

internal static class Check
{
    private static readonly Dictionary<string, Type> Structs = new Dictionary<string, Type>
    {
        { "clock_offset", typeof(ClockOffset) }, { "anchor_time", typeof(AnchorTime) }, { "config", typeof(NativeConfig) },
        { "error", typeof(NativeError) }, { "message_counts", typeof(MessageCounts) },
        { "refusal_counts", typeof(RefusalCounts) }, { "session_status", typeof(SessionStatus) },
    };

    private static readonly Dictionary<Type, string> Kinds = new Dictionary<Type, string>
    {
        { typeof(byte), "u8" }, { typeof(ushort), "u16" }, { typeof(uint), "u32" }, { typeof(ulong), "u64" },
        { typeof(int), "i32" }, { typeof(long), "i64" }, { typeof(double), "f64" }, { typeof(byte[]), "array" },
    };

    private static void That(bool holds, string what)
    {
        if (!holds) throw new Exception(what);
    }

    private static string Snake(string name)
    {
        return string.Concat(name.Select((c, i) => (char.IsUpper(c) && i > 0 ? "_" : "") + char.ToLowerInvariant(c)));
    }

    private static string Kind(Type type, string name)
    {
        if (type == typeof(IntPtr)) return name == "on_event" ? "callback" : name == "user_data" ? "pointer" : "text";
        if (type.IsEnum) type = Enum.GetUnderlyingType(type);
        string kind;
        return Kinds.TryGetValue(type, out kind) ? kind : Structs.First(entry => entry.Value == type).Key;
    }

    private static void Layout(string file)
    {
        // Room to grow has other names here; that it is there shows in the size of the struct.
        string[] c = File.ReadAllLines(file).Where(line => !line.Contains(" reserved")).ToArray();
        That(c.Length > 100, "the C program printed too little");
        var ours = new List<string>();
        foreach (var entry in Structs)
        {
            ours.Add("struct " + entry.Key + " " + Marshal.SizeOf(entry.Value));
            foreach (FieldInfo field in entry.Value.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            {
                string name = Snake(field.Name);
                if (name.StartsWith("reserved")) continue;
                Type type = field.FieldType.IsEnum ? Enum.GetUnderlyingType(field.FieldType) : field.FieldType;
                int size = type.IsArray ? 256 : Marshal.SizeOf(type);
                ours.Add(string.Join(" ", "field", entry.Key, name, Marshal.OffsetOf(entry.Value, field.Name), size,
                    Kind(field.FieldType, name)));
            }
        }
        Constants(ours, typeof(Result), "ERR_");
        Constants(ours, typeof(Role), "");
        Constants(ours, typeof(Clock), "CLOCK_");
        Constants(ours, typeof(RolePolicy), "ROLE_");
        Constants(ours, typeof(SyncState), "SYNC_");
        Constants(ours, typeof(LogLevel), "LOG_");
        Constants(ours, typeof(Event), "EVENT_");
        string[] wrong = c.Except(ours).Concat(ours.Except(c)).ToArray();
        That(wrong.Length == 0, "C and C# differ: " + string.Join("; ", wrong));
        Console.WriteLine(ours.Count + " sizes, places, types and constants");
    }

    private static void Constants(List<string> lines, Type type, string prefix)
    {
        foreach (object value in Enum.GetValues(type))
        {
            string name = Snake(value.ToString()).ToUpperInvariant();
            lines.Add("constant " + (name == "OK" ? "" : prefix) + name + " " + Convert.ToInt64(value));
        }
    }

    private static Config Loopback(RolePolicy role)
    {
        return new Config { Role = role, LocalAddress = "127.0.44.1", EventPort = 24319, GeneralPort = 24320 };
    }

    private static PtpbmcaException Throws(Result result, Action call)
    {
        try { call(); }
        catch (PtpbmcaException error)
        {
            That(error.Result == result, error.Result + " for " + result);
            return error;
        }
        throw new Exception("no " + result);
    }

    private static void Calls()
    {
        That(Throws(Result.InvalidAddress, () => new Session("speaker.local")).Message.Contains("speaker.local"), "no name");
        That(new Config().EventPort == 319 && new Config().EventSocket == -1, "the defaults are not the library's");
        Config alone = Loopback(RolePolicy.Follow);
        alone.ReadyTimeoutMs = 0;
        using (var session = new Session("127.0.44.2", alone))
        {
            ulong same;
            That(!session.TryReceiverTime(1L << 62, out same) && same == 1UL << 62, "no local time passed through");
            Throws(Result.NotSynchronized, () => session.ReceiverTime(1));
            That(!session.AwaitSync(1), "synchronised with nobody");
            SessionStatus status = session.Status();
            That(status.EventPort == 24319 && status.Advice.Length > 20, "no status");
            That(session.Offset().ErrorNs == ulong.MaxValue, "a bound without a clock");
            session.Dispose();
            Throws(Result.NoSession, () => session.Offset());
        }
        var seen = new BlockingCollection<KeyValuePair<Event, ClockOffset>>();
        var log = new BlockingCollection<string>();
        Library.SetLog((level, message) => log.Add(message), LogLevel.Debug);
        Config leading = Loopback(RolePolicy.Lead);
        leading.OnEvent = (what, now) => seen.Add(new KeyValuePair<Event, ClockOffset>(what, now));
        using (var session = new Session("127.0.44.2", leading))
        {
            That(session.AwaitSync(5000), "does not lead");
            GC.Collect();
            AnchorTime anchor = session.Anchor(session.LocalNow());
            That(anchor.TimelineId == session.Offset().LocalClockId && anchor.TimelineId != 0, "another timeline");
            That(session.LocalTime(session.ReceiverTime(5000000000)) == 5000000000, "not the inverse");
        }
        var events = new List<Event>();
        KeyValuePair<Event, ClockOffset> one;
        while (seen.TryTake(out one))
        {
            events.Add(one.Key);
            if (one.Key == Event.Synchronized) That(one.Value.Synchronized && one.Value.Role == Role.Leading, "another clock");
        }
        That(events.Contains(Event.Synchronized) && events.Last() == Event.Stopped, string.Join(" ", events));
        Library.SetLog(null, LogLevel.Off);
        That(log.Count > 0 && log.All(line => line.Length > 5), "no log");
    }

    private static int Main(string[] args)
    {
        if (args[0] == "layout") Layout(args[1]);
        else Calls();
        return 0;
    }
}
