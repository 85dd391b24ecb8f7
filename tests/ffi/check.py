"""check.py: the Python module against what C says of the header, and what it makes of errors, events and lifetimes.

    check.py layout FILE        FILE: what layout.c printed
    check.py calls              Binds 127.0.41.1, ports 24319 and 24320.
"""

from __future__ import annotations

import ctypes
import gc
import os
import queue
import socket
import sys
import threading
from typing import Any, Callable

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bindings", "python"))

import ptpbmca
from ptpbmca import Config, Event, Role, RolePolicy, Session, SyncState

STRUCTS: dict[str, Any] = {
    "clock_offset": ptpbmca._ClockOffset,
    "anchor_time": ptpbmca._AnchorTime,
    "config": ptpbmca._Config,
    "error": ptpbmca._Error,
    "message_counts": ptpbmca._MessageCounts,
    "refusal_counts": ptpbmca._RefusalCounts,
    "session_status": ptpbmca._SessionStatus,
}
KINDS = {
    ctypes.c_uint8: "u8", ctypes.c_uint16: "u16", ctypes.c_uint32: "u32", ctypes.c_uint64: "u64",
    ctypes.c_int32: "i32", ctypes.c_int64: "i64", ctypes.c_double: "f64", ctypes.c_char_p: "text",
    ctypes.c_void_p: "pointer", ptpbmca._EventCallback: "callback",
}  # fmt: skip
PREFIXES: dict[str, Any] = {
    "CLOCK_": ptpbmca.Clock, "ROLE_": RolePolicy, "SYNC_": SyncState, "LOG_": ptpbmca.LogLevel, "EVENT_": Event,
}  # fmt: skip


def kind(type_: Any) -> str:
    names = {struct: name for name, struct in STRUCTS.items()}
    return KINDS.get(type_) or names.get(type_) or ("array" if issubclass(type_, ctypes.Array) else "?")


def ours() -> set[str]:
    """What layout.c prints, as this module would have it."""
    lines = set()
    for name, struct in STRUCTS.items():
        lines.add(f"struct {name} {ctypes.sizeof(struct)}")
        for field, type_ in struct._fields_:
            place = getattr(struct, field)
            lines.add(f"field {name} {field} {place.offset} {place.size} {kind(type_)}")
    for prefix, numbers in [("", ptpbmca.Result), ("", Role), *PREFIXES.items()]:
        lines.update(f"constant {prefix}{number.name} {number.value}" for number in numbers)
    return lines


def layout(file: str) -> None:
    with open(file, encoding="ascii") as lines:
        c = {line.strip() for line in lines}
    assert len(c) > 100, "the C program printed too little"
    wrong = sorted(c ^ ours())
    assert not wrong, f"C and Python differ: {wrong}"
    print(f"{len(c)} sizes, places, types and constants")


LOOPBACK = dict(local_address="127.0.41.1", event_port=24319, general_port=24320)


def raises(kind_: type[Exception], call: Callable[[], object], says: str = "") -> Any:
    try:
        call()
    except kind_ as error:
        assert says in str(error), f"{error!r} does not say {says!r}"
        return error
    raise AssertionError(f"no {kind_.__name__}")


def errors() -> None:
    error = raises(ptpbmca.InvalidAddress, lambda: Session("speaker.local"), "speaker.local")
    assert error.result is ptpbmca.Result.ERR_INVALID_ADDRESS and isinstance(error, ValueError)
    raises(ptpbmca.InvalidArgument, lambda: Session("127.0.41.2", Config(role=RolePolicy(77))))
    raises(OverflowError, lambda: Session("127.0.41.2", Config(event_port=70000)), "event_port")
    raises(ValueError, lambda: Session("127.0.41.2\0junk"))
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.41.1", 24319))
    with taken:
        error = raises(OSError, lambda: Session("127.0.41.2", Config(**LOOPBACK)), "24319")  # type: ignore[arg-type]
        assert isinstance(error, ptpbmca.AddressInUse) and error.os_error != 0
    assert repr(ptpbmca.Role(9)) == "<Role.UNKNOWN_9: 9>"
    assert ptpbmca.version().count(".") == 2


def unsynchronized() -> None:
    """Nobody is there: what is said of that, and the local time all the same."""
    config = Config(role=RolePolicy.FOLLOW, ready_timeout_ms=0, **LOOPBACK)  # type: ignore[arg-type]
    with Session("127.0.41.2", config) as session:
        for call in (session.receiver_time, session.local_time):
            assert raises(ptpbmca.NotSynchronized, lambda: call(123456789)).passed_through == 123456789
        assert raises(ptpbmca.NotSynchronized, lambda: session.anchor(-5)).passed_through.receiver_ns == 0
        assert raises(ptpbmca.NotSynchronized, session.receiver_now).passed_through > 0
        raises(OverflowError, lambda: session.receiver_time(2**63))
        raises(OverflowError, lambda: session.local_time(-1))
        raises(TimeoutError, lambda: session.await_sync(1))
        now = session.offset()
        assert (now.error_ns, now.sync_state, now.synchronized) == (ptpbmca.UINT64_MAX, SyncState.SILENT, False)
        status = session.status()
        assert status.event_port == 24319 and status.general_port == 24320 and not status.announced
        assert set(status.refused) >= {"wrong_source", "outlier"} and len(status.advice) > 20
    raises(ptpbmca.NoSession, session.offset)
    session.stop()


def events() -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    log: queue.SimpleQueue[Any] = queue.SimpleQueue()
    deadlocks: list[Any] = []

    def on_event(session: Session, event: Event, now: ptpbmca.ClockOffset) -> None:
        seen.put((event, now, session.status().clock.role, session.local_now()))
        deadlocks.append(raises(ptpbmca.WouldDeadlock, session.stop))
        gc.collect()

    ptpbmca.set_log_callback(lambda level, message: log.put((level, message)), ptpbmca.LogLevel.DEBUG)
    config = Config(role=RolePolicy.LEAD, on_event=on_event, **LOOPBACK)  # type: ignore[arg-type]
    del on_event
    gc.collect()
    with Session("127.0.41.2", config) as session:
        del config
        gc.collect()
        session.await_sync(5000)
        event, now, role, local = seen.get(timeout=10)
        while event != Event.SYNCHRONIZED:
            event, now, role, local = seen.get(timeout=10)
        assert now.synchronized and now.role is role is Role.LEADING and local > 10**18, (now, role, local)
        assert now.grandmaster_id == now.local_clock_id != 0
        anchor = session.anchor(session.local_now())
        assert anchor.receiver_ns == anchor.seconds * 10**9 + (anchor.fraction * 10**9 + 2**63 >> 64), anchor
        assert anchor.timeline_id == now.grandmaster_id
        assert session.local_time(session.receiver_time(10**18)) == 10**18
    while event != Event.STOPPED:
        event, *_ = seen.get(timeout=10)
    assert seen.empty() and deadlocks
    ptpbmca.set_log_callback(None)
    level, message = log.get(timeout=10)
    assert isinstance(level, ptpbmca.LogLevel) and len(message) > 10


def forgotten() -> None:
    """A session that nobody holds ends: its ports are free again, also when it was let go of in a callback."""
    Session("127.0.41.2", Config(role=RolePolicy.LEAD, **LOOPBACK))  # type: ignore[arg-type]
    gc.collect()
    bindable()
    held: list[Session] = []

    def on_event(session: Session, event: Event, now: ptpbmca.ClockOffset) -> None:
        held.clear()

    def ignore(*_: object) -> None:
        pass

    config = Config(role=RolePolicy.LEAD, on_event=ignore, **LOOPBACK)  # type: ignore[arg-type]
    held.append(Session("127.0.41.2", config))
    config = Config(role=RolePolicy.LEAD, on_event=on_event, **LOOPBACK)  # type: ignore[arg-type]
    with Session("127.0.41.3", config) as session:
        session.await_sync(5000)
        for _ in range(100):
            if not held:
                break
            threading.Event().wait(0.1)
        # Only another thread can wait for the end of the callback that let go of it.
        for thread in threading.enumerate():
            if thread.name.startswith("ptpbmca-stop"):
                thread.join(10)
    bindable()


def bindable() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.41.1", 24319))


def unstopped() -> None:
    """What is open at the interpreter's end, with callbacks, does not keep it from ending."""
    ptpbmca.set_log_callback(lambda level, message: None, ptpbmca.LogLevel.TRACE)
    config = Config(role=RolePolicy.LEAD, on_event=lambda *_: None, **LOOPBACK)  # type: ignore[arg-type]
    globals()["kept_to_the_end"] = Session("127.0.41.2", config)


if __name__ == "__main__":
    if sys.argv[1] == "layout":
        layout(sys.argv[2])
    else:
        for test in (errors, unsynchronized, events, forgotten, unstopped):
            test()
