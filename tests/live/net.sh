#!/bin/bash
# net.sh: two hosts on one machine, as network namespaces, and a real PTP clock in one of them. To be sourced.
#
# Of a run: $TAG tells its namespaces from those of other runs, $STATE is its directory.
# snd: snd0 10.77.0.1, fe80::216:3eff:fe77:1, fd77::1       rcv: rcv0 10.77.0.2, ...:2, fd77::2
LIVE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TAG=${LIVE_TAG:-ptpbmca-$$}
SND=$TAG-snd RCV=$TAG-rcv MID=$TAG-mid
SND4=10.77.0.1 RCV4=10.77.0.2
SND6=fe80::216:3eff:fe77:1 RCV6=fe80::216:3eff:fe77:2 # from the fixed MACs
PTP4L=${PTP4L:-$(command -v ptp4l || echo /usr/sbin/ptp4l)}

in_ns() { ip netns exec "$@"; } # execs: the pid is the program's own
now_ns() { python3 -c 'import time; print(time.monotonic_ns())'; }

# bg NAME CMD...: start CMD in the background; pid in $STATE/NAME.pid, output in $STATE/NAME.log
bg() { local n=$1; shift; "$@" >"$STATE/$n.log" 2>&1 & echo $! >"$STATE/$n.pid"; }
pid() { cat "$STATE/$1.pid"; }
# stop NAME...: TERM, and KILL after two seconds, by pid only
stop() {
  local n p i
  for n; do
    [ -f "$STATE/$n.pid" ] || continue
    p=$(pid "$n")
    kill -CONT "$p" 2>/dev/null; kill "$p" 2>/dev/null
    for ((i = 0; i < 20; i++)); do kill -0 "$p" 2>/dev/null || break; sleep .1; done
    kill -9 "$p" 2>/dev/null; wait "$p" 2>/dev/null; rm -f "$STATE/$n.pid"
  done
  return 0
}
stop_all() { local f; for f in "$STATE"/*.pid; do [ -f "$f" ] && stop "$(basename "$f" .pid)"; done; return 0; }
# await NAME TEXT SECONDS: until NAME's output has TEXT
await() {
  local i
  for ((i = 0; i < $3 * 10; i++)); do
    grep -q "$2" "$STATE/$1.log" 2>/dev/null && return 0
    kill -0 "$(pid "$1")" 2>/dev/null || { sleep .1; grep -q "$2" "$STATE/$1.log"; return; }
    sleep .1
  done
  return 1
}

side() { # NS IF MAC V4 ULA PEER4 PEER6 PEERMAC
  ip -n "$1" link set "$2" address "$3"
  in_ns "$1" sysctl -qw net.ipv6.conf."$2".accept_dad=0
  ip -n "$1" addr add "$4/24" dev "$2"; ip -n "$1" link set lo up; ip -n "$1" link set "$2" up
  ip -n "$1" addr add "$5/64" dev "$2" nodad
  ip -n "$1" route add 224.0.0.0/4 dev "$2"
  # Permanent neighbours: no exchange of ARP or ND in the middle of a delayed run.
  ip -n "$1" neigh replace "$6" lladdr "$8" dev "$2" nud permanent
  ip -n "$1" neigh replace "$7" lladdr "$8" dev "$2" nud permanent
}
net_down() { local n; stop netdelay; for n in "$SND" "$RCV" "$MID"; do ip netns del "$n" 2>/dev/null; done; return 0; }
# net_up: one veth pair.   net_up delay=2 jitter=1 ...: through netdelay.py in a third namespace
net_up() {
  net_down
  ip netns add "$SND" && ip netns add "$RCV" || return 1
  if [ $# -eq 0 ]; then
    ip link add snd0 netns "$SND" type veth peer name rcv0 netns "$RCV" || return 1
  else
    ip netns add "$MID" || return 1
    in_ns "$MID" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    ip link add snd0 netns "$SND" type veth peer name m0 netns "$MID" || return 1
    ip link add rcv0 netns "$RCV" type veth peer name m1 netns "$MID" || return 1
    ip -n "$MID" link set m0 arp off up; ip -n "$MID" link set m1 arp off up
  fi
  side "$SND" snd0 00:16:3e:77:00:01 $SND4 fd77::1 $RCV4 $RCV6 00:16:3e:77:00:02
  side "$RCV" rcv0 00:16:3e:77:00:02 $RCV4 fd77::2 $SND4 $SND6 00:16:3e:77:00:01
  [ $# -eq 0 ] || link "$@"
}
# link OPTIONS: the one that connects the two, through the third namespace
link() { bg netdelay ip netns exec "$MID" python3 "$LIVE/netdelay.py" m0 m1 "$@"; await netdelay "^netdelay" 3; }

# ptp4l_config NAME NS EXTRA-LINES: its configuration; software stamps, two-step, it never adjusts a clock.
# TS=1: majorSdoId  LOGANN=-2: log2 of the Announce interval in s  NET=UDPv4
# SCOPE=0x0E: of the IPv6 group; with 0x02 a master sends from its link-local address, else from its global one
ptp4l_config() {
  cat >"$STATE/$1.cfg" <<CFG
[global]
time_stamping software
network_transport ${NET:-UDPv4}
udp6_scope ${SCOPE:-0x0E}
delay_mechanism E2E
twoStepFlag 1
domainNumber 0
transportSpecific 0x${TS:-1}
logSyncInterval -3
logAnnounceInterval ${LOGANN:--2}
logMinDelayReqInterval -3
hybrid_e2e 1
free_running 1
tx_timestamp_timeout 50
uds_address $STATE/$1.uds
fault_reset_interval -128
$3
[${2##*-}0]
CFG
}
# master [NS]: ptp4l as grandmaster with a HomePod's priority1.  UNICAST=1: serves by unicast who asks, else multicast
master() {
  local extra="priority1 248"$'\n'"masterOnly 1"
  [ "${UNICAST:-0}" = 1 ] && extra+=$'\n'"unicast_listen 1"$'\n'"inhibit_multicast_service 1"
  ptp4l_config master "${1:-$RCV}" "$extra"
  bg master ip netns exec "${1:-$RCV}" "$PTP4L" -f "$STATE/master.cfg" -m
  await master "assuming the grand master role" 8
}
# slave: ptp4l as follower of our clock in rcv; it measures and adjusts nothing
slave() {
  ptp4l_config slave "$RCV" "slaveOnly 1"$'\n'"priority1 255"$'\n'"freq_est_interval 0"$'\n'"summary_interval -3"
  bg slave ip netns exec "$RCV" "$PTP4L" -f "$STATE/slave.cfg" -m
}
