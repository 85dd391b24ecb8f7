#!/usr/bin/env python3
"""trace.py FILE GONE_NS BACK_NS [relock=S] [error=US]: how a session lived through an outage.

FILE is probe's --trace; GONE and BACK are times of CLOCK_MONOTONIC. Judged: it was in HOLDOVER meanwhile, error_ns held in
every sample from GONE to the end, LOCKED again within `relock` seconds of BACK and for good, |error| at BACK below `error`.
"""
import sys

rows = []
for line in open(sys.argv[1]):
    at, error, bound, state, role, epoch, age = line.strip().split(",")
    rows.append((int(at), int(error), int(bound), state, role, int(epoch), int(age)))
gone, back = int(sys.argv[2]), int(sys.argv[3])
limit = dict(a.split("=") for a in sys.argv[4:])
during = [r for r in rows if gone <= r[0] < back]
after = [r for r in rows if r[0] >= back]
if not during or not after: sys.exit("no samples around the outage")
wrong = []
held = [r for r in during if r[3] == "HOLDOVER"]
if not held: wrong.append("never in HOLDOVER")
end = during[-1]
outside = [r for r in during + after if abs(r[1]) > r[2] and r[3] in ("LOCKED", "HOLDOVER")]
unlocked = [r for r in after if r[3] != "LOCKED"]
locked = (next((r[0] for r in after if r[0] > unlocked[-1][0]), None) if unlocked else after[0][0])
after_lock = [abs(r[1]) for r in after if locked and r[0] >= locked]
worst = max((abs(r[1]) for r in held), default=0)
share = 100 - 100 * len(outside) / len(during + after)
print(f"holdover after {(held[0][0]-gone)/1e9 if held else -1:.2f} s; at the end error {end[1]/1e3:+.1f} us, bound {end[2]/1e3:.1f} us, worst {worst/1e3:.1f} us; "
      f"bound holds in {share:.2f} %; locked again {'never' if not locked else f'{(locked-back)/1e9:.2f} s'} after, then at most "
      f"{max(after_lock, default=0)/1e3:.1f} us off; epochs {sorted({r[5] for r in rows})}")
if outside: wrong.append(f"bound broken in {len(outside)} samples, first {(outside[0][0]-gone)/1e9:+.2f} s after the outage began: {outside[0][1:4]}")
if "error" in limit and abs(end[1]) > float(limit["error"]) * 1e3: wrong.append("error at the end")
if not locked or ("relock" in limit and locked - back > float(limit["relock"]) * 1e9): wrong.append("not locked again in time")
if wrong: sys.exit("; ".join(wrong))
