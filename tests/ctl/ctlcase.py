# SPDX-License-Identifier: MIT
"""What the tests of brokerctl share: how it is run, and against which servers.

BROKERCTL names the program, BROKERD the broker. Nothing waits by sleeping: a server says that it is ready, a
subscriber that it is subscribed, and every wait has an end.
"""

import contextlib
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BROKERCTL = os.path.abspath(os.environ.get("BROKERCTL", "src/brokerctl"))
BROKERD = os.path.abspath(os.environ.get("BROKERD", "src/brokerd"))
DEADLINE = 20  # seconds, of every wait
NOBODY = 65534

OK, FAILED, USAGE, CONNECT, DENIED, TIMEOUT, PARTIAL = range(7)


class Lines:
    """The lines of a stream, each waited for with a deadline."""

    def __init__(self, stream):
        self.lines = queue.Queue()
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream):
        for line in stream:
            self.lines.put(line)
        self.lines.put(b"")
        stream.close()

    def next(self):
        return self.lines.get(timeout=DEADLINE)

    def rest(self):
        lines = []
        while True:
            line = self.next()
            if not line:
                return b"".join(lines)
            lines.append(line)


def sorted_lines(data):
    """For messages of several publishers, which have no common order."""
    return sorted(data.splitlines())


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.cleanup = contextlib.ExitStack()
        self.addCleanup(self.cleanup.close)
        self.dir = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-"))
        self.path = os.path.join(self.dir, "sock")

    def stop(self, process):
        process.kill()
        process.wait(DEADLINE)
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()

    def leave_stale(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)

    def start_fake(self, mode="broker", path=None, before=()):
        process = subprocess.Popen([*before, sys.executable, str(HERE / "fake-broker.py"), path or self.path, mode],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.cleanup.callback(self.stop, process)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def start_redis(self):
        server = shutil.which("redis-server")
        if not server:
            self.skipTest("redis-server is missing")
        process = subprocess.Popen([server, "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no",
                                    "--dir", self.dir], stdout=subprocess.PIPE)
        self.cleanup.callback(lambda: (process.kill(), process.wait(DEADLINE)))
        lines = Lines(process.stdout)
        while b"ready to accept" not in (line := lines.next()).lower():
            self.assertNotEqual(line, b"", "redis-server does not start")

    def redis_cli(self, *args, data=b""):
        if not shutil.which("redis-cli"):
            self.skipTest("redis-cli is missing")
        subprocess.run(["redis-cli", "-s", self.path, *args], input=data, check=True, stdout=subprocess.DEVNULL,
                       timeout=DEADLINE)

    def ctl(self, *args, data=b"", socket_path=True, env=(), program=BROKERCTL, **options):
        """Runs brokerctl to its end. Return: status, stdout, stderr."""
        words = [program, *(["-s", self.path] if socket_path else []), *args]
        environment = {k: v for k, v in os.environ.items() if k != "BROKERCTL_SOCKET"}
        environment.update(env)
        done = subprocess.run(words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE,
                              env=environment, **options)
        return done.returncode, done.stdout, done.stderr.decode()

    def start_sub(self, *args, subscribed=1):
        """Starts `brokerctl sub` and waits for the acknowledgement. Return: process, lines of stdout, of stderr."""
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "sub", *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0)
        self.cleanup.callback(lambda: (process.kill(), process.wait(DEADLINE)))
        errors = Lines(process.stderr)
        self.assertEqual(errors.next(), b"brokerctl: subscribed to %d of %d\n" % (subscribed, subscribed))
        return process, Lines(process.stdout), errors

    def assert_quiet(self, result, status=OK, out=b""):
        self.assertEqual(result, (status, out, ""))

    def assert_fails(self, result, status, *texts):
        """Nothing on stdout, and an error that holds the texts."""
        self.assertEqual((result[0], result[1]), (status, b""), result[2])
        self.assertTrue(result[2].startswith("brokerctl: "), result[2])
        for text in texts:
            self.assertIn(text, result[2])

    def start_brokerd(self, *lines):
        if not os.access(BROKERD, os.X_OK):
            self.skipTest(f"{BROKERD} is missing")
        config = os.path.join(self.dir, "broker.yaml")
        pathlib.Path(config).write_text(f"shards: 3\nreactor: libev\nlisteners:\n  - path: {self.path}\n    mode: 0666\n"
                                        f"admin: {self.dir}/admin.sock\n" + "".join(line + "\n" for line in lines))
        self.broker = subprocess.Popen([BROKERD, "-c", config], stderr=subprocess.PIPE)
        self.cleanup.callback(lambda: (self.broker.kill(), self.broker.wait(DEADLINE)))
        log = Lines(self.broker.stderr)
        while not (line := log.next()).endswith(b"ready\n"):
            self.assertNotEqual(line, b"", "brokerd does not start")
