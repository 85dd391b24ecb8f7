#!/usr/bin/env python3
"""pairs.py FILE [skip=16]: how far our served clock was off, by the Sync pairs that a simulated receiver measured (its --pairs).

Our timeline starts equal to CLOCK_REALTIME; the receiver stamps arrivals in CLOCK_MONOTONIC of the same kernel.
"""
import sys, time

skip = int(sys.argv[2][5:]) if len(sys.argv) > 2 else 16
readings = []
for _ in range(99):
    a, w, b = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    readings.append((b - a, w - (a + b) // 2))
wall = min(readings)[1]
rows = [l.split() for l in open(sys.argv[1]) if l.startswith("pair ")]
e, delays = [], []
for _, _, arrival, origin, _, delay in rows[skip:]:
    path = 0 if delay == "-" else int(delay)
    delays.append(path)
    e.append(int(origin) + path - (int(arrival) + wall))
if len(e) < 8: sys.exit(f"only {len(rows)} pairs")
a = sorted(map(abs, e)); q = lambda p: a[min(len(a) - 1, int(len(a) * p))] / 1e3
print(f"{len(rows)} pairs from {sorted({r[1] for r in rows})}: p50 {q(.5):.1f} p99 {q(.99):.1f} max {a[-1]/1e3:.1f} us, mean {sum(e)/len(e)/1e3:+.1f}, "
      f"path delay {sorted(delays)[len(delays)//2]/1e3:.1f} us")
