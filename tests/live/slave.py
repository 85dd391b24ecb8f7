#!/usr/bin/env python3
"""slave.py UDS SECONDS [sdo=1] [LIMIT_US]: what a free-running ptp4l measures of its master, at every Sync.

Its log has one line in eight Syncs; its management socket tells the offset of the last one (TIME_STATUS_NP, linuxptp's
management id 0xC000) as often as it is asked. Master and slave share this kernel's clock, so the truth is 0; whole
multiples of 37 s (an Announce that claims the PTP timescale) are taken out. Exit code 1: p99 of |offset| is over the limit.
"""
import os, socket, struct, sys, tempfile, time
import ptpmsg

uds, seconds = sys.argv[1], float(sys.argv[2])
sdo = int(sys.argv[3]) if len(sys.argv) > 3 else 1
limit = float(sys.argv[4]) if len(sys.argv) > 4 else None
UTC = 37 * 10**9
TIME_STATUS_NP = 0xC000

s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
place = tempfile.mkdtemp()
s.bind(place + "/ask"); s.settimeout(.5)
try:
    seen, end, asked = {}, time.monotonic() + seconds, 0
    while time.monotonic() < end:
        body = b"\xff" * 10 + struct.pack(">BBBBHHH", 0, 0, 0, 0, 1, 2, TIME_STATUS_NP)
        s.sendto(ptpmsg.build(13, sdo, 0x00163EFFFE77F002, 1, asked & 0xFFFF, body), uds); asked += 1
        try:
            b = s.recv(1024)
        except TimeoutError:
            continue
        if len(b) >= 54 + 16 and struct.unpack(">H", b[52:54])[0] == TIME_STATUS_NP:
            offset, ingress = struct.unpack(">qq", b[54:70])
            if ingress: seen[ingress] = offset - round(offset / UTC) * UTC
        time.sleep(.05)
finally:
    s.close(); os.unlink(place + "/ask"); os.rmdir(place)
# The value seen first was measured before we looked: the slave may have been settling.
v = list(seen.values())[1:]
if len(v) < 2: sys.exit(f"no offsets: {asked} questions, {len(v)} answers")
a = sorted(map(abs, v)); q = lambda p: a[min(len(a) - 1, int(len(a) * p))] / 1e3
print(f"every Sync: p50 {q(.5):.1f} p99 {q(.99):.1f} max {a[-1]/1e3:.1f} us, mean {sum(v)/len(v)/1e3:+.1f} (n {len(v)})")
sys.exit(limit is not None and q(.99) > limit)
