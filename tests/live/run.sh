#!/bin/bash
# run.sh BUILD_DIR [test...]: live tests: following, and being followed by, software that is not ours, across namespaces.
#
#     cargo build --release -p ptpbmca && cargo build --release -p ptpbmca-sim --example receiver
#     sudo tests/live/run.sh target/release               all, about five minutes      --list: their names
#
# One line each: PASS name: numbers, FAIL name: why, SKIP name: why. Exit code 1: something failed.
# Tests of accuracy are tried up to three times, for other programs' load is not under test; each try is shown.
# Both ends share one kernel, so the truth is known. Needs root, iproute2, linuxptp, tcpdump, python3, util-linux, a C compiler.
# LIVE_TRIES=3  LIVE_TAG=...: names of the namespaces  LIVE_KEEP=1: keeps logs and captures  PTP4L=...: which ptp4l
set -u
. "$(dirname "$0")/net.sh"

RETRIES=50 # s for second and third tries of a whole run, which is to end within six minutes
TESTS="follow-clean follow-busy follow-unicast follow-sdo0 follow-ipv6 follow-local-v4 follow-local-v6 follow-global-v6 follow-delayed
lead-clean lead-busy lead-wire lead-ipv6 ports-in-use unprivileged silence interface-down
interface-gone interface-gone-local interface-gone-ipv6
interface-gone-local-ipv6 interface-down-leading simulated simulated-led"

build=${1:-}
shift
[ "$build" = --list ] && { printf '%s\n' $TESTS; exit 0; }
[ -d "$build" ] || { sed -n 2,6p "$0"; exit 2; }
build=$(cd "$build" && pwd)
chosen=${*:-$TESTS}
[ $# -eq 0 ] || RETRIES=600

skip_all() { local t; for t in $chosen; do echo "SKIP $t: $1"; done; exit 0; }
[ "$(id -u)" = 0 ] || skip_all "not root"
for tool in ip tcpdump python3 setpriv cc; do command -v $tool >/dev/null || skip_all "no $tool"; done
[ -x "$PTP4L" ] || skip_all "no ptp4l"
[ -f "$build/libptpbmca.so" ] || skip_all "no libptpbmca.so in $build"
ip netns add "$TAG-try" 2>/dev/null && ip netns del "$TAG-try" || skip_all "no network namespaces"

STATE=$(mktemp -d "${TMPDIR:-/tmp}/ptpbmca-live.XXXXXX")
chmod 755 "$STATE" # for the unprivileged user
clean() {
  trap - EXIT INT TERM
  stop_all; net_down
  if [ -n "${LIVE_KEEP:-}" ]; then echo "kept: $STATE"; else rm -rf "$STATE"; fi
}
trap clean EXIT; trap 'exit 130' INT TERM

# The library is copied: the build directory may be closed to the unprivileged user.
cp "$build/libptpbmca.so" "$STATE/" && ln -s libptpbmca.so "$STATE/libptpbmca.so.0"
cc -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror -I"$LIVE/../../include" "$LIVE/probe.c" -o "$STATE/probe" \
  -L"$STATE" -lptpbmca -Wl,-rpath,"$STATE" || { echo "FAIL probe.c does not compile"; exit 1; }
probe() { timeout -k 2 90 ip netns exec "$SND" "$STATE/probe" "$@"; }
# The numbers of one try, on standard output, with its exit code. WHY tells what went wrong before any numbers.
why() { echo "$*"; return 1; }

# ---- following ptp4l

follow() { # ARGUMENTS of the probe
  probe "$@" --two-way --state LOCKED 2>"$STATE/probe.err"
}
follow_clean() { net_up && master || why "no ptp4l" || return; follow $RCV4 --role follow --p99-us 60 --coverage 99.9 --stamps; }
follow_busy() {
  net_up && master || why "no ptp4l" || return
  bg busy "$LIVE/busy.sh" 2
  follow $RCV4 --role follow --p99-us 20 --coverage 99.9 --stamps
  local r=$?
  stop busy
  return $r
}
follow_unicast() {
  net_up && UNICAST=1 master || why "no ptp4l" || return
  bg negotiate ip netns exec "$SND" python3 "$LIVE/uc-negotiate.py" $RCV4 1
  follow $RCV4 --settle 3 --seconds 5 --p99-us 60 --coverage 99.9
}
follow_sdo0() { net_up && TS=0 master || why "no ptp4l" || return; follow $RCV4 --sdo 0 --settle 3 --seconds 5 --p99-us 60 --coverage 99.9; }
# Link-local both: ff02::181 and unicast.
follow_ipv6() { net_up && NET=UDPv6 SCOPE=0x02 master || why "no ptp4l" || return; follow "$RCV6%snd0" --settle 3 --seconds 5 --p99-us 60 --coverage 99.9; }
follow_local_v4() { net_up && master || why "no ptp4l" || return; follow $RCV4 --local $SND4 --settle 3 --seconds 5 --p99-us 60 --coverage 99.9; }
follow_local_v6() {
  net_up && NET=UDPv6 SCOPE=0x02 master || why "no ptp4l" || return
  follow "$RCV6%snd0" --local "$SND6%snd0" --settle 3 --seconds 5 --p99-us 60 --coverage 99.9
}
# Global addresses: ff0e::181.
follow_global_v6() {
  net_up && NET=UDPv6 master || why "no ptp4l" || return
  follow fd77::2 --local fd77::1 --settle 3 --seconds 5 --p99-us 60 --coverage 99.9
}
# 2 ms +-1 ms each way, order kept.
follow_delayed() {
  net_up delay=2 jitter=1 fifo=1 && master || why "no ptp4l, or no delay" || return
  follow $RCV4 --role follow --settle 25 --seconds 15 --p99-us 150 --coverage 99.9
}

# ---- ptp4l follows us

led() { # LIMIT_US SECONDS SLAVE [probe's arguments]
  local limit=$1 seconds=$2 r=0
  shift 2
  bg lead ip netns exec "$SND" "$STATE/probe" "$@" --role lead --settle 0 --seconds 80 --coverage 100 --state LEADING --stamps
  await lead synchronised 5 || why "not leading: $(cat "$STATE/lead.log")" || return
  LOGANN=0 slave
  await slave "master offset" 12 || why "ptp4l does not follow: $(tail -2 "$STATE/slave.log")" || return
  sleep 3
  python3 "$LIVE/slave.py" "$STATE/slave.uds" "$seconds" 1 "$limit" 2>&1 || r=1
  echo "its log: $(python3 "$LIVE/offsets.py" "$STATE/slave.log" REALTIME skip=3 2>&1)"
  local p; p=$(pid lead); kill -TERM "$p"; wait "$p" || r=1
  grep -v '^synchronised' "$STATE/lead.log"
  return $r
}
lead_clean() { net_up && led 10 15 $RCV4; }
lead_busy() {
  net_up || why "no namespaces" || return
  bg busy "$LIVE/busy.sh" 2
  led 30 15 $RCV4
  local r=$?
  stop busy
  return $r
}
lead_ipv6() { net_up && NET=UDPv6 led 10 5 "$RCV6%snd0"; }
# What a slave gets to see, byte by byte and in time.
lead_wire() {
  net_up || why "no namespaces" || return
  bg lead ip netns exec "$SND" "$STATE/probe" $RCV4 --role lead --settle 0 --seconds 80
  await lead synchronised 5 || why "not leading: $(cat "$STATE/lead.log")" || return
  LOGANN=0 slave
  sleep 2
  timeout 12 ip netns exec "$SND" tcpdump -i snd0 --time-stamp-precision=nano -U -w "$STATE/wire.pcap" udp portrange 319-320 2>/dev/null
  # The identity is the interface's hardware address and 0x0008.
  python3 "$LIVE/wire.py" "$STATE/wire.pcap" $SND4 00163e7700010008 2>&1
}

# ---- ports and privileges

ports_in_use() {
  net_up && master "$SND" || why "no ptp4l" || return
  local where said r=0
  for where in "" "--local $SND4"; do
    said=$(probe $RCV4 $where --refused PTPBMCA_ERR_ADDRESS_IN_USE 2>&1) || r=1
    [[ $said == *ptp4l* && $said == *319* ]] || r=1
    echo "${where:-any address}: $said"
  done
  return $r
}
unprivileged() {
  net_up && master || why "no ptp4l" || return
  in_ns "$SND" sysctl -qw net.ipv4.ip_unprivileged_port_start=1024
  local r=0 said nobody="setpriv --reuid 65534 --regid 65534 --clear-groups" short="--state LOCKED --settle 0 --seconds 1"
  said=$(in_ns "$SND" $nobody --inh-caps -all "$STATE/probe" $RCV4 --refused PTPBMCA_ERR_PERMISSION 2>&1) || r=1
  [[ $said == *CAP_NET_BIND_SERVICE* && $said == *root* && $said == *ip_unprivileged_port_start* ]] || r=1
  echo "nothing: $said"
  said=$(in_ns "$SND" $nobody --inh-caps +net_bind_service --ambient-caps +net_bind_service "$STATE/probe" $RCV4 $short 2>&1) || r=1
  echo "CAP_NET_BIND_SERVICE: $said"
  said=$(in_ns "$SND" "$STATE/probe" $RCV4 --bound-as 65534 $short 2>&1) || r=1
  echo "sockets handed over: $said"
  in_ns "$SND" sysctl -qw net.ipv4.ip_unprivileged_port_start=319
  said=$(in_ns "$SND" $nobody --inh-caps -all "$STATE/probe" $RCV4 $short 2>&1) || r=1
  echo "ip_unprivileged_port_start=319: $said"
  return $r
}

# ---- outages

# outage GO BACK JUDGE...: five seconds between two commands, while a session follows
outage() {
  local go=$1 back=$2 gone returned r=0
  shift 2
  bg follower ip netns exec "$SND" "$STATE/probe" ${TO:-$RCV4} ${LOCAL:-} --role follow --settle 0 --seconds 60 --trace "$STATE/trace" --rate 50
  await follower synchronised 10 || why "no lock: $(cat "$STATE/follower.log")" || return
  sleep 6
  gone=$(now_ns); $go
  sleep 5
  $back; returned=$(now_ns)
  sleep 3
  local p; p=$(pid follower); kill -TERM "$p"; wait "$p"
  python3 "$LIVE/trace.py" "$STATE/trace" "$gone" "$returned" "$@" 2>&1 || r=1
  grep -v '^synchronised' "$STATE/follower.log"
  return $r
}
silence() {
  net_up && master || why "no ptp4l" || return
  outage "kill -STOP $(pid master)" "kill -CONT $(pid master)" error=200 relock=2
}
# Through a third namespace, so that the master does not lose its own link: ptp4l takes seconds to recover from that.
interface_down() {
  net_up delay=0 && master || why "no ptp4l, or no link" || return
  outage "ip -n $SND link set snd0 down" "ip -n $SND link set snd0 up" relock=2
}
# The interface is taken away and comes back under another index: memberships and scopes of the old one are void.
take_away() { stop netdelay; ip -n "$SND" link del snd0; }
bring_back() {
  ip link add snd0 netns "$SND" type veth peer name m0 netns "$MID"
  ip -n "$MID" link set m0 arp off up
  side "$SND" snd0 00:16:3e:77:00:01 $SND4 fd77::1 $RCV4 $RCV6 00:16:3e:77:00:02
  link delay=0
}
interface_gone() {
  net_up delay=0 && master || why "no ptp4l, or no link" || return
  outage take_away bring_back relock=2
}
# The same where the groups have sockets of their own.
interface_gone_local() {
  net_up delay=0 && master || why "no ptp4l, or no link" || return
  LOCAL="--local $SND4" outage take_away bring_back relock=2
}
# The same where addresses are good on that interface only.
interface_gone_ipv6() {
  net_up delay=0 && NET=UDPv6 SCOPE=0x02 master || why "no ptp4l, or no link" || return
  TO="$RCV6%snd0" outage take_away bring_back relock=2
}
interface_gone_local_ipv6() {
  net_up delay=0 && NET=UDPv6 SCOPE=0x02 master || why "no ptp4l, or no link" || return
  TO="$RCV6%snd0" LOCAL="--local $SND6%snd0" outage take_away bring_back relock=2
}
interface_down_leading() {
  net_up delay=0 || why "no link" || return
  local r=0 p
  bg lead ip netns exec "$SND" "$STATE/probe" $RCV4 --role lead --settle 0 --seconds 60 --state LEADING --log
  await lead synchronised 5 || why "not leading: $(cat "$STATE/lead.log")" || return
  receiver --pairs "$STATE/pairs" || return
  sleep 2
  ip -n "$SND" link set snd0 down; sleep 3; ip -n "$SND" link set snd0 up; local up; up=$(now_ns)
  sleep 3
  p=$(pid receiver); kill -TERM "$p"; wait "$p"
  p=$(pid lead); kill -TERM "$p"; wait "$p" || r=1
  grep -v '^synchronised' "$STATE/lead.log"
  awk -v up="$up" '/^pair/ && $3 > up { n++; if (!first) first = $3 }
    END { printf "first Sync after %.2f s, %d in 3 s\n", (first - up) / 1e9, n; exit !(n > 7 && first - up < 2e9) }' "$STATE/pairs" || r=1
  return $r
}

# ---- the simulated receiver

receiver() { # ARGUMENTS
  [ -x "$build/examples/receiver" ] || why "SKIP no examples/receiver in $build" || return
  : >"$STATE/truth"
  bg receiver ip netns exec "$RCV" "$build/examples/receiver" --address $RCV4 --address "$RCV6%rcv0" --peer $SND4 --skew-ppm 37.5 \
    --truth "$STATE/truth" "$@"
  await receiver ready 5
}
# IPv4 and link-local IPv6, served by both at once: one clock.
simulated() {
  net_up && receiver --peer "$SND6%rcv0" || return
  # 13 s at 8 Hz, once; the burst and the start add a few.
  probe "$RCV4,$RCV6%snd0" --truth "$STATE/truth" --settle 4 --seconds 8 --p99-us 100 --coverage 99.9 --two-way --state LOCKED \
    --least-pairs 80 --most-pairs 115 2>"$STATE/probe.err"
}
simulated_led() {
  net_up && receiver --pairs "$STATE/pairs" || return
  local r=0 p
  timeout 60 ip netns exec "$SND" "$STATE/probe" $RCV4 --role lead --settle 0 --seconds 10 --state LEADING 2>"$STATE/probe.err" || r=1
  p=$(pid receiver); kill -TERM "$p"; wait "$p"
  grep '^event following' "$STATE/truth" | grep -q 00163e7700010008 || why "it does not follow us: $(cat "$STATE/truth")" || return
  python3 "$LIVE/pairs.py" "$STATE/pairs" 2>&1 || r=1
  local n; n=$(grep -c '^pair' "$STATE/pairs")
  [ "$n" -ge 70 ] || why "only $n pairs in ten seconds" || return
  grep '^summary' "$STATE/receiver.log"
  return $r
}

# ---- the run

failures=0
load() { cut -d' ' -f1-3 /proc/loadavg; }
for t in $chosen; do
  case " $(echo $TESTS) " in *" $t "*) ;; *) echo "FAIL $t: no such test"; failures=1; continue ;; esac
  case $t in
  ports-in-use | unprivileged) tries=1 ;;
  *) tries=${LIVE_TRIES:-3} ;;
  esac
  for ((try = 1; ; try++)); do
    began=$SECONDS
    # In a file and not in $(...): what a test starts is to be this shell's child.
    "${t//-/_}" >"$STATE/said"
    result=$?
    stop_all; net_down
    said=$(sed '/^synchronised$/d' "$STATE/said" | paste -sd'#' | sed 's/#/ # /g')
    case $said in SKIP*) echo "SKIP $t: ${said#SKIP }"; break ;; esac
    [ $result = 0 ] && { echo "PASS $t: $said [load $(load)]"; break; }
    took=$((SECONDS - began))
    if [ $try -ge $tries ] || [ $took -gt $RETRIES ]; then
      echo "FAIL $t: $said [load $(load), try $try]"; failures=1; break
    fi
    RETRIES=$((RETRIES - took))
    echo "     $t, try $try: $said [load $(load)]"
  done
done
exit $failures
