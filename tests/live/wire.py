#!/usr/bin/env python3
"""wire.py FILE SENDER CLOCK_ID: checks what a leading session put on the wire, from a capture with kernel stamps.

Spacing, lengths, flags and the other bytes of Sync, Follow_Up, Announce, Signaling and Delay_Resp; the stamp of each
Follow_Up beside the time at which the kernel saw its Sync leave. Exit code 1: something is not as it is to be.
"""
import collections, socket, struct, sys
import ptpmsg

path, sender, clock = sys.argv[1], sys.argv[2], int(sys.argv[3], 16)
d = open(path, "rb").read()
scale = 1 if struct.unpack("<I", d[:4])[0] == 0xA1B23C4D else 1000
off, got, foreign = 24, collections.defaultdict(list), 0
while off + 16 <= len(d):
    s, f, n, _ = struct.unpack("<IIII", d[off:off + 16]); p = d[off + 16:off + 16 + n]; off += 16 + n
    et = struct.unpack(">H", p[12:14])[0]
    if et == 0x800: src, q = socket.inet_ntoa(p[26:30]), 14 + (p[14] & 15) * 4
    elif et == 0x86DD: src, q = socket.inet_ntop(socket.AF_INET6, p[22:38]), 54
    else: continue
    sp, dp, ul = struct.unpack(">HHH", p[q:q + 6]); m = ptpmsg.parse(p[q + 8:q + ul])
    if src == sender and m: got[m["type"]].append((s * 10**9 + f * scale, sp, dp, m))
    else: foreign += 1

# length, flags, controlField, logMessageInterval, port; field guide 1.12
EXPECT = {"Sync": (44, 0x0608, 0, -3, 319), "Follow_Up": (96, 0x0408, 2, -3, 320), "Announce": (76, 0x0408, 0, 0, 320),
          "Signaling": (106, 0x0408, 5, -128, 320), "Delay_Resp": (54, 0x0608, 0, -3, 320)}
INTERVAL = {"Sync": 125e6, "Announce": 1e9, "Signaling": 1e9}
wrong, said = [], []
for kind, (length, flags, control, log, port) in EXPECT.items():
    if not got[kind]: wrong.append(f"no {kind}")
    for _, sp, dp, m in got[kind]:
        is_ = (m["byte0"] >> 4, m["version"], m["length"], m["size"], m["flags"], m["control"], m["log"], sp, dp, m["cid"], m["port"], m["domain"])
        be = (1, 2, length, length, flags, control, log, port, port, clock, 0x8005, 0)
        if is_ != be: wrong.append(f"{kind}: {is_} is to be {be}"); break
for kind in sorted(set(got) - set(EXPECT)): wrong.append(f"{kind} x{len(got[kind])}, first at sequence {got[kind][0][3]['seq']}")
for kind, interval in INTERVAL.items():
    t = [r[0] for r in got[kind]]; gaps = sorted(b - a for a, b in zip(t, t[1:]))
    if not gaps: continue
    median = gaps[len(gaps) // 2]; late = sorted(abs(g - interval) for g in gaps); p99 = late[min(len(late) - 1, int(len(late) * .99))]
    said.append(f"{kind} every {median/1e6:.3f} ms, p99 {p99/1e6:.2f} ms off, {gaps[0]/1e6:.2f} to {gaps[-1]/1e6:.2f} (n {len(gaps)})")
    if abs(median - interval) > interval * .002: wrong.append(f"{kind}: median spacing")
    if p99 > 5e6: wrong.append(f"{kind}: spacing p99")
for kind in ("Sync", "Follow_Up", "Announce", "Signaling"):
    ids = [r[3]["seq"] for r in got[kind]]
    if any((b - a) & 0xFFFF != 1 for a, b in zip(ids, ids[1:])): wrong.append(f"{kind}: sequenceId does not count by one")
sync = {r[3]["seq"]: r for r in got["Sync"]}
pairs = [(r, sync[r[3]["seq"]]) for r in got["Follow_Up"] if r[3]["seq"] in sync]
if pairs:
    UTC = 37 * 10**9
    e = [f[3]["ts"] + f[3]["corr"] // 65536 - s[0] for f, s in pairs]; e = sorted(x - round(x / UTC) * UTC for x in e)
    a = sorted(map(abs, e)); lag = sorted(f[0] - s[0] for f, s in pairs); at = lambda v, p: v[min(len(v) - 1, int(len(v) * p))] / 1e3
    said.append(f"Follow_Up's stamp minus the kernel's capture of its Sync: median {at(e,.5):+.1f}, |.| p99 {at(a,.99):.1f} max {a[-1]/1e3:.1f} us; it leaves {at(lag,.5):.0f} us "
                f"(p99 {at(lag,.99):.0f}) after the Sync")
    if len(pairs) < len(sync) - 1: wrong.append("Sync without Follow_Up")
    for f, s in pairs:
        kinds = [(t, v[:6].hex(), len(v)) for t, v in f[3]["tlvs"]]
        if kinds != [(3, "0080c2000001", 28), (3, "000d93000004", 16)] or s[3]["ts"] or s[3]["corr"]: wrong.append(f"Follow_Up's TLVs {kinds}"); break
for r in got["Announce"]:
    m = r[3]
    is_ = (m["p1"], m["cls"], m["acc"], m["var"], m["p2"], m["gm"], m["steps"], m["src"], [t for t, _ in m["tlvs"]])
    be = (128, 6, 0x21, 0x436A, 128, clock, 0, 0x20, [8])
    if is_ != be: wrong.append(f"Announce: {is_} is to be {be}"); break
for r in got["Delay_Resp"]:
    if r[3]["corr"]: wrong.append("Delay_Resp with a correction"); break
said.append(f"Delay_Resp x{len(got['Delay_Resp'])}; {foreign} packets of others")
print("; ".join(said))
if wrong: sys.exit("; ".join(wrong))
