// Ptpbmca.cs: what time it is on the AirPlay 2 receiver you play to, for .NET, through the C interface and P/Invoke.
//
//     using (var session = new Ptpbmca.Session("10.0.0.7"))
//     {
//         session.AwaitSync(5000);
//         Console.WriteLine(session.ReceiverNow());
//     }
//
// One file to add to a project; C# 7, no unsafe code. The library is the one that the environment variable PTPBMCA_LIBRARY
// names (.NET 5 and later), else what the system finds as libptpbmca.so.0, libptpbmca.so, libptpbmca.dylib or ptpbmca.dll.
// The C header, include/ptpbmca.h, says more of every call, constant and field; the names are the same, as .NET writes them.
//
// Every call is thread-safe. None is realtime-safe from .NET, whose collector may stop any thread.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Ptpbmca
{
    public enum Result
    {
        Ok = 0, InvalidArgument = -1, InvalidAddress = -2, Permission = -3, AddressInUse = -4, Network = -5,
        NoSession = -6, NotSynchronized = -7, Timeout = -8, WouldDeadlock = -9, Limit = -10, Internal = -11,
    }

    public enum Clock : uint { Realtime = 0, Monotonic = 1 }

    public enum RolePolicy : uint { Auto = 0, Follow = 1, Lead = 2 }

    public enum Role : uint { Listening = 0, Following = 1, Leading = 2 }

    public enum SyncState : uint { Silent = 0, Announced = 1, Acquiring = 2, Locked = 3, Holdover = 4, Leading = 5 }

    public enum LogLevel : uint { Off = 0, Error = 1, Warn = 2, Info = 3, Debug = 4, Trace = 5 }

    public enum Event : uint
    {
        Synchronized = 1, Lost = 2, EpochChanged = 3, RoleChanged = 4, GrandmasterChanged = 5, Stopped = 6,
    }

    /// <summary>One consistent snapshot of a session's clock. Times in ns.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ClockOffset
    {
        /// <summary>Receiver timeline minus local clock, now; 0 while not synchronised.</summary>
        public long OffsetNs;
        /// <summary>The true offset lies within this of OffsetNs; ulong.MaxValue while not synchronised.</summary>
        public ulong ErrorNs;
        public ulong PathDelayNs;
        public double SkewPpm;
        public ulong GrandmasterId, ReceiverClockId, LocalClockId;
        /// <summary>Since the last accepted Sync; ulong.MaxValue before the first.</summary>
        public ulong AgeNs;
        /// <summary>Anchors computed under another epoch are void.</summary>
        public uint Epoch;
        public Role Role;
        public SyncState SyncState;
        private uint synchronized;
        private ulong reserved0, reserved1, reserved2, reserved3;

        public bool Synchronized { get { return synchronized != 0; } }
    }

    /// <summary>A moment on the receiver's timeline, all from one snapshot.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct AnchorTime
    {
        public ulong ReceiverNs;
        /// <summary>ReceiverNs is Seconds + Fraction / 2^64.</summary>
        public ulong Seconds, Fraction;
        public ulong TimelineId;
        public uint Epoch;
        private uint reserved32;
        private ulong reserved0, reserved1;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct MessageCounts
    {
        public ulong Sync, FollowUp, DelayReq, DelayResp, Announce, Signaling, PdelayReq, PdelayResp, PdelayRespFollowUp;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct RefusalCounts
    {
        public ulong WrongSource, WrongIdentity, OwnEcho, WrongDomain, WrongVersion, TooShort, WrongLength, UnknownType;
        public ulong MalformedTlv, Unmatched, Duplicate, BadTimestamp, AnnounceLoop, Unrequested, Implausible, Outlier;
    }

    /// <summary>Everything about a session, for people and logs. What is a flag in C is 0 or 1.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct SessionStatus
    {
        public ClockOffset Clock;
        public ushort EventPort, GeneralPort;
        public uint EphemeralPorts, KernelReceiveStamps, KernelSendStamps, Announced;
        public byte AnnouncedPriority1, AnnouncedPriority2, AnnouncedClockClass, AnnouncedClockAccuracy;
        public ushort AnnouncedVariance, AnnouncedStepsRemoved;
        public byte AnnouncedTimeSource;
        private byte reserved80, reserved81, reserved82;
        public ulong AnnouncedGrandmasterId;
        public MessageCounts Received, Sent;
        public RefusalCounts Refused;
        public ulong Pairs, DelayReqAnswered, DelayRespUsed, Steps, SendErrors;
        private IntPtr advice;
        public ulong RefusedFlood, KernelDrops;
        private ulong reserved0, reserved1, reserved2, reserved3, reserved4, reserved5;

        /// <summary>One sentence: what was heard, what is missing, what to check.</summary>
        public string Advice { get { return Native.Text(advice); } }
    }

    /// <summary>A call failed. The message is the library's sentence with the remedy.</summary>
    public class PtpbmcaException : Exception
    {
        public Result Result { get; private set; }
        /// <summary>The system's error number; 0 where it has no part in it.</summary>
        public int OsError { get; private set; }

        public PtpbmcaException(Result result, string message = null, int osError = 0)
            : base(string.IsNullOrEmpty(message) ? Native.Text(Native.ptpbmca_result_message(result)) : message)
        {
            Result = result;
            OsError = osError;
        }

        internal static void Check(Result result)
        {
            if (result != Result.Ok) throw new PtpbmcaException(result);
        }
    }

    /// <summary>How a session is to be. Made, every field has the library's default.</summary>
    public sealed class Config
    {
        public RolePolicy Role;
        public Clock LocalClock;
        public byte Priority1, Priority2, ClockClass, Domain, MajorSdoId;
        public ulong ClockId;
        /// <summary>null: any.</summary>
        public string LocalAddress;
        public ushort EventPort, GeneralPort;
        public bool AllowEphemeralPorts;
        public long EventSocket, GeneralSocket;
        public uint AnnounceTimeoutMs, ReadyTimeoutMs;
        /// <summary>Called with each event, on the library's thread: it must neither block nor stop the session.</summary>
        public Action<Event, ClockOffset> OnEvent;

        public Config()
        {
            NativeConfig raw;
            PtpbmcaException.Check(Native.ptpbmca_config_init(out raw, (uint)Marshal.SizeOf(typeof(NativeConfig))));
            Role = raw.Role;
            LocalClock = raw.LocalClock;
            Priority1 = raw.Priority1;
            Priority2 = raw.Priority2;
            ClockClass = raw.ClockClass;
            Domain = raw.Domain;
            MajorSdoId = raw.MajorSdoId;
            ClockId = raw.ClockId;
            EventPort = raw.EventPort;
            GeneralPort = raw.GeneralPort;
            AllowEphemeralPorts = raw.AllowEphemeralPorts != 0;
            EventSocket = raw.EventSocket;
            GeneralSocket = raw.GeneralSocket;
            AnnounceTimeoutMs = raw.AnnounceTimeoutMs;
            ReadyTimeoutMs = raw.ReadyTimeoutMs;
        }

        internal NativeConfig ToNative(IntPtr localAddress, IntPtr onEvent)
        {
            return new NativeConfig
            {
                StructSize = (uint)Marshal.SizeOf(typeof(NativeConfig)), Role = Role, LocalClock = LocalClock,
                Priority1 = Priority1, Priority2 = Priority2, ClockClass = ClockClass, Domain = Domain,
                MajorSdoId = MajorSdoId, ClockId = ClockId, LocalAddress = localAddress, EventPort = EventPort,
                GeneralPort = GeneralPort, AllowEphemeralPorts = AllowEphemeralPorts ? 1u : 0u, EventSocket = EventSocket,
                GeneralSocket = GeneralSocket, AnnounceTimeoutMs = AnnounceTimeoutMs, ReadyTimeoutMs = ReadyTimeoutMs,
                OnEvent = onEvent,
            };
        }
    }

    /// <summary>A session with one receiver. It ends with Dispose(), or when it is forgotten.</summary>
    public sealed class Session : IDisposable
    {
        private IntPtr token;
        // Lives as long as the session: the library holds a pointer to its native half.
        private readonly EventCallback callback;

        /// <summary>Starts a session; returns when its role is settled, or after ReadyTimeoutMs.</summary>
        /// <param name="receiver">An address, or several of one receiver, separated by commas.</param>
        /// <param name="config">null: the defaults.</param>
        public Session(string receiver, Config config = null)
        {
            if (receiver == null) throw new ArgumentNullException("receiver");
            config = config ?? new Config();
            IntPtr onEvent = IntPtr.Zero, localAddress = IntPtr.Zero;
            Action<Event, ClockOffset> told = config.OnEvent;
            if (told != null)
            {
                // It captures no `this`: else the library would keep a forgotten session.
                callback = delegate(IntPtr userData, IntPtr session, Event what, ref ClockOffset now)
                {
                    // An exception must not pass through the library's frames.
                    try { told(what, now); }
                    catch (Exception error) { Console.Error.WriteLine(error); }
                };
                onEvent = Marshal.GetFunctionPointerForDelegate(callback);
            }
            try
            {
                localAddress = Native.Utf8("LocalAddress", config.LocalAddress);
                NativeConfig raw = config.ToNative(localAddress, onEvent);
                IntPtr address = Native.Utf8("receiver", receiver);
                NativeError details;
                Result result;
                try { result = Native.ptpbmca_start(address, ref raw, out token, out details); }
                finally { Marshal.FreeHGlobal(address); }
                if (result != Result.Ok) throw new PtpbmcaException(result, details.Text(), details.OsError);
            }
            finally
            {
                Marshal.FreeHGlobal(localAddress);
            }
        }

        ~Session()
        {
            if (token != IntPtr.Zero) Native.ptpbmca_stop(token);
        }

        /// <summary>One snapshot, aged to now. Not being synchronised is no error here.</summary>
        public ClockOffset Offset()
        {
            ClockOffset now;
            Check(Native.ptpbmca_offset(token, out now));
            return now;
        }

        /// <summary>Local time to receiver time, never below 0. Result.NotSynchronized is thrown.</summary>
        public ulong ReceiverTime(long localNs)
        {
            ulong receiverNs;
            Check(Native.ptpbmca_receiver_time(token, localNs, out receiverNs));
            return receiverNs;
        }

        /// <summary>For callers that proceed either way: false says that the local time was passed through.</summary>
        public bool TryReceiverTime(long localNs, out ulong receiverNs)
        {
            return Known(Native.ptpbmca_receiver_time(token, localNs, out receiverNs));
        }

        /// <summary>What the receiver's clock reads now.</summary>
        public ulong ReceiverNow()
        {
            ulong receiverNs;
            Check(Native.ptpbmca_receiver_now(token, out receiverNs));
            return receiverNs;
        }

        /// <summary>Receiver time to local time.</summary>
        public long LocalTime(ulong receiverNs)
        {
            long localNs;
            Check(Native.ptpbmca_local_time(token, receiverNs, out localNs));
            return localNs;
        }

        /// <summary>A local time as an anchor on the receiver's timeline.</summary>
        public AnchorTime Anchor(long localNs)
        {
            AnchorTime anchor;
            Check(Native.ptpbmca_anchor(token, localNs, out anchor));
            return anchor;
        }

        /// <summary>For callers that proceed either way: false says that the local time was passed through.</summary>
        public bool TryAnchor(long localNs, out AnchorTime anchor)
        {
            return Known(Native.ptpbmca_anchor(token, localNs, out anchor));
        }

        /// <summary>The session's local clock, which localNs count in.</summary>
        public long LocalNow()
        {
            long localNs;
            Check(Native.ptpbmca_local_now(token, out localNs));
            return localNs;
        }

        /// <summary>Waits until the session is synchronised: true; false when it did not happen in time.</summary>
        public bool AwaitSync(uint timeoutMs)
        {
            Result result = Native.ptpbmca_await_sync(token, timeoutMs);
            GC.KeepAlive(this);
            if (result == Result.Timeout) return false;
            PtpbmcaException.Check(result);
            return true;
        }

        /// <summary>Everything about the session, for people and logs.</summary>
        public SessionStatus Status()
        {
            SessionStatus status;
            Check(Native.ptpbmca_status(token, out status));
            return status;
        }

        /// <summary>Ends the session; no callback runs when this has returned. Once more is no error.</summary>
        public void Dispose()
        {
            Result result = Native.ptpbmca_stop(token);
            if (result != Result.NoSession) PtpbmcaException.Check(result);
            GC.SuppressFinalize(this);
            GC.KeepAlive(callback);
        }

        // The finalizer must not end the session while a call is in it.
        private void Check(Result result)
        {
            GC.KeepAlive(this);
            PtpbmcaException.Check(result);
        }

        private bool Known(Result result)
        {
            GC.KeepAlive(this);
            if (result == Result.NotSynchronized) return false;
            PtpbmcaException.Check(result);
            return true;
        }
    }

    /// <summary>The library as a whole.</summary>
    public static class Library
    {
        private static readonly object Setting = new object();
        private static LogCallback current;

        /// <summary>Such as "0.1.0".</summary>
        public static string Version { get { return Native.Text(Native.ptpbmca_version()); } }

        /// <summary>Sends the log to a callback, on the library's thread, which it must not block; null ends it.</summary>
        public static void SetLog(Action<LogLevel, string> told, LogLevel maxLevel)
        {
            LogCallback next = null;
            if (told != null)
            {
                next = delegate(IntPtr userData, LogLevel said, IntPtr message)
                {
                    try { told(said, Native.Text(message)); }
                    catch (Exception error) { Console.Error.WriteLine(error); }
                };
            }
            lock (Setting)
            {
                LogLevel level = told == null ? LogLevel.Off : maxLevel;
                PtpbmcaException.Check(Native.ptpbmca_set_log_callback(next, IntPtr.Zero, level));
                // The former one is done when the call has returned.
                GC.KeepAlive(current);
                current = next;
            }
        }
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void EventCallback(IntPtr userData, IntPtr session, Event what, ref ClockOffset now);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void LogCallback(IntPtr userData, LogLevel level, IntPtr message);

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeConfig
    {
        public uint StructSize;
        public RolePolicy Role;
        public Clock LocalClock;
        public byte Priority1, Priority2, ClockClass, Domain, MajorSdoId;
        public ulong ClockId;
        public IntPtr LocalAddress;
        public ushort EventPort, GeneralPort;
        public uint AllowEphemeralPorts;
        public long EventSocket, GeneralSocket;
        public uint AnnounceTimeoutMs, ReadyTimeoutMs;
        public IntPtr OnEvent, UserData;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeError
    {
        public Result Result;
        public int OsError;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 256)]
        public byte[] Message;
        private ulong reserved0, reserved1, reserved2, reserved3;

        internal string Text()
        {
            int length = Message == null ? 0 : Array.IndexOf(Message, (byte)0);
            return length <= 0 ? null : Encoding.UTF8.GetString(Message, 0, length);
        }
    }

    internal static class Native
    {
        private const string Name = "ptpbmca";
        private const CallingConvention C = CallingConvention.Cdecl;

#if NET5_0_OR_GREATER
        static Native()
        {
            NativeLibrary.SetDllImportResolver(typeof(Native).Assembly, (name, assembly, path) =>
            {
                if (name != Name) return IntPtr.Zero;
                string named = Environment.GetEnvironmentVariable("PTPBMCA_LIBRARY");
                if (!string.IsNullOrEmpty(named)) return NativeLibrary.Load(named);
                // An installation without the files for development has this name only.
                IntPtr found;
                return NativeLibrary.TryLoad("libptpbmca.so.0", assembly, path, out found) ? found : IntPtr.Zero;
            });
        }
#endif

        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_config_init(out NativeConfig config, uint structSize);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_start(IntPtr receiver, ref NativeConfig config, out IntPtr session,
            out NativeError error);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_offset(IntPtr session, out ClockOffset now);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_receiver_time(IntPtr session, long localNs, out ulong receiverNs);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_receiver_now(IntPtr session, out ulong receiverNs);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_local_time(IntPtr session, ulong receiverNs, out long localNs);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_anchor(IntPtr session, long localNs, out AnchorTime anchor);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_local_now(IntPtr session, out long localNs);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_await_sync(IntPtr session, uint timeoutMs);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_status(IntPtr session, out SessionStatus status);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_stop(IntPtr session);
        [DllImport(Name, CallingConvention = C)]
        internal static extern IntPtr ptpbmca_result_message(Result result);
        [DllImport(Name, CallingConvention = C)]
        internal static extern Result ptpbmca_set_log_callback(LogCallback callback, IntPtr userData, LogLevel maxLevel);
        [DllImport(Name, CallingConvention = C)]
        internal static extern IntPtr ptpbmca_version();

        internal static string Text(IntPtr utf8)
        {
            if (utf8 == IntPtr.Zero) return "";
            int length = 0;
            while (Marshal.ReadByte(utf8, length) != 0) length++;
            var bytes = new byte[length];
            Marshal.Copy(utf8, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }

        /// <summary>A copy that ends with a zero, for Marshal.FreeHGlobal().</summary>
        internal static IntPtr Utf8(string what, string text)
        {
            if (text == null) return IntPtr.Zero;
            if (text.IndexOf('\0') >= 0) throw new ArgumentException(what + " has a zero in it");
            byte[] bytes = Encoding.UTF8.GetBytes(text + "\0");
            IntPtr copy = Marshal.AllocHGlobal(bytes.Length);
            Marshal.Copy(bytes, 0, copy, bytes.Length);
            return copy;
        }
    }
}
