#!/usr/bin/env python3
"""netdelay.py: a bad link between two interfaces, in user space: works where the kernel has no sch_netem.

netdelay.py IF_A IF_B [key=value ...]   bridges two interfaces at layer 2, so addresses,
ports, multicast, ARP and IPv6 pass unchanged.  Times in ms, rates in percent:
  delay=2 jitter=1    A->B delay, uniform in delay +- jitter
  rdelay= rjitter=    the same for B->A (default: as A->B); differ for path asymmetry
  loss=1 dup=0        drop / duplicate
  reorder=0           this share is sent at once, ahead of those held back (as netem does)
  fifo=0              1: keep order within a direction (a queue); 0: jitter may reorder (netem)
  burst=0 every=0     hold everything for `burst` ms once each `every` ms (Wi-Fi power save)
  seed=1
A frame leaves at its kernel arrival stamp + delay, so this process's own wake-up
latency is inside the delay and not added to it.
"""
import heapq, os, random, select, signal, socket, struct, sys, time

SO_TIMESTAMPNS, SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 35, 263, 15, 23
VNET = 10  # struct virtio_net_hdr: carries "checksum not yet filled in" through

opt = dict(delay=0, jitter=0, rdelay=None, rjitter=None, loss=0, dup=0, reorder=0, fifo=0, burst=0, every=0, seed=1)
for a in sys.argv[3:]:
    k, v = a.split("=")
    if k not in opt:
        sys.exit(f"unknown option {k}\n{__doc__}")
    opt[k] = float(v)
rnd = random.Random(int(opt["seed"]))

def sock(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.bind((name, 3))  # ETH_P_ALL
    s.setblocking(False)
    return s

socks = [sock(sys.argv[1]), sock(sys.argv[2])]
first = lambda *v: next(x for x in v if x is not None)
delay = [(opt["delay"], opt["jitter"]),
         (first(opt["rdelay"], opt["delay"]), first(opt["rjitter"], opt["jitter"]))]
heap, n, last = [], 0, [0, 0]
stat = dict(fwd=0, lost=0, late_max_us=0.0, late_over_1ms=0)

def release(d, ts):
    """Time at which a frame that arrived at ts (ns) in direction d is to leave."""
    if rnd.random() * 100 < opt["reorder"]:
        return ts
    base, jit = delay[d]
    t = ts + int((base + (rnd.uniform(-jit, jit) if jit else 0)) * 1e6)
    if opt["every"]:
        t += max(0, int(opt["burst"] * 1e6) - t % int(opt["every"] * 1e6))
    if opt["fifo"]:
        t = last[d] = max(t, last[d])
    return max(t, ts)

try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
except OSError:
    pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("netdelay", " ".join(f"{k}={v:g}" for k, v in opt.items() if v is not None), flush=True)
try:
    while True:
        wait = max(0, heap[0][0] - time.time_ns()) / 1e9 if heap else None
        ready = select.select(socks, [], [], wait)[0]
        for s in ready:
            d = socks.index(s)
            try:
                data, anc, _, _ = s.recvmsg(65536 + VNET, 64)
            except OSError:
                continue
            ts = next((a * 10**9 + b for l, t, c in anc if t == SO_TIMESTAMPNS
                       for a, b in [struct.unpack("qq", c[:16])]), time.time_ns())
            if rnd.random() * 100 < opt["loss"]:
                stat["lost"] += 1
                continue
            for _ in range(2 if rnd.random() * 100 < opt["dup"] else 1):
                n += 1
                heapq.heappush(heap, (release(d, ts), n, d, data))
        now = time.time_ns()
        while heap and heap[0][0] <= now:
            t, _, d, data = heapq.heappop(heap)
            try:
                socks[1 - d].send(data)
            except OSError:
                pass
            stat["fwd"] += 1
            stat["late_max_us"] = max(stat["late_max_us"], (now - t) / 1e3)
            stat["late_over_1ms"] += now - t > 10**6
finally:
    print(stat, flush=True)
