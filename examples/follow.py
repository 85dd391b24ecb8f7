#!/usr/bin/env python3
"""follow.py: shows what time it is on a receiver, once a second, until Ctrl-C. examples/follow.c in Python.

    follow.py RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] [--truth FILE]

--truth names a file in which a simulated receiver says what its clock really reads; the table then has a column with the
error. The library is found as bindings/python/ptpbmca.py says.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bindings", "python"))

import ptpbmca


def truth_at(file: str, at: int) -> int:
    """What the simulated receiver's clock reads at a monotonic time, by the last line of its file. 0: it says nothing."""
    reads = 0
    with open(file, encoding="ascii") as truth:
        for line in truth:
            if line.startswith("truth ") and line.endswith("\n"):
                since, reads_then, skew_ppb = (int(word) for word in line.split()[1:4])
                reads = reads_then + (at - since) + int((at - since) * skew_ppb * 1e-9)
    return reads


def row(session: ptpbmca.Session, truth: str | None) -> str:
    now = session.offset()
    text = f"{now.sync_state.name:<9}  {now.role.name:<9}  {now.offset_ns:20d}  {now.skew_ppm:+9.3f}"
    if not now.synchronized:
        return f"{text}  {session.status().advice}"
    age_ms = 0.0 if now.age_ns == ptpbmca.UINT64_MAX else now.age_ns / 1e6
    text += f"  {now.error_ns / 1e3:9.1f}  {now.path_delay_ns / 1e3:9.1f}  {age_ms:7.0f}  {now.epoch:5d}"
    if truth:
        before = time.monotonic_ns()
        receiver_ns = session.receiver_now()
        after = time.monotonic_ns()
        really = truth_at(truth, before + (after - before) // 2)
        if really:
            text += f"  {(receiver_ns - really) / 1e3:+9.1f}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Shows what time it is on a receiver, until Ctrl-C.")
    parser.add_argument("receiver")
    parser.add_argument("--local", metavar="ADDRESS")
    parser.add_argument("--ports", nargs=2, type=int, metavar=("EVENT", "GENERAL"), default=(None, None))
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1000, metavar="MS")
    parser.add_argument("--truth", metavar="FILE")
    options = parser.parse_args()
    config = ptpbmca.Config(
        local_address=options.local, event_port=options.ports[0], general_port=options.ports[1]
    )

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with ptpbmca.Session(options.receiver, config) as session:
            try:
                session.await_sync(5000)
            except ptpbmca.TimedOut as error:
                print(f"PTPBMCA_{error.result.name}: {error}", file=sys.stderr)
            titles = ("state", "role", "offset ns", "skew ppm", "bound us", "path us", "age ms", "epoch")
            print("{:<9}  {:<9}  {:>20}  {:>9}  {:>9}  {:>9}  {:>7}  {:>5}".format(*titles), end="")
            print("   error us" if options.truth else "", flush=True)
            end = time.monotonic() + options.seconds
            while not stopped.is_set():
                print(row(session, options.truth), flush=True)
                if options.seconds > 0 and time.monotonic() >= end:
                    break
                stopped.wait(options.every / 1000)
    except (ptpbmca.Error, OverflowError) as error:
        name = f"PTPBMCA_{error.result.name}: " if isinstance(error, ptpbmca.Error) else ""
        print(f"{name}{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
