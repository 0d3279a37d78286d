# SPDX-License-Identifier: MIT
"""
What run.py and plot.py share: the contestants, a run of one of them under a load, and alternations.

A contestant is a floor, redis, or brokerd under the name of its reactor.
"""

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

REACTORS = ("libev", "io_uring")
FLOOR = {"libev": "floor-write", "io_uring": "floor-uring"}  # the floor that sends like the reactor
CONTESTANTS = ("floor-write", "floor-uring", "libev", "io_uring", "redis")
WARMUP = 1000  # messages; what the load does by itself
PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"
STATUS = b"*2\r\n$6\r\nBROKER\r\n$6\r\nSTATUS\r\n"


class NotStarted(Exception):
    """A contestant ended, or did nothing, instead of serving."""


class Server:
    """A contestant in a directory of its own, pinned to CPUs."""

    def __init__(self, options, kind, cpus, shards=1, spin=None):
        self.kind = kind
        self.dir = tempfile.mkdtemp(prefix="brokerd-bench.")
        self.path = os.path.join(self.dir, "s")
        self.log = open(os.path.join(self.dir, "log"), "w+b")
        command = options.wrap + ["taskset", "-c", cpus] + self.command(options, kind, shards, spin)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while not self.serves():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                text = self.log.read().decode(errors="replace").strip()
                self.stop()
                raise NotStarted(text.split("\n")[0].split(" error: ")[-1] or "it did not start")
            time.sleep(0.01)

    def command(self, options, kind, shards, spin):
        if kind in FLOOR.values():
            return [os.path.join(options.bench, kind), self.path]
        if kind == "redis":
            return [options.redis, "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no",
                    "--dir", self.dir, "--daemonize", "no", "--loglevel", "warning",
                    "--client-output-buffer-limit", "normal 0 0 0 pubsub 0 0 0", "--maxclients", "12000"]
        config = os.path.join(self.dir, "broker.yaml")
        with open(config, "w") as file:
            file.write("shards: %d\ncpus: none\nreactor: %s\nlisteners:\n  - path: %s\nlog: {level: error}\n"
                       % (shards, kind, self.path))
            if spin is not None:
                file.write("spin: %s\n" % spin)
        return [options.brokerd, "-c", config]

    def serves(self):
        """A broker's socket is there before its shards: only an answer says that they run. A floor's is the last."""
        if self.kind in FLOOR.values():
            return os.path.exists(self.path)
        try:
            return self.ask(PING) == PONG
        except OSError:
            return False

    def ask(self, request):
        """Return: what a new connection gets, up to the answer to a PING that ends the request."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path)
            s.sendall(request)
            while not answer.endswith(PONG):
                more = s.recv(65536)
                if not more:
                    raise ConnectionError("%s hung up" % self.kind)
                answer += more
        return answer

    def counter(self, name):
        """Return: a counter of BROKER STATUS, summed over the shards."""
        return sum(int(n) for n in re.findall(rb"\b%s\r\n:(\d+)\r\n" % name.encode(), self.ask(STATUS + PING)))

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
    try:
        server = Server(options, kind, cpus or options.server_cpu, **server_options)
    except NotStarted as error:
        sys.exit("%s: %s" % (kind, error))
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
        if server_options.get("shards", 1) > 1:
            result["wakes"] = 1000 * server.counter("wakes_sent") / (result["publishes"] + WARMUP)
    finally:
        server.stop()
    result["ns"] = result["server_cpu_ns"] / (result["deliveries"] or result["publishes"])
    result["load"] = result["load_cpu_ns"] / result["server_cpu_ns"]
    result["runs"] = 1000 * result["server_runs"] / result["publishes"]
    return result


def quartiles(values):
    """Return: lower quartile, median, upper quartile."""
    if len(values) < 2:
        return values * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, middle, high]


def column(results, name, key="ns"):
    return [result[key] for result in results[name]]


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
            progress(options, "%-28s %8.1f ns, load/server %.2f, %6.1f runs per 1000 messages"
                     % (name, result["ns"], result["load"], result["runs"]))
    return results


def alternate_kinds(options, kinds, words):
    return alternate(options, {kind: lambda kind=kind: run(options, kind, words) for kind in kinds})


def add_options(parser):
    cpus = sorted(os.sched_getaffinity(0))
    parser.add_argument("--bench", default="tests/bench", help="directory of load and floors")
    parser.add_argument("--brokerd", default="src/brokerd")
    parser.add_argument("--redis", default=shutil.which("redis-server"), help="empty: without")
    parser.add_argument("--reactor", action="append", choices=REACTORS,
                        help="of brokerd, and with it the floor; may be given several times (all that run here)")
    parser.add_argument("--alternations", type=int, default=7)
    parser.add_argument("--cpu", type=float, default=1.0, help="seconds of server CPU of a run")
    parser.add_argument("--server-cpu", default=str(cpus[-1]))
    parser.add_argument("--load-cpu", default=str(cpus[0]))
    parser.add_argument("--fifo", action="store_true",
                        help="run servers and load with real-time priority: needs root, and starves other programs")
    parser.add_argument("--verbose", action="store_true", help="every run, on stderr")


def starts(options, kind):
    """Return: whether it serves. If not, says why: only a start shows what this kernel lets it do."""
    try:
        Server(options, kind, options.server_cpu).stop()
    except (NotStarted, OSError) as error:
        print("%s is left out: %s" % (kind, error))
        return False
    return True


def prepare(options):
    """Sets options.reactors and options.kinds, in the order of CONTESTANTS, to those that run here."""
    options.wrap = ["chrt", "-f", "10"] if options.fifo else []
    options.reactors = [reactor for reactor in dict.fromkeys(options.reactor or REACTORS) if starts(options, reactor)]
    if not options.reactors:
        sys.exit("no reactor of %s runs here" % options.brokerd)
    kinds = options.reactors + [FLOOR[reactor] for reactor in options.reactors if starts(options, FLOOR[reactor])]
    options.kinds = [kind for kind in CONTESTANTS if kind in kinds or (kind == "redis" and options.redis)]


def introduce(options):
    print("brokerd %s (%s), load on CPU %s, server on CPU %s, %d alternations of %g s of server CPU, load average %.1f"
          % (options.brokerd, ", ".join(options.reactors), options.load_cpu, options.server_cpu, options.alternations,
             options.cpu, os.getloadavg()[0]), flush=True)
