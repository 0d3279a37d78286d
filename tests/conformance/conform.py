#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The conformance suite: bytes in, bytes out, from case files; see README.

Runs each case on brokerd with one reactor and number of shards, or on a reference: redis-server, valkey-server.
Exit code: 0 all passed, 1 something failed, 77 nothing could run.
"""

import argparse
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir, "e2e")]

import casefile  # noqa: E402
import commands  # noqa: E402
import manual  # noqa: E402
from play import Player, Wrong  # noqa: E402
from resp import DEADLINE, Client, Failure  # noqa: E402
from server import Server, reference_version  # noqa: E402

STRICT = os.environ.get("BROKERD_E2E_STRICT", "") not in ("", "0")
STALE_SECONDS = 0.3  # for what a listed difference must not answer


class Base:
    """A connection on each shard that sees when a case's own have left nothing behind."""

    def __init__(self, server):
        self.server = server
        self.clients = []
        self.shard_channels = None

    def settle(self):
        if not self.clients or any(c.pump() or c.ended for c in self.clients):
            self.close()
            self.clients = [Client(self.server.path, name="base") for _ in range(self.server.shards)]
            reply = self.clients[0].do("PUBSUB", "SHARDCHANNELS")
            self.shard_channels = isinstance(reply, list)
        until = time.monotonic() + DEADLINE
        for client in self.clients:
            while self.left(client):
                if time.monotonic() > until:
                    raise Failure(f"subscriptions are left after the case: {self.left(client)}")

    def left(self, client):
        return (client.do("PUBSUB", "CHANNELS") or client.do("PUBSUB", "NUMPAT") or
                (self.shard_channels and client.do("PUBSUB", "SHARDCHANNELS")))

    def close(self):
        for client in self.clients:
            client.close()
        self.clients = []


class Suite:
    def __init__(self, args, server, version):
        self.args = args
        self.server = server
        self.version = version
        self.base = Base(server)
        self.counts = {"pass": 0, "skip": 0, "fail": 0}
        self.differ = 0

    @property
    def brokerd(self):
        return not self.server.reference

    def note(self, result, name, text=""):
        self.counts[result] += 1
        if result == "fail" or self.args.verbose:
            print(f"{result.upper()}: {name}{': ' + text if text else ''}", flush=True)

    def skip_reason(self, case):
        if self.brokerd:
            return None
        if case.only:
            return f"brokerd only: {case.only}"
        for operator, wanted in case.needs:
            have = self.version[:len(wanted)]
            if have < wanted if operator == ">=" else have >= wanted:
                return f"for redis {operator} {'.'.join(str(n) for n in wanted)}"
        return None

    def variants(self, case):
        """(title, proto, variables) for each run of a case."""
        name, values = case.each or (None, [None])
        for proto in case.protos:
            for value in values:
                title = f"{case.where()}: {case.title}"
                title += f" [RESP{proto}]" if len(case.protos) > 1 else ""
                title += f" [{name} = {value}]" if name else ""
                yield title, proto, {name: value.encode()} if name else {}

    def run(self, case):
        reason = self.skip_reason(case)
        for title, proto, variables in self.variants(case):
            if self.args.only and not re.search(self.args.only, title):
                continue
            if reason:
                self.note("skip", title, reason)
                continue
            self.run_one(case, title, proto, variables)

    def run_one(self, case, title, proto, variables):
        steps = case.brokerd_steps if self.brokerd and case.differs else case.steps
        try:
            Player(self.server.path, case, proto, dict(variables)).play(steps)
            if self.brokerd and case.differs:
                self.check_stale(case, proto, variables)
            self.base.settle()
            self.note("pass", title)
        except (Failure, OSError, casefile.Malformed) as error:
            self.note("fail", title, str(error))
            self.recover()

    def recover(self):
        """What a failed case leaves behind shall not fail the next one; a server that is gone is started again."""
        try:
            Client(self.server.path, name="recovery").close()
            self.base.settle()
        except (Failure, OSError):
            self.server.kill()
            print(f"the server is gone; its output:\n{self.server.output()[-4000:]}", flush=True)
            self.base.close()
            if os.path.exists(self.server.path):
                os.unlink(self.server.path)
            self.server.start()
            self.base.settle()

    def check_stale(self, case, proto, variables):
        """A difference that is none any more shall not stay listed."""
        self.base.settle()
        self.differ += 1
        try:
            Player(self.server.path, case, proto, dict(variables), STALE_SECONDS).play(case.steps)
        except Wrong:
            return
        raise Wrong(f"brokerd answers as Redis does; '{case.differs}' is no difference here")

    def run_commands(self):
        client = Client(self.server.path, name="COMMAND")
        found = commands.known(client)
        client.close()
        rows = commands.read(os.path.join(HERE, "commands.table"))
        if not self.brokerd:
            rows = [row for row in rows if "brokerd" not in row.flags and "differs" not in row.flags and
                    not any(self.version < wanted for _, wanted in row.needs())]
        made, complaints = commands.cases(rows, found, self.brokerd)
        for name, text in complaints:
            self.note("fail", name, text)
        for case in made:
            self.run(case)
        return found

    def run_end(self):
        """The command that ends the server, instead of a signal."""
        client = Client(self.server.path, name="end")
        client.send("SHUTDOWN", "NOSAVE")
        client.eof("the end after SHUTDOWN", reset=True)
        client.close()
        code = self.server.wait(DEADLINE, "SHUTDOWN")
        if code:
            raise Failure(f"exit code {code} after SHUTDOWN")
        self.server.check_output()
        self.note("pass", "shutdown: works")

    def run_all(self, cases):
        self.base.settle()
        found = self.run_commands() if not self.args.files else {}
        for case in cases:
            self.run(case)
        if self.brokerd and not self.args.files:
            for name, text in manual.check(self.args.manual, cases, found):
                self.note("fail", name, text)
        self.base.close()


def which(name):
    done = subprocess.run(["sh", "-c", 'command -v "$0"', name], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def finish(text):
    print(f"SKIP: {text}")
    return 1 if STRICT else 77


def arguments():
    parser = argparse.ArgumentParser(description="conformance tests of brokerd")
    parser.add_argument("--reference", help="redis-server or valkey-server to run the cases against instead")
    parser.add_argument("--reactor", default="libev")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--manual", default=os.path.join(HERE, os.pardir, os.pardir, "man", "brokerd-protocol.7"))
    parser.add_argument("--only", help="regular expression of titles")
    parser.add_argument("--count", action="store_true", help="print the numbers of cases and run none")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("files", nargs="*", help="case files; all of them and commands.table if none is named")
    return parser.parse_args()


def main():
    args = arguments()
    cases = sum((casefile.read(name) for name in args.files), []) if args.files else casefile.read_all(HERE)
    if args.count:
        print(f"{len(cases)} cases, {sum(case.differs is not None for case in cases)} of intended differences, "
              f"{sum(case.only is not None for case in cases)} of brokerd only")
        return 0
    Server.reactor = args.reactor
    kind = "redis" if args.reference else "brokerd"
    binary = which(args.reference) if args.reference else os.path.abspath(os.environ.get("BROKERD", "src/brokerd"))
    if not binary or not os.access(binary, os.X_OK):
        return finish(f"no server to test: {args.reference or binary} is not there")
    if kind == "brokerd" and args.reactor == "io_uring":
        refusal = Server(kind, binary).refusal()
        if refusal:
            return finish(refusal)
    return run(args, kind, binary, cases)


def run(args, kind, binary, cases):
    version = reference_version(binary) if kind == "redis" else None
    server = Server(kind, binary, args.shards)
    suite = Suite(args, server, version)
    began = time.monotonic()
    try:
        server.start()
        suite.run_all(cases)
        suite.run_end()
    except Failure as error:
        suite.note("fail", "(the server itself)", str(error))
    finally:
        server.remove()
    counts = suite.counts
    what = f"{os.path.basename(binary)} {'.'.join(str(n) for n in version)}" if version else \
        f"brokerd on {args.reactor}, shards: {args.shards}, {suite.differ} runs of intended differences"
    print(f"{what}, {time.monotonic() - began:.1f} s")
    print(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")
    return 1 if counts["fail"] or not counts["pass"] else 0


if __name__ == "__main__":
    sys.exit(main())
