#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl tap: what is shown of known messages, and that shown plus skipped is what was published."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from ctlcase import BROKERCTL, CONNECT, DEADLINE, DENIED, NOBODY, OK, USAGE, Case, Lines


class Tap(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def tap(self, *args, program=BROKERCTL, **options):
        """Starts it, and waits until the broker has begun. Return: process, lines of stdout, of stderr."""
        process = subprocess.Popen([program, "-s", self.path, "tap", *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0, **options)
        self.cleanup.callback(lambda: (process.kill(), process.wait(DEADLINE)))
        errors = Lines(process.stderr)
        self.assertEqual(errors.next(), b"brokerctl: tapping\n")
        return process, Lines(process.stdout), errors

    def client(self):
        """Return: a function that sends a request and waits for its reply, which is one line."""
        sock = socket.socket(socket.AF_UNIX)
        self.cleanup.callback(sock.close)
        sock.settimeout(DEADLINE)
        sock.connect(self.path)
        file = sock.makefile("rb")
        self.cleanup.callback(file.close)

        def do(*words, times=1):
            request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
            sock.sendall(request * times)
            return [file.readline() for _ in range(times)][-1]
        return do

    def status(self):
        value = json.loads(self.ctl("status", "--json")[1])
        return {name: sum(shard[name] for shard in value["shards"]) for name in ("taps", "tap_events", "tap_skipped")}

    def until(self, what, check):
        end = time.monotonic() + DEADLINE
        while not check():
            self.assertLess(time.monotonic(), end, what)

    def test_a_message_is_a_line(self):
        process, lines, _ = self.tap("sensor.*", "--count", "2")
        do = self.client()
        do(b"CLIENT", b"SETNAME", b"kitchen")
        before = time.time()
        do(b"PUBLISH", b"other", b"x")
        do(b"PUBLISH", b"sensor.1", b"warm\t\n\x00\xff")
        line = lines.next().decode().rstrip("\n").split("\t")
        self.assertRegex(line[0], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$")
        self.assertLess(time.time() - before, DEADLINE)
        self.assertEqual(line[1:], ["kitchen", str(os.getpid()), str(os.getuid()), "sensor.1", "8", "0",
                                    r"warm\t\n\x00\xff"])
        do(b"SPUBLISH", b"sensor.2", b"y" * 200)
        line = lines.next().decode().rstrip("\n").split("\t")
        self.assertEqual(line[4:], ["sensor.2", "200", "0", "y" * 128 + "..."])
        self.assertEqual(process.wait(DEADLINE), OK)

    def test_a_client_without_a_name_is_its_program_and_bytes_are_hex(self):
        _, lines, _ = self.tap("--hex", "--size=3")
        self.start_sub("a")
        self.client()(b"PUBLISH", b"a", b"\x00\xffzz")
        line = lines.next().decode().rstrip("\n").split("\t")
        self.assertIn("python", line[1])
        self.assertEqual(line[4:], ["a", "4", "1", "00ff7a..."])

    def test_json(self):
        _, lines, _ = self.tap("--json", "--size", "4", "[ab]")
        do = self.client()
        begin = time.time()
        for channel, payload in ((b"a", b"text"), (b"b", b"\xff\x00"), (b"c", b"")):
            do(b"PUBLISH", channel, payload)
        values = [json.loads(lines.next()) for _ in range(2)]
        for value in values:
            self.assertEqual((value["schema"], value["pid"], value["uid"], value["command"], value["receivers"]),
                             ("brokerctl.tap/1", os.getpid(), os.getuid(), "publish", 0))
            self.assertTrue(begin - 1 < value["time_seconds"] < time.time() + 1, value)
            self.assertIn("python", value["program"])
        self.assertEqual((values[0]["payload"], values[0]["size_bytes"], values[0]["channel"]), ("text", 4, "a"))
        self.assertEqual((values[1]["payload"], values[1]["payload_base64"]), (None, "/wA="))

    def test_below_the_limit_every_message_is_seen(self):
        _, lines, _ = self.tap("load.*")
        clients = [self.client() for _ in range(6)]  # on all shards
        for i in range(150):
            for k, do in enumerate(clients):
                do(b"PUBLISH", b"load.%d" % k, b"%d" % i)
        seen = [lines.next().split(b"\t") for _ in range(900)]
        for k in range(6):  # the order of each publisher
            self.assertEqual([int(line[7]) for line in seen if line[4] == b"load.%d" % k], list(range(150)))
        self.assertEqual(self.status(), {"taps": 1, "tap_events": 900, "tap_skipped": 0})

    def sums(self, lines, published):
        """Reads values until shown and skipped come to what was published. Return: both."""
        shown = skipped = 0
        while shown + skipped < published:
            value = json.loads(lines.next())
            if value["schema"] == "brokerctl.tap-skipped/1":
                skipped += value["skipped"]
            else:
                self.assertEqual(value["schema"], "brokerctl.tap/1")
                shown += 1
        self.assertEqual(shown + skipped, published)
        return shown, skipped

    def test_above_it_seen_and_skipped_are_what_was_published(self):
        _, lines, _ = self.tap("--json", "--limit", "100", "load")
        clients = [self.client() for _ in range(6)]
        begin = time.monotonic()
        for _ in range(20):
            for do in clients:
                do(b"PUBLISH", b"load", b"x", times=100)
        shown, skipped = self.sums(lines, 12000)
        seconds = time.monotonic() - begin
        self.assertGreaterEqual(shown, 100)
        self.assertLessEqual(shown, 100 + 100 * seconds + 6)
        self.assertEqual(self.status(), {"taps": 1, "tap_events": shown, "tap_skipped": skipped})

    def test_one_that_is_stopped_loses_and_is_told(self):
        process, lines, _ = self.tap("--json", "--limit", "1000000000", "--size", "65536")
        do = self.client()
        os.kill(process.pid, 19)
        for _ in range(200):
            do(b"PUBLISH", b"a", b"x" * 50000)
        os.kill(process.pid, 18)
        _, skipped = self.sums(lines, 200)
        self.assertGreater(skipped, 50)

    def test_skips_are_said_on_standard_error(self):
        _, lines, errors = self.tap("--limit", "1")
        self.client()(b"PUBLISH", b"a", b"x", times=10)
        self.assertEqual(lines.next().split(b"\t")[4], b"a")
        self.assertEqual(errors.next(), b"brokerctl: skipped 9\n")

    def test_it_leaves_nothing_behind(self):
        process, _, _ = self.tap()
        process.terminate()
        process.wait(DEADLINE)
        self.until("the tap is gone", lambda: self.status()["taps"] == 0)

    def test_a_broker_that_stops(self):
        process, _, errors = self.tap()
        self.broker.terminate()
        self.assertEqual(process.wait(DEADLINE), CONNECT)
        self.assertIn(b"lost the connection", errors.rest())

    def test_what_is_wrong_is_told(self):
        self.assert_fails(self.ctl("tap", "--hex", "--json"), USAGE, "--hex does not go with it")
        self.assert_fails(self.ctl("tap", "--size", "65537"), USAGE, "from 0 to 65536")
        self.assert_fails(self.ctl("tap", "--limit", "x"), USAGE, "--limit")
        self.assert_fails(self.ctl("tap", "a", "b"), USAGE, '"b"')
        self.assert_fails(self.ctl("tap", "x" * 1025), 1, "longer than 1024 bytes")

    def test_another_user_may_not(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        os.chmod(home, 0o755)
        os.chmod(self.dir, 0o755)
        nobody = {"program": program, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.assert_fails(self.ctl("tap", **nobody), DENIED, "NOPERM")

    def test_the_help_says_it(self):
        status, out, _ = self.ctl("help", "tap", socket_path=False)
        self.assertEqual(status, OK)
        self.assertTrue(re.search(rb"--limit N .*tap: 1000", out), out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
