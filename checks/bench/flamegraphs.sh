#!/bin/bash
# flamegraphs.sh DIRECTORY [GIGABYTES]: flame graphs of both ends of one transfer
# over veth with 1,500-byte packets, file to file in memory, and where their CPU
# time went, in ns per KB. Needs root, perf, inferno, `ssh-keygen`, and
#
#     cargo build --release -p limosa-cli -p limosa-daemon --bins
#     cargo build --release -p limosa-bench --example cpu
#
# in the target directory. Stacks are unwound by the tables that every build has.
set -euo pipefail
out=$1 gigabytes=${2:-2} hertz=499
target=${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}
work=$(mktemp -d /dev/shm/flamegraphs.XXXXXX)
trap 'rm -r "$work"' EXIT

perf record -q -a -F $hertz --call-graph dwarf,4096 -m 32M -o "$work/perf" -- \
    "$target/release/examples/cpu" "$gigabytes" 1 veth-1500

# A session's threads are called the same at both ends: what a process has mapped
# tells them apart.
for program in limosa limosad; do
    pids=$(perf script -i "$work/perf" -F comm,pid --show-mmap-events 2>/dev/null |
        sed -n "s|.*PERF_RECORD_MMAP2 \([0-9]*\)/.*/$program\$|\1|p" | sort -u | paste -sd,)
    perf script -i "$work/perf" --no-inline --pid "$pids" 2>/dev/null |
        inferno-collapse-perf -q | sed 's/+0x[0-9a-f]*//g' >"$work/$program"
    inferno-flamegraph -q --title "$program, veth, packets of 1,500 bytes" --width 1200 --minwidth 0.4 \
        --colors rust --hash "$work/$program" >"$out/$program.svg"
    echo "$program, ns/KB:"
    awk -v kilobytes="$gigabytes"e6 '
        function stage(stack, leaf) {
            if (stack ~ /sys_p(read|write)64/) return "files"
            if (stack ~ /sys_(sendmsg|recvmmsg)/) return "datagrams: system calls"
            if (leaf ~ /blake3/) return "digest"
            if (leaf ~ /aes|gcm|ghash|aead|EVP_AEAD|CRYPTO_memcmp/) return "protection"
            if (leaf ~ /mem(cpy|move)/) return "datagrams: copying payload"
            if (leaf ~ /^(limosa|<limosa|core|alloc|<core|<alloc|hashbrown)/) return "datagrams: protocol and transfer"
            return "threads, timers, start, and the rest"
        }
        { count = $NF; sub(/ [0-9]+$/, ""); n = split($0, frames, ";"); sum[stage($0, frames[n])] += count; all += count }
        END { for (s in sum) printf "  %5.0f  %s\n", sum[s] / kilobytes, s; printf "  %5.0f  in all\n", all / kilobytes }
    ' "$work/$program" | sort -rn
done
