#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The end-to-end suite: cases, what they run on, and the runner.

A case is a function of one `Env`. It runs once for each cell of {shards} x {RESP2, RESP3} that is asked for, by
default all on one server, so that what a case leaves behind hurts the next one: after each case the runner closes
the case's connections and waits until the server's subscriptions and descriptors are back to base.

There are no sleeps in place of acknowledgements. `until()` polls for the few things that nothing acknowledges (a
closed client's teardown), with a deadline and a text that says what was waited for.

Exit code: 0 all passed, 1 something failed, 77 nothing could run.
"""

import argparse
import faulthandler
import importlib
import os
import re
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, os.pardir, "clients"))
sys.modules.setdefault("suite", sys.modules[__name__])

from resp import DEADLINE, Client, Failure  # noqa: E402
from server import Server, reference_version  # noqa: E402

HEAVY = os.environ.get("E2E_HEAVY", "") not in ("", "0")
STRICT = os.environ.get("BROKERD_E2E_STRICT", "") not in ("", "0")
MISSING = "fail" if STRICT else "skip"  # what a missing tool is
CASE_SECONDS = 600 if HEAVY else 120

MODULES = ["case_commands", "case_errors", "case_requests", "case_delivery", "case_order", "case_vanish",
           "case_hostile", "case_sharded", "case_transaction", "case_storms", "case_limits", "case_start",
           "case_foreign", "case_server", "case_exporter", "case_client", "case_reload", "case_access",
           "case_slow", "case_block", "case_quotas"]


class Skip(Exception):
    """The case does not apply to this server or this cell."""


class Missing(Exception):
    """The machine lacks a tool: a skip, or a failure where BROKERD_E2E_STRICT=1 is set."""


class Case:
    def __init__(self, function, brokerd=None, once=False, single=False, fresh=False, proto=None, shards=None,
                 heavy=False):
        self.function = function
        self.name = function.__name__
        self.brokerd = brokerd
        self.once = once or single
        self.single = single
        self.fresh = fresh
        self.proto = proto
        self.shards = shards
        self.heavy = heavy


CASES = []


def case(**options):
    """
    Makes a function a case. Options:
    brokerd=REASON  redis-server behaves otherwise, for this reason
    once=True       says nothing about the protocol: runs in the RESP2 cells only
    single=True     nor about shards: runs in the RESP2 cell of one shard only
    proto, shards   runs in cells of this protocol, or at least this many shards
    fresh=True or {options of the server}   has a server of its own
    heavy=True      runs only with E2E_HEAVY=1
    """
    def add(function):
        CASES.append(Case(function, **options))
        return function
    return add


class Env:
    """What a case works with: a running server and ways to connect to it."""

    def __init__(self, server, proto, version):
        self.server = server
        self.proto = proto
        self.version = version
        self.clients = []
        self.servers = []
        self.base_fds = 0

    @property
    def reference(self):
        return self.server.reference

    @property
    def shards(self):
        return self.server.shards

    @property
    def own_message_first(self):
        """Before Redis 7.2, a publisher's own message came before the reply to its PUBLISH."""
        return self.reference and self.version < (7, 2)

    def connect(self, proto=None, name=None, handshake=True):
        client = Client(self.server.path, proto or self.proto, name or f"client {len(self.clients)}", handshake)
        self.clients.append(client)
        return client

    def raw(self, name=None):
        """Connected, but nothing was said yet."""
        return self.connect(name=name, handshake=False)

    def spread(self, each=1, proto=None):
        """
        Connects `each` clients per shard. The broker hands a new connection to the shard with the fewest, so
        connecting as many as there are shards in a row puts one on each.
        """
        return [self.connect(proto) for _ in range(each * self.shards)]

    def pair(self):
        """Two clients; on different shards where there are several."""
        return self.connect(), self.connect()

    def server_like(self, **options):
        """One more server of the same kind, removed after the case. Not started."""
        shards = options.pop("shards", self.shards)
        server = Server(self.server.kind, self.server.binary, shards, **options)
        self.servers.append(server)
        return server

    def fork(self, server):
        """An Env on another server, cleaned up with this one."""
        other = Env(server, self.proto, self.version)
        other.clients = self.clients
        other.servers = self.servers
        return other

    def until(self, what, condition):
        """Polls a condition that nothing acknowledges. Returns its first true value."""
        limit = time.monotonic() + DEADLINE
        pause = 0.0005
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > limit:
                raise Failure(f"not within {DEADLINE} s: {what}")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def numsub(self, client, *channels):
        """Subscribers of each channel."""
        flat = client.do("PUBSUB", "NUMSUB", *channels)
        return flat[1::2]

    def until_numsub(self, client, channel, n):
        self.until(f"{n} subscribers of {channel!r}", lambda: self.numsub(client, channel) == [n])

    def close(self):
        for client in self.clients:
            client.close()
        self.clients.clear()
        for server in self.servers:
            server.remove()
        self.servers.clear()


def need(condition, what):
    if not condition:
        raise Failure(what)


def scale(small, heavy):
    """A count: small in `make check`, large with E2E_HEAVY=1."""
    return heavy if HEAVY else small


# ---------------------------------------------------------------- runner

class Runner:
    def __init__(self, args):
        self.args = args
        self.results = {"pass": 0, "skip": 0, "fail": 0}
        self.failed = []
        self.slow = []
        self.version = reference_version(args.binary) if args.kind == "redis" else (0, 0, 0)

    def applies(self, case_, shards, proto):
        if case_.once and proto != 2:
            return False
        if case_.single and shards != 1:
            return False
        if case_.proto and case_.proto != proto:
            return False
        if case_.shards and shards < case_.shards:
            return False
        if case_.brokerd and self.args.kind == "redis":
            raise Skip(f"redis-server differs: {case_.brokerd}")
        if case_.heavy and not HEAVY:
            raise Skip("only with E2E_HEAVY=1")
        return True

    def note(self, result, cell, name, text="", seconds=0.0):
        self.results[result] += 1
        if result == "fail":
            self.failed.append(f"{cell} {name}")
        if result != "pass" or self.args.verbose:
            print(f"{result.upper()}: {cell} {name} ({seconds:.2f} s){': ' + text if text else ''}", flush=True)
        self.slow.append((seconds, f"{cell} {name}"))

    def run_case(self, case_, cell, env, own_server):
        began = time.monotonic()
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        try:
            case_.function(env)
            if env.server.process is not None and not (own_server and not env.server.alive()):
                self.settle(env)
            self.note("pass", cell, case_.name, seconds=time.monotonic() - began)
        except Skip as reason:
            self.note("skip", cell, case_.name, str(reason))
        except Missing as reason:
            self.note(MISSING, cell, case_.name, f"missing: {reason}")
        except Exception as error:  # pylint: disable=broad-except
            text = str(error) if isinstance(error, Failure) else ""
            where = traceback.format_exc() if not text else _where(error)
            if not env.server.alive():
                where += f"\nthe server is gone; its output:\n{env.server.output()[-4000:]}"
            self.note("fail", cell, case_.name, f"{text}\n{where}", time.monotonic() - began)
        finally:
            faulthandler.cancel_dump_traceback_later()
            env.close()

    def settle(self, env):
        """Everything that the case subscribed and connected is gone again."""
        if not env.server.alive():
            raise Failure(f"the server ended during the case: {env.server.output()}")
        for client in env.clients:
            client.close()
        env.clients.clear()
        control = env.until("a connection after the case", lambda: _control(env.server.path))
        try:
            env.until("no channel is left after the case", lambda: control.do("PUBSUB", "CHANNELS") == [])
            env.until("no shard channel is left after the case",
                      lambda: control.do("PUBSUB", "SHARDCHANNELS") == [])
            env.until("no pattern is left after the case", lambda: control.do("PUBSUB", "NUMPAT") == 0)
        finally:
            control.close()
        if env.base_fds:
            env.until(f"the server has the {env.base_fds} descriptors again that it began with",
                      lambda: env.server.n_fds() <= env.base_fds)

    def run_cell(self, shards, proto):
        kind = self.args.kind if self.args.kind == "redis" else f"{self.args.kind} {self.args.reactor}"
        cell = f"[{' '.join([kind, f'shards={shards} resp{proto}', *self.args.yaml])}]"
        server = Server(self.args.kind, self.args.binary, shards)
        try:
            server.start()
            base = server.n_fds()
            for case_ in CASES * self.args.repeat:
                if self.args.only and not re.search(self.args.only, case_.name):
                    continue
                try:
                    if not self.applies(case_, shards, proto):
                        continue
                except Skip as reason:
                    self.note("skip", cell, case_.name, str(reason))
                    continue
                if case_.fresh:
                    self.run_fresh(case_, cell, shards, proto)
                    continue
                if not server.alive():
                    server.remove()
                    server = Server(self.args.kind, self.args.binary, shards).start()
                    base = server.n_fds()
                env = Env(server, proto, self.version)
                env.base_fds = base
                self.run_case(case_, cell, env, False)
            self.finish(server, cell, base)
        except Failure as error:
            self.note("fail", cell, "(the server itself)", str(error))
        finally:
            server.remove()

    def run_fresh(self, case_, cell, shards, proto):
        options = dict(case_.fresh) if isinstance(case_.fresh, dict) else {}
        server = Server(self.args.kind, self.args.binary, shards, **options)
        try:
            self.run_case(case_, cell, Env(server.start(), proto, self.version), True)
            if server.alive():
                server.stop()
            server.check_output()
        except Failure as error:
            self.note("fail", cell, f"{case_.name} (its server)", str(error))
        finally:
            server.remove()

    def finish(self, server, cell, base):
        env = Env(server, 2, self.version)
        if server.alive():
            try:
                env.until(f"the server has the {base} descriptors again that it began with (has "
                          f"{server.n_fds()}: {sorted(server.fd_links())[:40]})", lambda: server.n_fds() <= base)
            except Failure as error:
                self.note("fail", cell, "(descriptors at the end)", str(error))
        server.stop()
        self.note("pass", cell, "(the server's own end)")


def _control(path):
    """None while the case's clients still fill the server up."""
    try:
        return Client(path, name="control")
    except Failure:
        return None


def _where(error):
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if "/case_" in frame.filename:
            lines.append(f"  at {os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="end-to-end tests of brokerd")
    parser.add_argument("--shards", default="1,3")
    parser.add_argument("--proto", default="2,3")
    parser.add_argument("--reactor", default="libev")
    parser.add_argument("--only", help="regular expression of case names")
    parser.add_argument("--modules", help="regular expression of the modules that are run")
    parser.add_argument("--yaml", action="append", default=[], metavar="KEY:VALUE",
                        help="one more line of every broker's configuration")
    parser.add_argument("--repeat", type=int, default=1, help="run the cases this often")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--slow", type=int, default=0, help="print the N slowest cases")
    args = parser.parse_args()

    Server.reactor = args.reactor
    Server.extra = [line.replace(":", ": ") for line in args.yaml]
    for name in MODULES:
        if args.modules and not re.search(args.modules, name):
            continue
        importlib.import_module(name)
    if args.list:
        for case_ in CASES:
            print(f"{case_.name}: {(case_.function.__doc__ or '').strip()}")
        return 0

    reference = os.environ.get("BROKERD_REFERENCE")
    args.kind = "redis" if reference else "brokerd"
    args.binary = _which(reference) if reference else os.path.abspath(os.environ.get("BROKERD", "src/brokerd"))
    if not args.binary or not os.access(args.binary, os.X_OK):
        print(f"SKIP: no server to test: {reference or args.binary} is not there")
        return 1 if STRICT else 77
    print(f"testing {args.binary}", flush=True)
    if args.kind == "brokerd" and args.reactor == "io_uring":
        refusal = Server("brokerd", args.binary).refusal()
        if refusal:
            print(f"SKIP: {refusal}")
            return 1 if STRICT else 77

    runner = Runner(args)
    began = time.monotonic()
    for shards in [int(n) for n in args.shards.split(",")]:
        for proto in [int(n) for n in args.proto.split(",")]:
            runner.run_cell(shards, proto)
    for seconds, name in sorted(runner.slow, reverse=True)[:args.slow]:
        print(f"{seconds:6.2f} s  {name}")
    results = runner.results
    print(f"{results['pass']} passed, {results['skip']} skipped, {results['fail']} failed "
          f"in {time.monotonic() - began:.1f} s")
    for name in runner.failed:
        print(f"failed: {name}")
    return 1 if results["fail"] or not results["pass"] else 0


def _which(name):
    done = subprocess.run(["sh", "-c", 'command -v "$0"', name], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
