"""ptpmsg.py: PTPv2 messages, as far as the scripts here need them."""
import struct
TYPES = {0: "Sync", 1: "Delay_Req", 2: "Pdelay_Req", 3: "Pdelay_Resp", 8: "Follow_Up", 9: "Delay_Resp",
         10: "Pdelay_Resp_Follow_Up", 11: "Announce", 12: "Signaling", 13: "Management"}

def build(mtype, sdo, cid, port, seq, body, flags=0, log=0x7F, control=5, domain=0):
    n = 34 + len(body)
    return struct.pack(">BBHBBHq4xQHHBB", sdo << 4 | mtype, 2, n, domain, 0, flags, 0, cid, port, seq, control, log) + body

def parse(b):
    if len(b) < 34: return None
    t, v, n, dom, minor, flags, corr, cid, port, seq, ctl, log = struct.unpack(">BBHBBHq4xQHHBb", b[:34])
    m = dict(byte0=t, type=TYPES.get(t & 15, hex(t & 15)), sdo=t >> 4, version=v, length=n, domain=dom, flags=flags,
             corr=corr, cid=cid, port=port, seq=seq, control=ctl, log=log, size=len(b))
    kind, off = t & 15, 34
    if kind in (0, 1, 2, 3, 8, 9, 10) and len(b) >= 44:
        hi, lo, ns = struct.unpack(">HII", b[34:44]); m["ts"] = ((hi << 32 | lo) * 10**9) + ns; off = 44
    if kind in (2, 3, 9, 10): m["req"] = struct.unpack(">QH", b[44:54]) if len(b) >= 54 else None; off = 54
    if kind == 11 and len(b) >= 64:
        utc, _, p1, cls, acc, var, p2, gm, steps, src = struct.unpack(">hBBBBHBQHB", b[44:64])
        m.update(utc=utc, p1=p1, cls=cls, acc=acc, var=var, p2=p2, gm=gm, steps=steps, src=src); off = 64
    if kind == 12: m["target"] = b[34:44].hex(); off = 44
    m["tlvs"] = []
    while off + 4 <= min(n, len(b)):
        ty, ln = struct.unpack(">HH", b[off:off + 4]); m["tlvs"].append((ty, b[off + 4:off + 4 + ln])); off += 4 + ln
    return m
