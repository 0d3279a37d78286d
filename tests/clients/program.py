# SPDX-License-Identifier: MIT
"""Programs that others wrote, run by a case: each wait has a deadline and says what it waited for."""

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time

from resp import DEADLINE, Client, Failure
from suite import Missing, need

BUILD = os.path.abspath(os.environ.get("E2E_BUILDDIR", "."))
SOURCES = os.path.dirname(os.path.abspath(__file__))


class Program:
    """A running program whose output is waited for line by line."""

    def __init__(self, *words, stdin=subprocess.DEVNULL, **options):
        if not shutil.which(words[0]):
            raise Missing(words[0])
        self.name = " ".join(os.path.basename(word) for word in words)
        self.text = b""
        self.process = self._start(words, stdin, options)
        self.source = self.process.stdout.fileno()

    def _start(self, words, stdin, options):
        return subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stdin):
            if pipe:
                pipe.close()

    def _more(self, until, what):
        left = until - time.monotonic()
        ready = left > 0 and select.select([self.source], [], [], left)[0]
        if not ready:
            raise Failure(f"{self.name}: {what} did not come within {DEADLINE} s; unread: {self.text!r}")
        try:
            data = os.read(self.source, 65536)
        except OSError:  # a terminal whose program has ended
            data = b""
        if not data:
            raise Failure(f"{self.name}: ended while waiting for {what}; unread: {self.text!r}")
        self.text += data

    def expect(self, *lines):
        """The next lines are these."""
        until = time.monotonic() + DEADLINE
        for line in lines:
            while b"\n" not in self.text:
                self._more(until, f"the line {line!r}")
            got, self.text = self.text.split(b"\n", 1)
            if got.decode() != line:
                raise Failure(f"{self.name}: the line {got.decode()!r} came, expected {line!r}; then {self.text!r}")

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def end(self, code=0):
        """Reads the rest until it ends. Returns it."""
        try:
            rest, _ = self.process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: still running after {DEADLINE} s; output: {self.text!r}") from None
        text = (self.text + rest).decode()
        need(self.process.returncode == code, f"{self.name}: exit code {self.process.returncode}: {text}")
        return text


class Terminal(Program):
    """A program at a terminal of its own, with somebody who types."""

    def _start(self, words, stdin, options):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                   preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **options)
        os.close(slave)
        process.stdout = open(self.master, "rb", buffering=0, closefd=False)
        return process

    def __exit__(self, *_):
        super().__exit__()
        os.close(self.master)

    def expect(self, *lines):
        """These texts come, in this order, whatever is between them: prompts, hints, what moves the cursor."""
        until = time.monotonic() + DEADLINE
        for line in lines:
            while line.encode() not in self.text:
                self._more(until, f"the text {line!r}")
            self.text = self.text.split(line.encode(), 1)[1]

    def type(self, line, end="\r"):
        os.write(self.master, (line + end).encode())

    def end(self, code=0):
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: still running after {DEADLINE} s; output: {self.text!r}") from None
        need(self.process.returncode == code, f"{self.name}: exit code {self.process.returncode}: {self.text!r}")


def built(name):
    """The path of a program of this directory that was built."""
    program = os.path.join(BUILD, "tests", "clients", name)
    if not os.access(program, os.X_OK):
        raise Missing(f"tests/clients/{name} (built where hiredis is found)")
    return program


def node(script, env, *words, stdin=subprocess.DEVNULL):
    """A program of the directory node/, with the packages that `make check-clients` installs."""
    modules = os.path.join(BUILD, "tests", "clients", "node", "node_modules")
    if not os.path.isdir(modules):
        raise Missing("the packages of tests/clients/node (make check-clients installs them)")
    # its own deadlines are the shorter ones: what it says of them tells more than that it is still running
    environment = dict(os.environ, NODE_PATH=modules, E2E_DEADLINE=str(DEADLINE * 0.8),
                       E2E_REFERENCE="1" if env.reference else "")
    environment.pop("NODE_OPTIONS", None)
    return Program("node", os.path.join(SOURCES, "node", script), env.server.path, *words, stdin=stdin,
                   env=environment)


def says_ok(program):
    """It ends well, and its one line says what it did."""
    text = program.end()
    need(text.startswith("ok ") and text.count("\n") == 1, f"{program.name} says {text}")


# ---------------------------------------------------------------- a broker that goes and comes back

def subscriptions(client):
    """All subscriptions that the server has, but whose."""
    channels = sorted(client.do("PUBSUB", "CHANNELS"))
    sharded = client.do("PUBSUB", "SHARDCHANNELS")
    return (client.do("PUBSUB", "NUMSUB", *channels), client.do("PUBSUB", "NUMPAT"),
            client.do("PUBSUB", "SHARDNUMSUB", *sorted(sharded)) if isinstance(sharded, list) else None)


def restart(env):
    """SIGTERM, and the server starts again on the same path."""
    env.server.stop()
    env.server.start()


def restart_and_return(env):
    """
    Restarts the server, and waits until all subscriptions that it had are there again. Returns a client. What it publishes
    reaches who has seen the acknowledgement: brokerd counts a subscription a moment earlier, while all shards are told.
    """
    before = Client(env.server.path)
    had = subscriptions(before)
    before.close()
    need(had[0] or had[1] or had[2], "nothing is subscribed before the restart")
    restart(env)
    after = env.connect(proto=2, name="after the restart")
    try:
        env.until("all subscriptions are back after the restart", lambda: subscriptions(after) == had)
    except Failure as failure:
        raise Failure(f"{failure}; had {had}, has {subscriptions(after)}") from None
    return after
