#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl bench: that it loads what it says, counts what comes and what does not, and asks before.

A broker that loses messages and mixes up their order is played by a server of this file.
"""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

from ctlcase import BROKERCTL, CONNECT, DEADLINE, DENIED, FAILED, OK, PARTIAL, USAGE, Case


class Server:
    """Answers as a broker with one channel; what it does with a message is `deliver`."""

    def __init__(self, case, deny=False):
        self.deny, self.subscribers, self.held, self.n, self.lock = deny, [], None, 0, threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(case.path)
        self.listener.listen(64)
        case.cleanup.callback(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as file:
            while line := file.readline():
                self.answer(sock, [file.read(int(file.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))])

    def answer(self, sock, words):
        if words[0] == b"INFO":
            text = b"# Server\r\nbrokerd_version:7.7.7\r\n# broker\r\nshards:5\r\nreactor:none\r\n"
            sock.sendall(b"$%d\r\n%s\r\n" % (len(text), text))
        elif words[0] == b"SUBSCRIBE":
            with self.lock:
                sock.sendall(b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(words[1]), words[1]))
                self.subscribers.append(sock)
        elif words[0] == b"PUBLISH" and self.deny:
            sock.sendall(b"-NOPERM not to this channel\r\n")
        elif words[0] == b"PUBLISH":
            with self.lock:
                self.publish(words[1], words[2])
            sock.sendall(b":%d\r\n" % len(self.subscribers))
        else:
            sock.sendall(b"+OK\r\n")

    def publish(self, channel, message):
        frame = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(channel), channel, len(message), message)
        self.n += 1
        if self.n in (3, 7):  # lost
            return
        if self.n == 10:  # it comes behind the next one
            self.held = frame
            return
        for sock in self.subscribers:
            sock.sendall(frame + (self.held if self.n == 11 else b""))


class Bench(Case):
    def bench(self, *args, status=OK):
        code, out, err = self.ctl("-t", "10", "bench", "--yes", "--json", *args)
        self.assertEqual(code, status, err)
        value = json.loads(out)
        self.assertEqual(value["schema"], "brokerctl.bench/1")
        return value, err

    def counts(self):
        lines = self.ctl("status", "--raw")[1].decode().splitlines()
        return [sum(int(line.split()[1]) for line in lines if line.endswith(tuple("0123456789")) and f".{name} " in line)
                for name in ("messages_in", "messages_out")]


class Load(Bench):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def test_with_a_rate_each_message_counts_once(self):
        value, _ = self.bench("--rate", "500", "--seconds", "1", "--clients", "3", "--subscribers", "2", "--size", "16")
        self.assertEqual(self.counts(), [600, 1200])  # 0.2 s of them are the warm-up
        self.assertEqual(value["latency"]["count"], 1000)
        self.assertEqual([value[k] for k in ("lost", "unanswered", "unsent", "disordered")], [0] * 4)
        self.assertEqual(value["plan"] | {"measured_seconds": 1, "warm_up_seconds": 0.2, "rate_per_second": 500, "clients": 3,
                                          "subscribers": 2, "size_bytes": 16, "pipeline": 0}, value["plan"])

    def test_the_rate_that_is_shown_is_the_rate(self):
        for _ in range(5):  # beside other programs a measurement may fail
            value, _ = self.bench("--rate", "1000", "--seconds", "1", "--subscribers", "2")
            if 980 < value["published_per_second"] < 1020 and 1960 < value["delivered_per_second"] < 2040:
                return
        self.fail(value)

    def test_without_one_answers_are_the_pace(self):
        value, _ = self.bench("--seconds", "0.5", "--clients", "2", "--subscribers", "3", "--pipeline", "4")
        published, delivered = self.counts()
        self.assertEqual(delivered, 3 * published)
        self.assertGreater(published, 100)
        self.assertEqual([value[k] for k in ("lost", "unanswered", "unsent", "disordered")], [0] * 4)
        self.assertTrue(0 < value["published_per_second"] * 0.5 <= published)
        latency = [value["latency"][k] for k in ("p50_seconds", "p90_seconds", "p99_seconds", "p99_9_seconds", "max_seconds")]
        self.assertEqual(latency, sorted(latency))
        self.assertGreater(latency[0], 0)

    def test_large_messages_do_not_overrun_a_subscriber(self):
        value, _ = self.bench("--seconds", "0.3", "--size", "1000000", "--pipeline", "64", "--clients", "2")
        self.assertEqual(value["lost"], 0)
        self.assertGreater(value["latency"]["count"], 0)

    def test_without_subscribers_answers_are_measured(self):
        value, _ = self.bench("--seconds", "0.3", "--subscribers", "0", "--rate", "1000")
        self.assertEqual(value["latency"]["count"], 300)
        self.assertEqual(value["delivered_per_second"], 0)

    def test_a_pause_of_the_broker_delays_all_that_was_due(self):
        """Sockets are full meanwhile, so messages are sent late. Were their times those of sending, few would be slow."""
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "-t", "10", "bench", "-y", "-j", "--rate", "1000", "--seconds",
                                    "2", "--size", "20000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.cleanup.callback(self.stop, process)
        self.cleanup.callback(process.stderr.close)
        while self.counts()[0] < 600:  # the warm-up is over
            pass
        self.broker.send_signal(signal.SIGSTOP)
        threading.Event().wait(0.5)
        self.broker.send_signal(signal.SIGCONT)
        value = json.loads(process.stdout.read())
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(value["latency"]["count"], 2000 * 4)
        self.assertGreater(value["latency"]["max_seconds"], 0.4)
        self.assertGreater(value["latency"]["p90_seconds"], 0.1)
        self.assertEqual(value["lost"], 0)

    def test_words_say_where_and_what(self):
        status, out, err = self.ctl("bench", "-y", "--seconds", "0.2")
        self.assertEqual((status, err), (OK, "brokerctl: this loads the broker that runs, for 0.24 s: its other clients will "
                                             "notice\n"))
        lines = out.decode().splitlines()
        self.assertRegex(lines[0], r"^brokerd \d+\.\d+\.\d+, shards 3, reactor libev$")
        self.assertRegex(lines[1], rf"^Linux {re.escape(os.uname().release)}, {os.cpu_count()} CPUs? \S.*, governor \S+$")
        self.assertEqual(lines[2:4], ["4 publishers, 4 subscribers, messages of 100 bytes, each publisher with 1 unanswered",
                                      "0.2 s measured, after 0.04 s of warm-up"])
        self.assertRegex(lines[5], r"^published  [1-9]\d* messages/s, \d+\.\d\d MB/s$")
        self.assertRegex(lines[6], r"^delivered  [1-9]\d* messages/s, \d+\.\d\d MB/s$")
        self.assertRegex(lines[7], r"^latency    p50 [\d.]+ us, p90 [\d.]+ us, p99 [\d.]+ us, p99.9 [\d.]+ us, max [\d.]+ us$")
        self.assertEqual(lines[9], "lost       0 not delivered, 0 not answered, 0 not sent, 0 out of order")
        self.assertIn("MB/s", lines[6])

    def test_nothing_of_it_stays(self):
        self.bench("--seconds", "0.1", "--clients", "20", "--subscribers", "20")
        end = time.monotonic() + DEADLINE
        while len(json.loads(self.ctl("clients", "-j")[1])["clients"]) > 1:
            self.assertLess(time.monotonic(), end)

    def test_a_broker_that_ends_is_told(self):
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "bench", "-y", "--seconds", "20"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.cleanup.callback(self.stop, process)
        while not self.counts()[0]:
            pass
        self.broker.kill()
        self.assertIn(b"the broker closed the connection of a ", process.stderr.read())
        process.stderr.close()
        self.assertEqual(process.wait(DEADLINE), CONNECT)
        self.assertEqual(process.stdout.read(), b"")


class Asking(Bench):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def test_without_a_terminal_it_has_to_be_told(self):
        self.assert_fails(self.ctl("bench"), FAILED, "this loads the broker that runs", "say --yes")
        self.assertEqual(self.counts(), [0, 0])

    def ask(self, answer):
        master, slave = pty.openpty()
        self.cleanup.callback(os.close, master)
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "bench", "--seconds", "0.1"], stdin=slave, stderr=slave,
                                   stdout=subprocess.PIPE)
        os.close(slave)
        self.cleanup.callback(self.stop, process)
        asked = b""
        while b"[y/N]" not in asked:
            self.assertTrue(select.select([master], [], [], DEADLINE)[0], asked)
            asked += os.read(master, 1000)
        os.write(master, answer)
        out = process.stdout.read()
        return process.wait(DEADLINE), out != b""

    def test_on_a_terminal_it_asks(self):
        self.assertEqual(self.ask(b"n\n"), (FAILED, False))
        self.assertEqual(self.counts(), [0, 0])
        self.assertEqual(self.ask(b"y\n"), (OK, True))

    def test_usage(self):
        self.assert_fails(self.ctl("bench", "-y", "--rate", "1", "--pipeline", "1"), USAGE, "--pipeline does not go with it")
        for option, text in (("--size=15", "from 16 to"), ("--clients=0", "from 1 to"), ("--subscribers=1001", "from 0 to 1000"),
                             ("--rate=0", "from 1 to"), ("--pipeline=x", "an integer"), ("--seconds=-1", "seconds from")):
            self.assert_fails(self.ctl("bench", "-y", option), USAGE, text)

    def test_without_a_broker_nobody_is_asked(self):
        self.path += "-not"
        self.assert_fails(self.ctl("bench"), CONNECT, "cannot connect")


class Losses(Bench):
    def test_what_is_lost_and_what_is_late_is_counted(self):
        Server(self)
        value, err = self.bench("--rate", "100", "--seconds", "0.5", "--clients", "1", "--subscribers", "2", status=PARTIAL)
        # 3 and 7 never come; 10 does, behind 11
        self.assertEqual((value["lost"], value["disordered"], value["unanswered"]), (4, 2, 0))
        self.assertEqual(value["latency"]["count"], 2 * 50)
        self.assertIn("4 messages were answered and not delivered, 2 came out of order", err)
        self.assertEqual((value["place"]["version"], value["place"]["shards"], value["place"]["reactor"]), ("7.7.7", 5, "none"))

    def test_a_loss_at_the_end_is_one(self):
        server = Server(self)
        server.n = -57  # the third is the last
        value, _ = self.bench("--rate", "100", "--seconds", "0.5", "--clients", "1", "--subscribers", "1", status=PARTIAL)
        self.assertEqual((value["lost"], value["disordered"]), (1, 0))

    def test_a_refusal_ends_it(self):
        Server(self, deny=True)
        status, out, err = self.ctl("bench", "-y", "--seconds", "5")
        self.assertEqual((status, out), (DENIED, b""))
        self.assertIn("the broker answered: NOPERM not to this channel", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
