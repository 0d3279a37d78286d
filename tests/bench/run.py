#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
What a delivered message costs brokerd on each reactor, side by side with the raw floors and redis-server.

Every alternation runs all contestants of a shape once, each in a process of its own; a ratio is formed within an
alternation, and what is printed is the median of the ratios with its quartiles. See tests/bench/README.
"""

import argparse
import os
import statistics
import subprocess

from contest import (CONTESTANTS, FLOOR, add_options, alternate, alternate_kinds, column, introduce, prepare, quartiles,
                     run)

# name, arguments of the load, bounds: libev to floor write, io_uring to floor uring, each reactor to redis
SHAPES = [
    ("fan-50", "--subs 50 --pipeline 64", 1.4, 1.3, None),
    ("fan-500", "--subs 500 --pipeline 64", 1.4, 1.3, None),
    ("fan-50-single", "--subs 50 --pipeline 1", 1.3, 1.2, None),
    ("fan-50-1k", "--subs 50 --size 1024 --pipeline 16", 1.3, 1.2, None),
    ("fan-50-16k", "--subs 50 --size 16384 --pipeline 4", 1.25, 1.25, None),
    ("one-to-one", "--subs 1 --pipeline 64", 1.4, 1.3, None),
    ("channels-200", "--subs 200 --channels 200 --pipeline 64", None, None, 0.6),
]
TO_LIBEV_BOUND = 1.1
CHEAPER = 0.95  # of what libev costs
CHANNEL = "--prefix svc.x --suffix .evt --subs 0 --pipeline 64"
PATTERNS = [
    ("none", ""),
    ("svc.N.*", "--patterns 10000 --pattern svc.%u.*"),
    ("*.N.evt", "--patterns 10000 --pattern *.%u.evt"),
    ("svc.x*.N", "--patterns 10000 --pattern svc.x*.%u"),
]
PATTERN_BOUND = 1.2
KNOWN = [shape[0] for shape in SHAPES] + ["patterns", "patterns-5000", "latency", "shards"]


def ratio(over, under):
    return quartiles([a / b for a, b in zip(over, under)])


def show(q):
    return "%.2f (%.2f-%.2f)" % (q[1], q[0], q[2])


def verdict(q, bound):
    if bound is None:
        return ""
    return "<= %.2f %s" % (bound, "MISSED" if q[0] > bound else "held" if q[1] <= bound else "held by a quartile")


def comparisons(shape):
    """The ratios of a shape: (over, under, bound)."""
    _, _, write_bound, uring_bound, redis_bound = shape
    return [("libev", "floor-write", write_bound),
            ("io_uring", "floor-uring", uring_bound),
            ("io_uring", "libev", TO_LIBEV_BOUND),
            ("libev", "redis", redis_bound),
            ("io_uring", "redis", redis_bound)]


def bench_shape(options, shape):
    """Return: the ratio of io_uring to libev; None: one of them does not run."""
    name, words, floor_bound, _, _ = shape
    kinds = [kind for kind in options.kinds if floor_bound is not None or kind not in FLOOR.values()]
    results = alternate_kinds(options, kinds, words)
    cells = ["%.1f" % statistics.median(column(results, kind)) if kind in results else "-" for kind in CONTESTANTS]
    print("%-16s" % name + "".join("%13s" % cell for cell in cells))
    to_libev = None
    for over, under, bound in comparisons(shape):
        if over not in results or under not in results:
            continue
        q = ratio(column(results, over), column(results, under))
        print(("    %-22s %-18s %s" % (over + "/" + under, show(q), verdict(q, bound))).rstrip(), flush=True)
        if (over, under) == ("io_uring", "libev"):
            to_libev = q
    return to_libev


def bench_shapes(options):
    """Return: shape -> the ratio of io_uring to libev, of those that have one."""
    chosen = [shape for shape in SHAPES if options.shape in (None, shape[0])]
    if chosen:
        print("\nserver CPU, ns per delivered message; below, ratios: median (quartiles)")
        print("%-16s" % "shape" + "".join("%13s" % kind for kind in CONTESTANTS))
    ratios = {shape[0]: bench_shape(options, shape) for shape in chosen}
    return {name: q for name, q in ratios.items() if q}


def bench_patterns(options):
    reactor = options.reactors[0]
    for shape, channels in (("patterns", 1), ("patterns-5000", 5000)):
        if options.shape not in (None, shape):
            continue
        words = CHANNEL + " --channels %d " % channels
        results = alternate(options, {name: lambda more=more: run(options, reactor, words + more)
                                      for name, more in PATTERNS})
        print("\n%s, %s: server CPU, ns per PUBLISH without receivers over %d channels, 10,000 patterns that do not "
              "match" % (shape, reactor, channels))
        for name, _ in PATTERNS:
            ns = column(results, name)
            q = ratio(ns, column(results, "none"))
            print("%-14s %9.1f  %-18s %s" % (name, statistics.median(ns), show(q),
                                             verdict(q, PATTERN_BOUND if channels == 1 and name != "none" else None)))
        if options.redis:
            redis = [run(options, "redis", words + more)["ns"] for _, more in (PATTERNS[0], PATTERNS[1])]
            print("redis, once: none %.1f, %s %.1f" % (redis[0], PATTERNS[1][0], redis[1]), flush=True)


def busy(results, name):
    return [r["server_cpu_ns"] / r["wall_ns"] for r in results[name]]


def show_latency(options, reactor, results):
    for key, bound in (("latency_p50_us", 1.05), ("latency_p99_us", 1.25)):
        if options.redis:
            q = ratio(column(results, reactor, key), column(results, "redis", key))
            print("%s: %s to redis: %s %s" % (reactor, key, show(q), verdict(q, bound)))
    q = ratio(busy(results, reactor), busy(results, reactor + ", no spin"))
    print("%s: CPU to a broker that never spins: %s %s" % (reactor, show(q), verdict(q, 1.1)), flush=True)


def bench_latency(options):
    if options.shape not in (None, "latency"):
        return
    words = "--subs 10 --rate 2000 --seconds %g --warmup 200" % options.latency_seconds
    contestants = {}
    for reactor in options.reactors:
        contestants[reactor] = lambda reactor=reactor: run(options, reactor, words)
        contestants[reactor + ", no spin"] = lambda reactor=reactor: run(options, reactor, words, spin="0us")
    if options.redis:
        contestants["redis"] = lambda: run(options, "redis", words)
    results = alternate(options, contestants)
    print("\nlatency: 10 subscribers, 2,000 publishes/s; from the intended time, us; medians of the runs")
    print("%-18s %9s %9s %9s %9s %12s" % ("", "p50", "p99", "p99.9", "sent late", "server CPU"))
    for name in results:
        cells = [statistics.median(column(results, name, key)) for key in (
            "latency_p50_us", "latency_p99_us", "latency_p999_us", "late_p99_us")]
        print("%-18s %9.1f %9.1f %9.1f %9.1f %11.2f%%" % (
            (name,) + tuple(cells) + (100 * statistics.median(busy(results, name)),)))
    for reactor in options.reactors:
        show_latency(options, reactor, results)


def sharded(reactor, shards, traffic):
    return "%s, %d shard%s, %s" % (reactor, shards, "s" if shards > 1 else "", traffic)


def crossing(results, reactor, traffic):
    """Return: how much more CPU each message takes with two shards than with one."""
    one, two = (column(results, sharded(reactor, n, traffic)) for n in (1, 2))
    return [b - a for a, b in zip(one, two)]


def wake_costs(results, reactor):
    """What messages cost that cross alone, and mostly wake the other shard, is laid to the wakes that there were."""
    wakes = column(results, sharded(reactor, 2, "alone"), "wakes")
    return [1000 * ns / n for ns, n in zip(crossing(results, reactor, "alone"), wakes)]


def show_shards(results, reactor):
    for traffic in ("1:1", "alone"):
        q = quartiles(crossing(results, reactor, traffic))
        print("%s: crossing, %s, with all wake-ups: %.0f ns more CPU per message (%.0f-%.0f)" % (
            reactor, traffic, q[1], q[0], q[2]))
    q = quartiles(wake_costs(results, reactor))
    print("%s: a wake, both sides: %.0f ns of CPU (%.0f-%.0f)" % (reactor, q[1], q[0], q[2]))
    one, two = ([r["deliveries"] / r["wall_ns"] for r in results[sharded(reactor, n, "2:50")]] for n in (1, 2))
    print("%s: throughput of 2 shards to 1, a publisher each: %s" % (reactor, show(ratio(two, one))), flush=True)


def bench_shards(options):
    if options.shape not in (None, "shards"):
        return
    cpus = options.load_cpu + "," + options.server_cpu
    traffics = [
        # One publisher, one subscriber: with two shards they are on different ones.
        ("1:1", "--subs 1 --pipeline 64", None),
        # A message when all of the last one is done, and nobody spins: the other shard sleeps, and is woken for each.
        ("alone", "--subs 1 --pipeline 1 --lag 0", "0us"),
        # A publisher for each shard, and the subscribers of all messages on both.
        ("2:50", "--subs 50 --pubs 2 --pipeline 64 --threads 2", None),
    ]
    results = alternate(options, {
        sharded(reactor, n, traffic): lambda reactor=reactor, n=n, words=words, spin=spin: run(
            options, reactor, words, cpus, cpus, shards=n, spin=spin)
        for traffic, words, spin in traffics for n in (1, 2) for reactor in options.reactors})
    print("\nshards: broker and load share CPUs %s; ns per delivery, counts per 1,000 messages" % cpus)
    print("%-28s %9s %9s %9s %9s" % ("", "CPU", "wall", "runs", "wakes"))
    for name in results:
        wakes = column(results, name, "wakes") if "wakes" in results[name][0] else [0]
        print("%-28s %9.1f %9.1f %9.1f %9.1f" % (
            name, statistics.median(column(results, name)),
            statistics.median(r["wall_ns"] / r["deliveries"] for r in results[name]),
            statistics.median(column(results, name, "runs")), statistics.median(wakes)))
    for reactor in options.reactors:
        show_shards(results, reactor)
    out = subprocess.run(options.wrap + ["taskset", "-c", cpus, os.path.join(options.bench, "mesh")],
                         stdout=subprocess.PIPE, check=True)
    print(out.stdout.decode(), end="", flush=True)


def sum_up(ratios):
    cheaper = [name for name, q in ratios.items() if q[1] <= CHEAPER]
    if ratios:
        print("\nio_uring is at least 5 %% cheaper than libev, by the medians, in %d of %d shapes: %s"
              % (len(cheaper), len(ratios), ", ".join(cheaper) or "none"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--shape", choices=KNOWN, metavar="SHAPE", help=", ".join(KNOWN))
    parser.add_argument("--latency-seconds", type=float, default=4.0)
    options = parser.parse_args()
    prepare(options)
    introduce(options)
    ratios = bench_shapes(options)
    bench_patterns(options)
    bench_latency(options)
    bench_shards(options)
    sum_up(ratios)


if __name__ == "__main__":
    main()
