#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
What a delivered message costs brokerd, side by side with the raw floors and redis-server.

Every alternation runs all contestants of a shape once, each in a process of its own; a ratio is formed within an
alternation, and what is printed is the median of the ratios with its quartiles. See tests/bench/README.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# name, arguments of the load, bound to floor write, bound to redis
SHAPES = [
    ("fan-50", "--subs 50 --pipeline 64", 1.4, None),
    ("fan-500", "--subs 500 --pipeline 64", 1.4, None),
    ("fan-50-single", "--subs 50 --pipeline 1", 1.3, None),
    ("fan-50-1k", "--subs 50 --size 1024 --pipeline 16", 1.3, None),
    ("fan-50-16k", "--subs 50 --size 16384 --pipeline 4", 1.25, None),
    ("one-to-one", "--subs 1 --pipeline 64", 1.4, None),
    ("channels-200", "--subs 200 --channels 200 --pipeline 64", None, 0.6),
]
CHANNEL = "--prefix svc.x --suffix .evt --subs 0 --pipeline 64"
PATTERNS = [
    ("none", ""),
    ("svc.N.*", "--patterns 10000 --pattern svc.%u.*"),
    ("*.N.evt", "--patterns 10000 --pattern *.%u.evt"),
    ("svc.x*.N", "--patterns 10000 --pattern svc.x*.%u"),
]
PATTERN_BOUND = 1.2
FLOORS = ("floor-write", "floor-uring")


class Server:
    """A contestant in a directory of its own, pinned to CPUs."""

    def __init__(self, options, kind, cpus, shards=1, spin=None):
        self.dir = tempfile.mkdtemp(prefix="brokerd-bench.")
        self.path = os.path.join(self.dir, "s")
        self.log = open(os.path.join(self.dir, "log"), "w+b")
        command = options.wrap + ["taskset", "-c", cpus] + self.command(options, kind, shards, spin)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while not os.path.exists(self.path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                sys.exit("%s did not start: %s" % (kind, self.log.read().decode(errors="replace")))
            time.sleep(0.01)

    def command(self, options, kind, shards, spin):
        if kind in FLOORS:
            return [os.path.join(options.bench, kind), self.path]
        if kind == "redis":
            return [options.redis, "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no",
                    "--dir", self.dir, "--daemonize", "no", "--loglevel", "warning",
                    "--client-output-buffer-limit", "normal 0 0 0 pubsub 0 0 0", "--maxclients", "12000"]
        config = os.path.join(self.dir, "broker.yaml")
        with open(config, "w") as file:
            file.write("shards: %d\ncpus: none\nreactor: %s\nlisteners:\n  - path: %s\nlog_level: error\n"
                       % (shards, options.reactor, self.path))
            if spin is not None:
                file.write("spin: %s\n" % spin)
        return [options.brokerd, "-c", config]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def run(options, kind, words, cpus=None, load_cpus=None, **server_options):
    """One run. Return: what the load says, with ns per delivered message, or per message without deliveries."""
    server = Server(options, kind, cpus or options.server_cpu, **server_options)
    try:
        command = options.wrap + ["taskset", "-c", load_cpus or options.load_cpu,
                                  os.path.join(options.bench, "load"), "--socket", server.path,
                                  "--pid", str(server.process.pid)] + words.split()
        if "--seconds" not in words and "--messages" not in words:
            command += ["--cpu-seconds", str(options.cpu)]
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if out.returncode:
            sys.exit("%s: %s: %s" % (kind, " ".join(command), out.stderr.decode()))
        result = json.loads(out.stdout)
    finally:
        server.stop()
    result["ns"] = result["server_cpu_ns"] / (result["deliveries"] or result["publishes"])
    result["load"] = result["load_cpu_ns"] / result["server_cpu_ns"]
    result["wakes"] = 1000 * result["server_runs"] / result["publishes"]
    return result


def quartiles(values):
    """Return: lower quartile, median, upper quartile."""
    if len(values) < 2:
        return values * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, middle, high]


def ratio(over, under):
    return quartiles([a / b for a, b in zip(over, under)])


def show(q):
    return "%.2f (%.2f-%.2f)" % (q[1], q[0], q[2])


def verdict(q, bound):
    if bound is None:
        return ""
    return "<= %.2f %s" % (bound, "MISSED" if q[0] > bound else "held" if q[1] <= bound else "held by a quartile")


def progress(options, text):
    if options.verbose:
        print("  " + text, file=sys.stderr, flush=True)


def alternate(options, contestants):
    """contestants: name -> function that makes one run. Return: name -> list of results."""
    results = {name: [] for name in contestants}
    for turn in range(options.alternations):
        names = list(contestants)
        names = names[turn % len(names):] + names[:turn % len(names)]
        for name in names:
            result = contestants[name]()
            results[name].append(result)
            progress(options, "%-14s %8.1f ns, load/server %.2f, %6.1f wakes per 1000 messages"
                     % (name, result["ns"], result["load"], result["wakes"]))
    return results


def column(results, name, key="ns"):
    return [result[key] for result in results[name]]


def bench_shapes(options):
    chosen = [shape for shape in SHAPES if options.shape in (None, shape[0])]
    if not chosen:
        return
    print("server CPU, ns per delivered message; ratios: median (quartiles)")
    print("%-14s %11s %11s %9s %9s  %-18s %-18s %-18s %s" % (
        "shape", "floor write", "floor uring", "brokerd", "redis", "brokerd/write", "brokerd/uring", "brokerd/redis",
        "bound"))
    for name, words, floor_bound, redis_bound in chosen:
        kinds = ["brokerd"] + ([options.redis and "redis"] if options.redis else [])
        if floor_bound is not None:
            kinds = options.floors + kinds
        results = alternate(options, {kind: lambda kind=kind: run(options, kind, words) for kind in kinds})
        cells = []
        for kind in FLOORS + ("brokerd", "redis"):
            cells.append("%.1f" % statistics.median(column(results, kind)) if kind in results else "-")
        ratios = {kind: ratio(column(results, "brokerd"), column(results, kind))
                  for kind in results if kind != "brokerd"}
        text = [show(ratios[kind]) if kind in ratios else "-" for kind in FLOORS + ("redis",)]
        judged = [verdict(ratios[kind], bound) for kind, bound in (("floor-write", floor_bound), ("redis", redis_bound))
                  if kind in ratios and bound is not None]
        print("%-14s %11s %11s %9s %9s  %-18s %-18s %-18s %s" % ((name,) + tuple(cells) + tuple(text)
                                                               + ("".join(judged),)), flush=True)


def bench_patterns(options):
    for shape, channels in (("patterns", 1), ("patterns-5000", 5000)):
        if options.shape not in (None, shape):
            continue
        words = CHANNEL + " --channels %d " % channels
        results = alternate(options, {name: lambda more=more: run(options, "brokerd", words + more)
                                      for name, more in PATTERNS})
        print("\n%s: server CPU, ns per PUBLISH without receivers over %d channels, 10,000 patterns that do not match"
              % (shape, channels))
        for name, _ in PATTERNS:
            ns = column(results, name)
            q = ratio(ns, column(results, "none"))
            print("%-14s %9.1f  %-18s %s" % (name, statistics.median(ns), show(q),
                                             verdict(q, PATTERN_BOUND if channels == 1 and name != "none" else None)))
        if options.redis:
            redis = [run(options, "redis", words + more)["ns"] for _, more in (PATTERNS[0], PATTERNS[1])]
            print("redis, once: none %.1f, %s %.1f" % (redis[0], PATTERNS[1][0], redis[1]), flush=True)


def bench_latency(options):
    if options.shape not in (None, "latency"):
        return
    words = "--subs 10 --rate 2000 --seconds %g --warmup 200" % options.latency_seconds
    contestants = {"brokerd": lambda: run(options, "brokerd", words),
                   "no spin": lambda: run(options, "brokerd", words, spin="0us")}
    if options.redis:
        contestants["redis"] = lambda: run(options, "redis", words)
    results = alternate(options, contestants)
    print("\nlatency: 10 subscribers, 2,000 publishes/s; from the intended time, us; medians of the runs")
    print("%-14s %9s %9s %9s %9s %12s" % ("", "p50", "p99", "p99.9", "sent late", "server CPU"))
    for name in results:
        cells = [statistics.median(column(results, name, key)) for key in (
            "latency_p50_us", "latency_p99_us", "latency_p999_us", "late_p99_us")]
        busy = statistics.median(r["server_cpu_ns"] / r["wall_ns"] for r in results[name])
        print("%-14s %9.1f %9.1f %9.1f %9.1f %11.2f%%" % ((name,) + tuple(cells) + (100 * busy,)))
    for key, bound in (("latency_p50_us", 1.05), ("latency_p99_us", 1.25)):
        if options.redis:
            q = ratio(column(results, "brokerd", key), column(results, "redis", key))
            print("%s to redis: %s %s" % (key, show(q), verdict(q, bound)))
    q = ratio([r["server_cpu_ns"] / r["wall_ns"] for r in results["brokerd"]],
              [r["server_cpu_ns"] / r["wall_ns"] for r in results["no spin"]])
    print("CPU to a broker that never spins: %s %s" % (show(q), verdict(q, 1.1)), flush=True)


def bench_shards(options):
    if options.shape not in (None, "shards"):
        return
    cpus = options.load_cpu + "," + options.server_cpu
    # One publisher, one subscriber: with two shards they are on different ones.
    cross = "--subs 1 --pipeline 64"
    # A publisher for each shard, and the subscribers of all messages on both.
    both = "--subs 50 --pubs 2 --pipeline 64 --threads 2"
    results = alternate(options, {
        "%d shards, %s" % (n, name): lambda n=n, words=words: run(options, "brokerd", words, cpus, cpus, shards=n)
        for n in (1, 2) for name, words in (("1:1", cross), ("2:50", both))})
    print("\nshards: broker and load share CPUs %s" % cpus)
    for name in results:
        print("%-16s %8.1f ns CPU, %8.1f ns wall per delivery, %7.1f wakes per 1000 messages" % (
            name, statistics.median(column(results, name)),
            statistics.median(r["wall_ns"] / r["deliveries"] for r in results[name]),
            statistics.median(column(results, name, "wakes"))))
    extra = quartiles([b - a for a, b in zip(column(results, "1 shards, 1:1"), column(results, "2 shards, 1:1"))])
    print("crossing, 1:1, with all wake-ups: %.0f ns more CPU per message (%.0f-%.0f)" % (extra[1], extra[0], extra[2]))
    q = ratio([r["deliveries"] / r["wall_ns"] for r in results["2 shards, 2:50"]],
              [r["deliveries"] / r["wall_ns"] for r in results["1 shards, 2:50"]])
    print("throughput of 2 shards to 1, a publisher each: %s" % show(q), flush=True)
    out = subprocess.run(options.wrap + ["taskset", "-c", cpus, os.path.join(options.bench, "mesh")], stdout=subprocess.PIPE,
                         check=True)
    print(out.stdout.decode(), end="", flush=True)


def main():
    cpus = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="tests/bench", help="directory of load and floors")
    parser.add_argument("--brokerd", default="src/brokerd")
    parser.add_argument("--redis", default=shutil.which("redis-server"), help="empty: without")
    parser.add_argument("--reactor", default="libev")
    parser.add_argument("--shape", help=", ".join([s[0] for s in SHAPES] + ["patterns", "patterns-5000", "latency",
                                                                            "shards"]))
    parser.add_argument("--alternations", type=int, default=7)
    parser.add_argument("--cpu", type=float, default=1.0, help="seconds of server CPU of a run")
    parser.add_argument("--latency-seconds", type=float, default=4.0)
    parser.add_argument("--server-cpu", default=str(cpus[-1]))
    parser.add_argument("--load-cpu", default=str(cpus[0]))
    parser.add_argument("--fifo", action="store_true",
                        help="run servers and load with real-time priority: needs root, and starves other programs")
    parser.add_argument("--verbose", action="store_true", help="every run, on stderr")
    options = parser.parse_args()
    known = [s[0] for s in SHAPES] + ["patterns", "patterns-5000", "latency", "shards"]
    if options.shape not in [None] + known:
        parser.error("shapes: " + ", ".join(known))
    options.wrap = ["chrt", "-f", "10"] if options.fifo else []
    options.floors = [floor for floor in FLOORS if os.path.exists(os.path.join(options.bench, floor))]
    print("brokerd %s (%s), load on CPU %s, server on CPU %s, %d alternations of %g s of server CPU, load average %.1f"
          % (options.brokerd, options.reactor, options.load_cpu, options.server_cpu, options.alternations, options.cpu,
             os.getloadavg()[0]))
    bench_shapes(options)
    bench_patterns(options)
    bench_latency(options)
    bench_shards(options)


if __name__ == "__main__":
    main()
