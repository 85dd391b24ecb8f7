"""ptpbmca: what time it is on the AirPlay 2 receiver you play to.

One file without a build step: it calls the shared library through ctypes. The library is the one that the environment
variable PTPBMCA_LIBRARY names, else one beside this file, else the one that was installed with it (in a directory above
this file, or in lib there), else the system's libptpbmca.so.0.

    import ptpbmca

    with ptpbmca.Session("10.0.0.7") as session:
        session.await_sync()
        print(session.receiver_now())

Times are integers in nanoseconds. One sign: offset = receiver timeline minus local clock. The C header,
include/ptpbmca.h, says more of every call, constant and field; the names here are the same.

Every call is thread-safe. None is realtime-safe from Python, where any line may wait for the interpreter's lock.
"""

from __future__ import annotations

import atexit
import ctypes
import enum
import os
import sys
import threading
import weakref
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_int64, c_uint16, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, List, Mapping, Optional

__all__ = [
    "AddressInUse", "Anchor", "Clock", "ClockOffset", "Config", "Error", "Event", "InternalError", "InvalidAddress",
    "InvalidArgument", "LimitReached", "LogLevel", "NetworkError", "NoSession", "NotPermitted", "NotSynchronized",
    "Result", "Role", "RolePolicy", "Session", "Status", "SyncState", "TimedOut", "UINT64_MAX", "WouldDeadlock",
    "set_log_callback", "version",
]  # fmt: skip

# What error_ns and age_ns say while there is nothing to say.
UINT64_MAX = 2**64 - 1


# --- Constants --------------------------------------------------------------------------------------------------------


class _Number(enum.IntEnum):
    """A number with a name. One that a newer library gives, and this file does not know, is kept."""

    @classmethod
    def _missing_(cls, value: object) -> Optional[_Number]:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Result(_Number):
    """What a call returned."""
    OK = 0
    ERR_INVALID_ARGUMENT = -1
    ERR_INVALID_ADDRESS = -2
    ERR_PERMISSION = -3
    ERR_ADDRESS_IN_USE = -4
    ERR_NETWORK = -5
    ERR_NO_SESSION = -6
    ERR_NOT_SYNCHRONIZED = -7
    ERR_TIMEOUT = -8
    ERR_WOULD_DEADLOCK = -9
    ERR_LIMIT = -10
    ERR_INTERNAL = -11


class Clock(_Number):
    """Which local clock a session's local_ns count in."""
    REALTIME = 0  # nanoseconds since the Unix epoch, as time.time_ns()
    MONOTONIC = 1  # the platform's audio clock; on Linux as time.monotonic_ns()


class RolePolicy(_Number):
    """Which part a session is to play."""
    AUTO, FOLLOW, LEAD = 0, 1, 2


class Role(_Number):
    """The part a session plays."""
    LISTENING, FOLLOWING, LEADING = 0, 1, 2


class SyncState(_Number):
    """How far the session's clock is to be believed."""
    SILENT, ANNOUNCED, ACQUIRING, LOCKED, HOLDOVER, LEADING = 0, 1, 2, 3, 4, 5


class LogLevel(_Number):
    """How much the log tells."""
    OFF, ERROR, WARN, INFO, DEBUG, TRACE = 0, 1, 2, 3, 4, 5


class Event(_Number):
    """What an event callback is told of."""
    SYNCHRONIZED, LOST, EPOCH_CHANGED, ROLE_CHANGED, GRANDMASTER_CHANGED, STOPPED = 1, 2, 3, 4, 5, 6


# --- Structs, as the C header has them --------------------------------------------------------------------------------


_TYPES: Dict[str, Any] = {
    "i32": c_int32, "i64": c_int64, "u8": ctypes.c_uint8, "u16": c_uint16, "u32": c_uint32, "u64": c_uint64,
    "f64": ctypes.c_double, "text": c_char_p, "pointer": c_void_p,
}  # fmt: skip


def _layout(text: str, **more: Any) -> List[Any]:
    """Fields from lines such as "u64 error_ns age_ns" and "u64*4 reserved"; `more` are types with a name."""
    found = []
    for line in text.split("\n"):
        kind, *names = line.split() or [""]
        base, _, count = kind.partition("*")
        for name in names:
            type_ = more.get(base) or _TYPES[base]
            found.append((name, type_ * int(count) if count else type_))
    return found


class _ClockOffset(ctypes.Structure):
    _fields_ = _layout("""
        i64 offset_ns
        u64 error_ns path_delay_ns
        f64 skew_ppm
        u64 grandmaster_id receiver_clock_id local_clock_id age_ns
        u32 epoch role sync_state synchronized
        u64*4 reserved""")


class _AnchorTime(ctypes.Structure):
    _fields_ = _layout("""
        u64 receiver_ns seconds fraction timeline_id
        u32 epoch reserved32
        u64*2 reserved""")


# No POINTER(_ClockOffset): ctypes keeps such an argument in reference cycles, which would hold a session back.
_EventCallback = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_uint32, c_void_p)
_LogCallback = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, c_char_p)


class _Config(ctypes.Structure):
    _fields_ = _layout("""
        u32 struct_size role local_clock
        u8 priority1 priority2 clock_class domain major_sdo_id
        u64 clock_id
        text local_address
        u16 event_port general_port
        u32 allow_ephemeral_ports
        i64 event_socket general_socket
        u32 announce_timeout_ms ready_timeout_ms
        callback on_event
        pointer user_data""", callback=_EventCallback)  # fmt: skip


class _Error(ctypes.Structure):
    _fields_ = _layout("""
        i32 result os_error
        char*256 message
        u64*4 reserved""", char=c_char)  # fmt: skip


class _MessageCounts(ctypes.Structure):
    _fields_ = _layout("""
        u64 sync follow_up delay_req delay_resp announce signaling pdelay_req pdelay_resp pdelay_resp_follow_up""")


class _RefusalCounts(ctypes.Structure):
    _fields_ = _layout("""
        u64 wrong_source wrong_identity own_echo wrong_domain wrong_version too_short wrong_length unknown_type
        u64 malformed_tlv unmatched duplicate bad_timestamp announce_loop unrequested implausible outlier""")


class _SessionStatus(ctypes.Structure):
    _fields_ = _layout("""
        offset clock
        u16 event_port general_port
        u32 ephemeral_ports kernel_receive_stamps kernel_send_stamps announced
        u8 announced_priority1 announced_priority2 announced_clock_class announced_clock_accuracy
        u16 announced_variance announced_steps_removed
        u8 announced_time_source
        u8*3 reserved8
        u64 announced_grandmaster_id
        messages received sent
        refusals refused
        u64 pairs delay_req_answered delay_resp_used steps send_errors
        text advice
        u64 refused_flood kernel_drops
        u64*6 reserved""", offset=_ClockOffset, messages=_MessageCounts, refusals=_RefusalCounts)  # fmt: skip


# --- The library ------------------------------------------------------------------------------------------------------


def _load() -> ctypes.CDLL:
    named = os.environ.get("PTPBMCA_LIBRARY")
    if named:
        return ctypes.CDLL(named)
    if sys.platform == "darwin":
        names = ["libptpbmca.0.dylib", "libptpbmca.dylib"]
    elif sys.platform == "win32":
        names = ["ptpbmca.dll"]
    else:
        names = ["libptpbmca.so.0", "libptpbmca.so"]
    here = os.path.dirname(os.path.abspath(__file__))
    places = [here]
    # PREFIX/lib/python3.11/site-packages has PREFIX/lib above it, PREFIX/share/doc/ptpbmca/bindings/python PREFIX.
    for _ in range(6):
        here = os.path.dirname(here)
        places += [here, os.path.join(here, "lib")]
    for place in places:
        for name in names:
            if os.path.exists(os.path.join(place, name)):
                return ctypes.CDLL(os.path.join(place, name))
    try:
        return ctypes.CDLL(names[0])
    except OSError as error:
        raise ImportError(
            f"{error}; name the library in PTPBMCA_LIBRARY, put it beside {__file__}, or install it"
        ) from error


_lib = _load()

_SIGNATURES: Dict[str, List[Any]] = {
    "config_init": [POINTER(_Config), c_uint32],
    "start": [c_char_p, POINTER(_Config), POINTER(c_void_p), POINTER(_Error)],
    "offset": [c_void_p, POINTER(_ClockOffset)],
    "receiver_time": [c_void_p, c_int64, POINTER(c_uint64)],
    "receiver_now": [c_void_p, POINTER(c_uint64)],
    "local_time": [c_void_p, c_uint64, POINTER(c_int64)],
    "anchor": [c_void_p, c_int64, POINTER(_AnchorTime)],
    "local_now": [c_void_p, POINTER(c_int64)],
    "await_sync": [c_void_p, c_uint32],
    "status": [c_void_p, POINTER(_SessionStatus)],
    "stop": [c_void_p],
    "set_log_callback": [_LogCallback, c_void_p, c_uint32],
}
for _name, _arguments in _SIGNATURES.items():
    getattr(_lib, "ptpbmca_" + _name).argtypes = _arguments
    getattr(_lib, "ptpbmca_" + _name).restype = c_int32
_lib.ptpbmca_result_message.argtypes = [c_int32]
_lib.ptpbmca_result_message.restype = c_char_p
_lib.ptpbmca_version.argtypes = []
_lib.ptpbmca_version.restype = c_char_p


def version() -> str:
    """The library's version, such as "0.1.0"."""
    text: bytes = _lib.ptpbmca_version()
    return text.decode()


# --- Errors -----------------------------------------------------------------------------------------------------------


class Error(Exception):
    """A call failed: `result` says how, str() is the library's sentence with the remedy."""

    def __init__(self, result: int, message: str, os_error: int = 0) -> None:
        super().__init__(message)
        self.result = Result(result)
        self.os_error = os_error
        """The system's error number; 0 where it has no part in it."""


# fmt: off
class InvalidArgument(Error, ValueError): """An unknown constant, or settings that contradict another session's."""
class InvalidAddress(Error, ValueError): """Not an IPv4 or IPv6 literal of one host."""
class NotPermitted(Error, PermissionError): """Ports below 1024 need a privilege; the message names the remedies."""
class AddressInUse(Error, OSError): """Another PTP program on this host has ports 319 and 320."""
class NetworkError(Error, OSError): """Any other socket error."""
class NoSession(Error): """The session was stopped, or belongs to the process before fork."""
class TimedOut(Error, TimeoutError): """It did not happen in time."""
class WouldDeadlock(Error): """The call would wait for its own thread, such as stop() in an event callback."""
class LimitReached(Error): """More than 1,024 sessions, or the system refused a thread."""
class InternalError(Error): """A bug in the library."""
# fmt: on


class NotSynchronized(Error):
    """The receiver's time is not known. `passed_through` is what the call gave all the same, with the local time taken
    as the receiver's, for callers that proceed either way."""

    passed_through: Any = None


# In the order of their numbers, from -1 on.
_ERRORS: List[Callable[[int, str, int], Error]] = [
    InvalidArgument, InvalidAddress, NotPermitted, AddressInUse, NetworkError, NoSession, NotSynchronized, TimedOut,
    WouldDeadlock, LimitReached, InternalError,
]  # fmt: skip


def _failure(result: int, message: str = "", os_error: int = 0) -> Error:
    if not message:
        text: bytes = _lib.ptpbmca_result_message(result)
        message = text.decode()
    known = -len(_ERRORS) <= result < 0
    return _ERRORS[-result - 1](result, message, os_error) if known else Error(result, message, os_error)


def _check(result: int) -> None:
    if result != Result.OK:
        raise _failure(result)


def _converted(result: int, value: Any) -> None:
    """As _check(), for the calls that pass the local time through while there is no other."""
    if result != Result.OK:
        error = _failure(result)
        if isinstance(error, NotSynchronized):
            error.passed_through = value
        raise error


def _fitting(kind: Any, name: str, value: int) -> Any:
    """ctypes cuts numbers too large for their type without a word: here that is an error."""
    number = kind(value)
    if number.value != value:
        raise OverflowError(f"{name} is out of range: {value}")
    return number


def _text(name: str, value: str) -> bytes:
    if "\0" in value:
        raise ValueError(f"{name} has a zero in it")
    return value.encode()


# --- What calls give --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClockOffset:
    """One consistent snapshot of a session's clock."""

    offset_ns: int  # Receiver timeline minus local clock, now; 0 while not synchronised
    error_ns: int  # The true offset lies within this of offset_ns, see the header; UINT64_MAX while not synchronised
    path_delay_ns: int  # One-way mean path delay; 0 while unknown
    skew_ppm: float  # Receiver clock rate against the local clock
    grandmaster_id: int  # The clock whose timeline this is; 0 while unknown
    receiver_clock_id: int
    local_clock_id: int
    age_ns: int  # Since the last accepted Sync; UINT64_MAX before the first
    epoch: int  # Anchors computed under another epoch are void
    role: Role
    sync_state: SyncState
    synchronized: bool


@dataclass(frozen=True)
class Anchor:
    """A moment on the receiver's timeline, all from one snapshot."""

    receiver_ns: int
    seconds: int
    fraction: int  # receiver_ns is seconds + fraction / 2**64
    timeline_id: int  # networkTimeTimelineID
    epoch: int


@dataclass(frozen=True)
class Status:
    """Everything about a session, for people and logs."""

    clock: ClockOffset
    event_port: int
    general_port: int
    ephemeral_ports: bool
    kernel_receive_stamps: bool
    kernel_send_stamps: bool
    announced: bool  # The receiver has announced itself, and what begins with announced_ is its data set
    announced_priority1: int
    announced_priority2: int
    announced_clock_class: int
    announced_clock_accuracy: int
    announced_variance: int
    announced_steps_removed: int
    announced_time_source: int
    announced_grandmaster_id: int
    received: Mapping[str, int]  # Well-formed messages from the receiver, by type
    sent: Mapping[str, int]
    refused: Mapping[str, int]  # Packets refused, by reason
    pairs: int
    delay_req_answered: int
    delay_resp_used: int
    steps: int
    send_errors: int
    advice: str  # One sentence: what was heard, what is missing, what to check
    refused_flood: int  # Packets refused because more of their kind came in a second than any clock sends
    kernel_drops: int  # Packets that the kernel dropped


def _clock_offset(raw: _ClockOffset) -> ClockOffset:
    return ClockOffset(
        raw.offset_ns, raw.error_ns, raw.path_delay_ns, raw.skew_ppm, raw.grandmaster_id, raw.receiver_clock_id,
        raw.local_clock_id, raw.age_ns, raw.epoch, Role(raw.role), SyncState(raw.sync_state), bool(raw.synchronized),
    )  # fmt: skip


def _status(raw: _SessionStatus) -> Status:
    values: Dict[str, Any] = {field.name: getattr(raw, field.name) for field in fields(Status)}
    values["clock"] = _clock_offset(raw.clock)
    for name in ("ephemeral_ports", "kernel_receive_stamps", "kernel_send_stamps", "announced"):
        values[name] = bool(values[name])
    for name in ("received", "sent", "refused"):
        counts = values[name]
        values[name] = {field[0]: getattr(counts, field[0]) for field in counts._fields_}
    values["advice"] = (values["advice"] or b"").decode()
    return Status(**values)


# --- Sessions ---------------------------------------------------------------------------------------------------------

EventCallback = Callable[["Session", Event, ClockOffset], None]


@dataclass
class Config:
    """How a session is to be. None leaves what the library has as its default, which the comment tells."""

    role: Optional[RolePolicy] = None  # AUTO
    local_clock: Optional[Clock] = None  # REALTIME
    priority1: Optional[int] = None  # 0: by role, 250 for AUTO, 128 for LEAD
    priority2: Optional[int] = None  # 0: 128
    clock_class: Optional[int] = None  # 0: by role, 248 for AUTO, 6 for LEAD
    domain: Optional[int] = None  # 0
    major_sdo_id: Optional[int] = None  # 1: the gPTP dialect of AirPlay
    clock_id: Optional[int] = None  # 0: derived from a MAC address
    local_address: Optional[str] = None  # any
    event_port: Optional[int] = None  # 319
    general_port: Optional[int] = None  # 320
    allow_ephemeral_ports: Optional[bool] = None  # False
    event_socket: Optional[int] = None  # -1; a socket's fileno(), which stays the caller's
    general_socket: Optional[int] = None  # -1
    announce_timeout_ms: Optional[int] = None  # 3000
    ready_timeout_ms: Optional[int] = None  # 5000
    on_event: Optional[EventCallback] = None
    """Called with each event, on the library's thread: it must not block, nor stop the session. What it raises goes to
    sys.unraisablehook."""

    def _raw(self) -> _Config:
        raw = _Config()
        _check(_lib.ptpbmca_config_init(byref(raw), ctypes.sizeof(raw)))
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or field.name == "on_event":
                continue
            if field.name == "local_address":
                raw.local_address = _text(field.name, value)
                continue
            setattr(raw, field.name, value)
            if getattr(raw, field.name) != value:
                raise OverflowError(f"{field.name} is out of range: {value}")
        return raw


def _end(token: c_void_p, callback: Any) -> None:
    """Stops a session that nobody stopped. `callback` lives until then: the library may be in it."""
    if _lib.ptpbmca_stop(token) == Result.ERR_WOULD_DEADLOCK:
        # The last reference went away inside of a callback: another thread waits for its end.
        threading.Thread(target=_lib.ptpbmca_stop, args=(token,), name=f"ptpbmca-stop-{id(callback)}").start()
        _kept.append(callback)


# Callbacks that the library may still be in, for good: there are few of them.
_kept: List[Any] = []


class Session:
    """A session with one receiver: an address, or several of one receiver, separated by commas.

    Made, it has started, and its role is settled or ready_timeout_ms have passed. It ends with stop(), at the end of
    `with`, or when the last reference to it goes away or the interpreter ends.
    """

    def __init__(self, receiver: str, config: Optional[Config] = None) -> None:
        config = config or Config()
        raw = config._raw()
        callback = None
        if config.on_event is not None:
            callback = self._callback(config.on_event)
            raw.on_event = callback
        token = c_void_p()
        error = _Error()
        self._token: Optional[int] = None
        self._finalizer: Any = None
        result = _lib.ptpbmca_start(_text("receiver", receiver), byref(raw), byref(token), byref(error))
        if result != Result.OK:
            raise _failure(result, error.message.decode(errors="replace"), error.os_error)
        self._token = token.value
        self._finalizer = weakref.finalize(self, _end, token, callback)

    def _callback(self, on_event: EventCallback) -> Any:
        # A weak reference: else the library would keep the session, and the session itself would never be forgotten.
        weak = weakref.ref(self)

        def call(_user_data: object, token: int, event: int, now: int) -> None:
            session = weak()
            if session is not None:
                session._token = token  # An event may come before ptpbmca_start() has returned.
                on_event(session, Event(event), _clock_offset(_ClockOffset.from_address(now)))

        return _EventCallback(call)

    def offset(self) -> ClockOffset:
        """One snapshot, aged to now. Not being synchronised is no error here."""
        raw = _ClockOffset()
        _check(_lib.ptpbmca_offset(self._token, byref(raw)))
        return _clock_offset(raw)

    def receiver_time(self, local_ns: int) -> int:
        """Local time to receiver time, never below 0. Raises NotSynchronized."""
        out = c_uint64()
        number = _fitting(c_int64, "local_ns", local_ns)
        _converted(_lib.ptpbmca_receiver_time(self._token, number, byref(out)), out.value)
        return out.value

    def receiver_now(self) -> int:
        """What the receiver's clock reads now. Raises NotSynchronized."""
        out = c_uint64()
        _converted(_lib.ptpbmca_receiver_now(self._token, byref(out)), out.value)
        return out.value

    def local_time(self, receiver_ns: int) -> int:
        """Receiver time to local time. Raises NotSynchronized."""
        out = c_int64()
        number = _fitting(c_uint64, "receiver_ns", receiver_ns)
        _converted(_lib.ptpbmca_local_time(self._token, number, byref(out)), out.value)
        return out.value

    def anchor(self, local_ns: int) -> Anchor:
        """A local time as an anchor on the receiver's timeline. Raises NotSynchronized."""
        raw, number = _AnchorTime(), _fitting(c_int64, "local_ns", local_ns)
        result = _lib.ptpbmca_anchor(self._token, number, byref(raw))
        anchor = Anchor(raw.receiver_ns, raw.seconds, raw.fraction, raw.timeline_id, raw.epoch)
        _converted(result, anchor)
        return anchor

    def local_now(self) -> int:
        """The session's local clock, which local_ns count in."""
        out = c_int64()
        _check(_lib.ptpbmca_local_now(self._token, byref(out)))
        return out.value

    def await_sync(self, timeout_ms: int = 5000) -> None:
        """Waits until the session is synchronised. Raises TimedOut. Signals are handled when it returns."""
        _check(_lib.ptpbmca_await_sync(self._token, _fitting(c_uint32, "timeout_ms", timeout_ms)))

    def status(self) -> Status:
        """Everything about the session, for people and logs."""
        raw = _SessionStatus()
        _check(_lib.ptpbmca_status(self._token, byref(raw)))
        return _status(raw)

    def stop(self) -> None:
        """Ends the session; no callback runs when this has returned. Once more is no error."""
        finalizer = self._finalizer
        if finalizer is not None and not finalizer.alive:
            return
        result = _lib.ptpbmca_stop(self._token)
        if result != Result.ERR_NO_SESSION:
            _check(result)
        if finalizer is not None:
            finalizer.detach()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


# --- The log ----------------------------------------------------------------------------------------------------------


LogCallback = Callable[[LogLevel, str], None]


def _silence() -> int:
    return int(_lib.ptpbmca_set_log_callback(ctypes.cast(0, _LogCallback), None, LogLevel.OFF))


def set_log_callback(callback: Optional[LogCallback], max_level: LogLevel = LogLevel.INFO) -> None:
    """Sends the library's log, up to `max_level`, to `callback`; None ends it. The library is silent until then.

    It is called on the library's thread and must not block; what it raises goes to sys.unraisablehook.
    """
    if callback is None:
        return _check(_silence())
    told = callback

    def call(_user_data: object, level: int, message: bytes) -> None:
        told(LogLevel(level), message.decode(errors="replace"))

    raw = _LogCallback(call)
    # Two threads may set it at once, and then nobody knows which one stayed: both are kept.
    _kept.append(raw)
    _check(_lib.ptpbmca_set_log_callback(raw, None, _fitting(c_uint32, "max_level", max_level)))
    # The library's thread may outlive the interpreter.
    atexit.unregister(_silence)
    atexit.register(_silence)
