#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl client, channels and patterns, against a broker under a load that is known."""

import json
import os
import pwd
import shutil
import socket
import sys
import tempfile
import threading
import time
import unittest

from ctlcase import BROKERCTL, DEADLINE, DENIED, FAILED, NOBODY, OK, USAGE, Case

ME = pwd.getpwuid(os.getuid()).pw_name
ATTEMPTS = 6  # at a figure that depends on when this process gets a CPU


class Client:
    """A connection that reads replies line by line."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        self.id = int(self.do("CLIENT ID")[1:])

    def do(self, *lines, answers=1):
        """Sends requests, and reads so many lines. Return: the last one."""
        self.sock.sendall(b"".join(line.encode() + b"\r\n" for line in lines))
        for _ in range(answers):
            line = self.file.readline()
        return line

    def subscribe(self, *channels, command="SUBSCRIBE"):
        self.do(f"{command} {' '.join(channels)}", answers=6 * len(channels))

    def close(self):
        self.file.close()
        self.sock.close()


class Publisher(threading.Thread):
    """Publishes at a steady rate: each message has its time."""

    def __init__(self, path, channel, rate, size):
        super().__init__(daemon=True)
        self.client = Client(path)
        self.line = f"PUBLISH {channel} {'x' * size}\r\n".encode()
        self.rate = rate
        self.running = True

    def run(self):
        start = time.monotonic()
        sent = 0
        while self.running:
            due = int((time.monotonic() - start) * self.rate) - sent
            if due:
                self.client.sock.sendall(due * self.line)
                for _ in range(due):
                    self.client.file.readline()
                sent += due
            time.sleep(0.001)

    def stop(self):
        self.running = False
        self.join(DEADLINE)
        self.client.close()


class Inspect(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd("max_subscriptions: 1000", "max_subscriptions_per_user: 2000", "max_output_bytes: 1MiB", "soft_output_bytes: none")

    def connect(self, name=None):
        client = Client(self.path)
        self.cleanup.callback(client.close)
        if name:
            client.do(f"CLIENT SETNAME {name}")
        return client

    def value(self, *args):
        status, out, err = self.ctl(*args, "--json")
        self.assertEqual((status, err), (OK, ""))
        self.assertEqual(out.count(b"\n"), 1)
        return json.loads(out)

    # ---------------------------------------------------------------- client

    def test_a_client_on_one_screen(self):
        c = self.connect("sensor")
        c.subscribe("a", "b", "c")
        c.subscribe("n*", command="PSUBSCRIBE")
        status, out, err = self.ctl("client", str(c.id))
        self.assertEqual((status, err), (OK, ""))
        text = out.decode()
        self.assertLessEqual(len(text.splitlines()), 30)
        for line in (f"client               {c.id} sensor", f"user                 {ME} (uid {os.getuid()}), group ",
                     "authenticated        no: default; may ", f"connection           {self.path}, shard ",
                     "state                open, waits for nothing; last command psubscribe",
                     "channels             3: a, b, c", "patterns             1: n*", "shard channels       0",
                     "published            0 messages, 0 bytes; 0 commands denied",
                     "  max_subscriptions    4 of 1000 (0 %)", "  max_patterns         1, no limit",
                     "  max_output_bytes     0 of 1.00M (0 %)",
                     "  max_subscriptions_per_user: 2000, of which 4 on this shard"):
            self.assertIn(line, text)
        self.assertIn(f"pid {os.getpid()}: ", text)
        self.assertIn(os.path.basename(__file__), text)

    def test_a_client_as_json(self):
        c = self.connect("sensor")
        c.do("CLIENT SETINFO lib-name lib")
        c.do("PUBLISH nobody 12345")
        c.subscribe("a")
        value = self.value("client", str(c.id))
        self.assertEqual(value["schema"], "brokerctl.client/1")
        client = value["client"]
        self.assertEqual(client["command_line"][-1:], sys.argv[-1:])
        expected = {"id": c.id, "name": "sensor", "lib_name": "lib", "pid": os.getpid(), "uid": os.getuid(),
                    "gid": os.getgid(), "user_name": ME, "user": "default", "authenticated": False,
                    "admin": os.getuid() == 0, "listener": self.path, "by_admin_socket": False, "resp": 2,
                    "state": "open", "waits_for": "nothing", "command": "subscribe", "published": 1,
                    "published_bytes": 5, "delivered": 0, "lost": 0, "denied": 0, "transaction": False}
        self.assertEqual({k: client[k] for k in expected}, expected)
        self.assertEqual(client["subscriptions"], {"channels": {"total": 1, "names": ["a"]},
                                                   "patterns": {"total": 0, "names": []},
                                                   "shard_channels": {"total": 0, "names": []}})
        self.assertEqual(client["limits"]["max_subscriptions"], {"now": 1, "limit": 1000})
        self.assertEqual(client["limits"]["publish_rate"], {"now": 0, "limit": None})
        self.assertEqual(client["user_limits"]["max_subscriptions_per_user"], {"here": 1, "limit": 2000})
        self.assertIn(client["shard"], range(3))

    def test_what_waits_for_a_slow_one(self):
        slow, publisher = self.connect("slow"), self.connect()
        slow.subscribe("a")
        for _ in range(600):
            publisher.do("PUBLISH a " + 1000 * "x")
        client = self.value("client", str(slow.id))["client"]
        frame = len("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1000\r\n\r\n") + 1000
        acknowledgement = len("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        replies = len(f":{slow.id}\r\n+OK\r\n")
        self.assertEqual(client["delivered"], 600)
        self.assertGreater(client["output_bytes"], 0)
        self.assertEqual(client["limits"]["max_output_bytes"], {"now": client["output_bytes"], "limit": 1 << 20})
        self.assertEqual(client["sent_bytes"] + client["output_bytes"], 600 * frame + acknowledgement + replies)

    def test_bytes_that_are_no_text(self):
        c = self.connect()
        c.sock.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\n\xff\x1b\r\n")
        c.do(answers=6)
        names = self.value("client", str(c.id))["client"]["subscriptions"]["channels"]["names"]
        self.assertEqual(names, [{"base64": "/xs="}])
        self.assertIn(b"1: \\xff\\x1b\n", self.ctl("client", str(c.id))[1])
        self.assertIn(b"\n\\xff\\x1b ", self.ctl("channels", "--once")[1])

    def test_who_is_not_there(self):
        self.assert_fails(self.ctl("client", "424242"), FAILED, "No such client")
        self.assert_fails(self.ctl("client", "one"), USAGE, '"one" is no client\'s id')
        self.assert_fails(self.ctl("client"), USAGE, "client ID")
        self.assert_fails(self.ctl("channels", "--sort", "rat"), USAGE, 'did you mean "rate"?')
        self.assert_fails(self.ctl("patterns", "--sort", "zzzzzzz"), USAGE, "but by name, subs, channels")
        self.assert_fails(self.ctl("channels", "--limit", "20000", "--once"), FAILED, "LIMIT should be")
        self.assert_fails(self.ctl("patterns", "--once"), USAGE, "does not go with")

    def test_another_user_is_denied(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        os.chmod(home, 0o755)
        os.chmod(self.dir, 0o755)
        nobody = {"program": program, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        c = self.connect()
        for words in (["client", str(c.id)], ["channels"], ["patterns"]):
            self.assert_fails(self.ctl(*words, **nobody), DENIED, "NOPERM")

    # ---------------------------------------------------------------- channels, patterns

    def test_channels_by_name(self):
        panel, board, p = self.connect("panel"), self.connect(), self.connect("p")
        panel.subscribe("news")
        board.subscribe("news", "quiet")
        board.subscribe("news", command="SSUBSCRIBE")
        panel.subscribe("n*", "new?", command="PSUBSCRIBE")
        p.do("PUBLISH news 12345", "PUBLISH news 1", "SPUBLISH news xyz", answers=3)
        status, out, err = self.ctl("channels", "--once")
        self.assertEqual((status, err), (OK, ""))
        head, *rows = out.decode().splitlines()
        self.assertEqual(head.split(), ["channel", "kind", "subs", "rate", "messages", "bytes", "last", "subscribers",
                                        "patterns"])
        self.assertEqual([row.split()[:6] for row in rows], [["news", "channel", "2", "-", "2", "6"],
                                                             ["news", "shard", "1", "-", "1", "3"],
                                                             ["quiet", "channel", "1", "-", "0", "0"]])
        self.assertIn("panel", rows[0])
        self.assertRegex(rows[0], rf"python\S*\[{board.id}\]")
        self.assertIn("n* (1)", rows[0])
        self.assertIn("new? (1)", rows[0])
        self.assertNotIn("n* (1)", rows[1])

    def test_channels_as_json(self):
        panel, p = self.connect("panel"), self.connect()
        panel.subscribe("news")
        panel.subscribe("n*", command="PSUBSCRIBE")
        p.do("PUBLISH news 12345")
        value = self.value("channels", "--once")
        self.assertEqual((value["schema"], value["total"], value["seconds"]), ("brokerctl.channels/1", 1, None))
        channel, = value["channels"]
        self.assertLess(channel.pop("last_ms"), 1000 * DEADLINE)
        self.assertEqual(sorted(channel.pop("by_shard")), [0, 0, 1])
        self.assertEqual(channel, {
            "name": "news", "kind": "channel", "subscribers": 1, "messages": 1, "bytes": 5, "messages_per_second": None,
            "bytes_per_second": None, "matching": 1, "patterns": [{"name": "n*", "subscribers": 1}],
            "clients": [{"id": panel.id, "pid": os.getpid(), "uid": os.getuid(), "name": "panel"}]})

    def test_channels_are_chosen_sorted_and_bounded(self):
        a, b, p = self.connect("a"), self.connect("b"), self.connect()
        a.subscribe("x1", "x2", "x3", "y")
        b.subscribe("x2")
        p.do("PUBLISH x3 1234567", "PUBLISH x1 1", "PUBLISH x1 1", answers=3)

        def names(*args):
            return [channel["name"] for channel in self.value("channels", "--once", *args)["channels"]]

        self.assertEqual(names(), ["x1", "x2", "x3", "y"])
        self.assertEqual(names("x*", "--sort", "subs"), ["x2", "x1", "x3"])
        self.assertEqual(names("--sort", "messages"), ["x1", "x3", "x2", "y"])
        self.assertEqual(names("--sort", "bytes"), ["x3", "x1", "x2", "y"])
        self.assertEqual(names("--sort", "last")[2:], ["x2", "y"])
        self.assertEqual(names("--limit", "2"), ["x1", "x2"])
        status, out, err = self.ctl("channels", "--once", "--limit=2")
        self.assertEqual((status, out.count(b"\n"), err),
                         (OK, 3, "brokerctl: 2 more channels; --limit shows up to 10000, a pattern others\n"))

    def test_many_subscribers_are_cut(self):
        for i in range(30):
            self.connect(f"c{i}").subscribe("crowd")
        self.assertIn("and 26 more", self.ctl("channels", "--once")[1].decode())
        channel, = self.value("channels", "--once")["channels"]
        self.assertEqual((channel["subscribers"], sum(channel["by_shard"])), (30, 30))
        self.assertEqual(len(channel["clients"]), sum(min(n, 16) for n in channel["by_shard"]))

    def test_patterns(self):
        panel, other = self.connect("panel"), self.connect("other")
        panel.subscribe("n*", "z*", command="PSUBSCRIBE")
        other.subscribe("n*", command="PSUBSCRIBE")
        other.subscribe("na", "nb", "ob")
        status, out, err = self.ctl("patterns")
        self.assertEqual((status, err), (OK, ""))
        head, *rows = out.decode().splitlines()
        self.assertEqual(head.split(), ["pattern", "subs", "channels", "subscribers"])
        self.assertEqual([row.split()[:3] for row in rows], [["n*", "2", "2"], ["z*", "1", "0"]])
        self.assertIn("panel", rows[0])
        self.assertIn("other", rows[0])
        value = self.value("patterns", "--sort", "channels", "--limit", "1")
        self.assertEqual((value["schema"], value["total"]), ("brokerctl.patterns/1", 2))
        self.assertEqual((value["patterns"][0]["name"], value["patterns"][0]["channels"]), ("n*", 2))

    def test_rates_are_those_of_the_load(self):
        self.connect("panel").subscribe("fast", "slow", "none")
        loads = {"fast": (1000, 20), "slow": (300, 7)}
        for channel, (rate, size) in loads.items():
            publisher = Publisher(self.path, channel, rate, size)
            publisher.start()
            self.cleanup.callback(publisher.stop)
        for attempt in range(ATTEMPTS):
            value = self.value("channels", "--sort", "rate")
            self.assertGreater(value["seconds"], 1)
            self.assertEqual([channel["name"] for channel in value["channels"]], ["fast", "slow", "none"])
            seen = {channel["name"]: channel for channel in value["channels"]}
            self.assertEqual(seen["none"]["messages_per_second"], 0)
            for channel, (rate, size) in loads.items():
                self.assertAlmostEqual(seen[channel]["bytes_per_second"], size * seen[channel]["messages_per_second"],
                                       delta=0.01)
            off = max(abs(seen[c]["messages_per_second"] / rate - 1) for c, (rate, _) in loads.items())
            if off <= 0.02:
                break
        self.assertLessEqual(off, 0.02, seen)
        self.assertRegex(self.ctl("channels", "fast")[1].decode(), r"\nfast +channel +1 +\d+/s ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
