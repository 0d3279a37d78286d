#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
What subscribers that never read cost the others, and what memory they hold.

One publisher at full speed and fast subscribers, with and without stalled ones on the same channel, alternating. The
load waits for every delivery to its subscribers, so a run that ends has lost none of theirs. Printed are the
deliveries to them per second, the ratio within each alternation (median and quartiles), and the growth of the broker's
memory beside what the configuration allows.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

from contest import REACTORS, Server, add_options, quartiles

CHANNEL = "ch0000"
PAGE = os.sysconf("SC_PAGE_SIZE")


class Broker(Server):
    def __init__(self, options, kind, rule):
        self.rule = rule
        super().__init__(options, kind, options.server_cpu)

    def command(self, options, kind, shards, spin):
        command = super().command(options, kind, shards, spin)
        with open(command[-1], "a") as file:
            file.write(self.rule)
        return command

    def rss(self):
        with open("/proc/%d/statm" % self.process.pid) as file:
            return int(file.read().split()[1]) * PAGE


def stall(server, n):
    """Return: n connections that subscribe and never read."""
    socks = []
    for _ in range(n):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(server.path)
        s.sendall(b"SUBSCRIBE %s\r\n" % CHANNEL.encode())
        s.recv(1)  # acknowledged
        socks.append(s)
    return socks


def once(options, kind, rule, n_stalled, words):
    """Return: deliveries per second to the fast ones, bytes that the memory grew."""
    server = Broker(options, kind, rule)
    try:
        socks = stall(server, n_stalled)
        before = server.rss()
        command = ["taskset", "-c", options.load_cpu, os.path.join(options.bench, "load"), "--socket", server.path,
                   "--pid", str(server.process.pid), "--seconds", str(options.seconds), "--others", str(n_stalled)] + words.split()
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        if out.returncode:
            sys.exit("%s: %s" % (" ".join(command), out.stderr.decode()))
        result = json.loads(out.stdout)
        grown = server.rss() - before
        lost = sum(server.counter(name) for name in ("lost_drop_oldest", "lost_drop_newest", "lost_conflate"))
        for s in socks:
            s.close()
        return result["deliveries"] / result["wall_ns"] * 1e9, grown, lost
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n")[0])
    add_options(parser)
    parser.add_argument("--stalled", type=int, default=200, help="subscribers that never read (200)")
    parser.add_argument("--bytes", type=int, default=1 << 20, help="what may wait for one of them (1 MiB)")
    parser.add_argument("--seconds", type=float, default=2, help="of a run (2)")
    parser.add_argument("--load", default="--subs 50 --size 100 --pipeline 64", help="of the fast ones")
    parser.add_argument("--policy", action="append", choices=["drop-oldest", "drop-newest", "conflate"])
    options = parser.parse_args()
    options.wrap = []
    for kind in options.reactor or REACTORS:
        for policy in options.policy or ["drop-oldest", "drop-newest", "conflate"]:
            limit = "    bytes: %d\n" % options.bytes if policy.startswith("drop") else ""
            rule = "slow_consumers:\n  - policy: %s\n%smax_output_bytes: %d\n" % (policy, limit, 8 * options.bytes)
            ratios, grown, alone, beside, lost = [], [], [], [], 0
            for _ in range(options.alternations):
                a, _, _ = once(options, kind, rule, 0, options.load)
                b, g, lost = once(options, kind, rule, options.stalled, options.load)
                ratios.append(b / a)
                grown.append(g)
                alone.append(a)
                beside.append(b)
                time.sleep(0.05)
            low, middle, high = quartiles(ratios)
            allowed = options.stalled * options.bytes
            print("%-8s %-11s %5.2f M/s alone, %5.2f beside %d stalled: %.2f (%.2f-%.2f); memory +%.1f MiB, allowed %.1f: "
                  "%.2f; %d messages dropped" % (
                      kind, policy, quartiles(alone)[1] / 1e6, quartiles(beside)[1] / 1e6, options.stalled, middle, low,
                      high, max(grown) / 2**20, allowed / 2**20, max(grown) / allowed, lost), flush=True)


if __name__ == "__main__":
    main()
