#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl top, shards and latency: figures against a load of known rate, lines, JSON, and the screen through tmux.

With the argument "load" it is that load: messages of 100 bytes at a rate, on channels load.0 and load.1 by turns, until
its standard input ends.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from ctlcase import BROKERCTL, CONNECT, DEADLINE, DENIED, FAILED, NOBODY, OK, TIMEOUT, USAGE, Case

RATE = 1500
PAYLOAD = b"x" * 100
REQUEST = len(b"PUBLISH load.0 \r\n") + len(PAYLOAD)


def load(path):
    """Behind its time it sends what is due, so the rate holds over any time that is long enough."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"CLIENT SETNAME loader\r\n")
        start, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - start) * RATE)
            sock.sendall(b"".join(b"PUBLISH load.%d %s\r\n" % (n % 2, PAYLOAD) for n in range(sent, due)))
            sent = due
            ready = select.select([sock, sys.stdin], [], [], 0.002)[0]
            if sys.stdin in ready:
                return
            if sock in ready:
                sock.recv(65536)


class Top(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()
        self.admin = f"{self.dir}/admin.sock"

    def connect(self, *requests):
        """A client that said these, and whose last one was answered."""
        sock = socket.socket(socket.AF_UNIX)
        self.cleanup.callback(sock.close)
        sock.settimeout(DEADLINE)
        sock.connect(self.path)
        for request in requests:
            sock.sendall(request.encode() + b"\r\n")
            sock.recv(1000)
        return sock

    def start_load(self):
        """Two subscribers that read, one that does not, and the publisher."""
        readers = [subprocess.Popen([BROKERCTL, "-q", "-s", self.path, "sub", "--raw", channel], stdout=subprocess.DEVNULL)
                   for channel in ("load.0", "load.1")]
        for reader in readers:
            self.cleanup.callback(self.stop, reader)
        self.sleeper = self.connect("CLIENT SETNAME sleeper", "SUBSCRIBE load.1")
        while sum(shard["subscriptions"] for shard in self.status()["shards"]) != 3:
            pass
        process = subprocess.Popen([sys.executable, "-B", __file__, "load", self.path], stdin=subprocess.PIPE)
        self.cleanup.callback(self.stop, process)
        return process

    def json(self, *args):
        status, out, err = self.ctl("-s", self.admin, *args, socket_path=False)
        self.assertEqual((status, err), (OK, ""))
        return [json.loads(line) for line in out.splitlines()]

    def status(self):
        return self.json("status", "--json")[0]

    def assert_near(self, got, want, what):
        self.assertAlmostEqual(got / want, 1, delta=0.02, msg=what)


class Figures(Top):
    def test_rates_are_those_of_the_load(self):
        self.start_load()
        looks = self.json("top", "--json", "-d", "2", "-n", "4")[1:]  # the first may have seen it begin
        seconds = sum(look["interval_seconds"] for look in looks)

        def mean(rates):
            return sum(look["interval_seconds"] * rates(look) for look in looks) / seconds

        self.assertEqual([look["schema"] for look in looks], ["brokerctl.top/1"] * 3)
        self.assert_near(mean(lambda look: look["total"]["messages_in_per_second"]), RATE, looks)
        self.assert_near(mean(lambda look: look["total"]["messages_out_per_second"]), 1.5 * RATE, looks)
        self.assert_near(mean(lambda look: look["total"]["bytes_in_per_second"]), REQUEST * RATE, looks)
        for name in ("messages_in_per_second", "messages_out_per_second", "cpu_share"):
            self.assertAlmostEqual(sum(shard[name] for shard in looks[-1]["shards"]), looks[-1]["total"][name], delta=0.01)
        channels = {channel["name"]: channel for channel in looks[-1]["channels"]}
        for name in ("load.0", "load.1"):
            self.assert_near(channels[name]["messages_per_second"], RATE / 2, channels)
            self.assert_near(channels[name]["bytes_per_second"], RATE / 2 * len(PAYLOAD), channels)
        self.assertEqual([channels[name]["subscribers"] for name in ("load.0", "load.1")], [1, 2])
        publisher = looks[-1]["publishers"][0]
        self.assertEqual(publisher["name"], "loader")
        self.assert_near(publisher["messages_per_second"], RATE, publisher)
        waiting = looks[-1]["waiting"][0]
        self.assertEqual(waiting["name"], "sleeper")
        self.assertGreater(waiting["output_bytes"], 0)
        self.assertGreater(waiting["unread_bytes"], 0)
        self.assertEqual(waiting["pid"], os.getpid())

    def test_shards_are_those_of_the_load(self):
        self.start_load()
        self.json("shards", "--json")
        value, = self.json("shards", "--json", "-i", "4")
        self.assertEqual((value["schema"], len(value["shards"])), ("brokerctl.shards/1", 3))
        self.assertAlmostEqual(value["interval_seconds"], 4, delta=0.2)
        self.assert_near(sum(shard["messages_in_per_second"] for shard in value["shards"]), RATE, value)
        self.assert_near(sum(shard["messages_out_per_second"] for shard in value["shards"]), 1.5 * RATE, value)
        for shard in value["shards"]:
            self.assertGreater(shard["sleep_share"] + shard["spin_share"], 0.2)
            self.assertLess(shard["sleep_share"] + shard["spin_share"], 1.001)
            self.assertLess(shard["ring_used"], shard["ring_slots"])
        sent, taken = (sum(shard[name] for shard in value["shards"])
                       for name in ("mesh_sent_per_second", "mesh_received_per_second"))
        self.assert_near(sent, taken, value)

    def test_shards_as_a_table(self):
        status, out, err = self.ctl("-s", self.admin, "shards", "--once", socket_path=False)
        head, *rows = out.decode().splitlines()
        self.assertEqual((status, err), (OK, ""))
        self.assertEqual(head.split()[:5], ["shard", "clients", "cpu%", "spin%", "sleep%"])
        self.assertEqual([row.split()[0] for row in rows], ["0", "1", "2", "total"])
        self.assertEqual([len(row.split()) for row in rows], [len(head.split())] * 4)
        self.assertEqual(rows[-1].split()[1], "1")  # itself

    def test_latency(self):
        self.start_load()
        self.json("latency", "--json", "--reset")
        self.json("shards", "--json", "-i", "2")
        value, = self.json("latency", "--json")
        self.assertEqual(value["schema"], "brokerctl.latency/1")
        self.assertLess(value["all"]["since_seconds"], DEADLINE)
        for kind in ("turn", "receive_to_write"):
            of = value["all"][kind]
            self.assertEqual(of["count"], sum(shard[kind]["count"] for shard in value["shards"]))
            self.assertLess(0, of["p50_ns"])
            values = [of[name] for name in ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")]
            self.assertEqual(values, sorted(values))
        # no turn of the publisher's shard takes more than one or two of its messages, but while it was held up
        self.assertGreater(value["all"]["receive_to_write"]["count"], 100)
        status, out, err = self.ctl("-s", self.admin, "latency", socket_path=False)
        out = out.decode()
        self.assertEqual((status, err), (OK, ""))
        self.assertEqual(len(re.findall(r"(?m)^ *(?:[0-2]|all)  (?:turn|receive-to-write) .*(?:s|-)$", out)), 8, out)
        self.assertRegex(out, r"sleeper  the reader's: it has not read what its socket holds\n")
        self.assertIn("waiting between shards: 0 bytes\n", out)

    def test_lines(self):
        status, out, err = self.ctl("-s", self.admin, "top", "-n", "2", socket_path=False)
        lines = out.decode().splitlines()
        self.assertEqual((status, err, len(lines)), (OK, "", 3), out)
        self.assertEqual(lines[0].split(), ["time", "clients", "in/s", "out/s", "inB/s", "outB/s", "drops/s", "slow", "queued",
                                            "between", "cpu%"])
        for line in lines[1:]:
            self.assertRegex(line, r"^\d\d:\d\d:\d\d( +[0-9.]+[KMG]?){10}$")
            self.assertEqual(line.split()[1], "1")

    def test_lines_come_as_they_are_due(self):
        process = subprocess.Popen([BROKERCTL, "-s", self.admin, "top", "--batch"], stdout=subprocess.PIPE)
        self.cleanup.callback(self.stop, process)
        self.assertTrue(process.stdout.readline().startswith(b"time "))
        self.assertRegex(process.stdout.readline(), rb"^\d\d:")
        self.broker.terminate()
        rest = process.stdout.read()
        self.assertLess(len(rest.splitlines()), 3)
        self.assertEqual(process.wait(DEADLINE), CONNECT)

    def test_wrong_words(self):
        self.assert_fails(self.ctl("top", "-d", "0.5"), USAGE, "once a second")
        self.assert_fails(self.ctl("top", "now"), USAGE)
        self.assert_fails(self.ctl("shards", "-b"), USAGE, "--batch does not go")

    def test_only_for_administrators(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        os.chmod(home, 0o755)
        os.chmod(self.dir, 0o755)
        nobody = {"program": program, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        for verb in ("top", "shards", "latency"):
            self.assert_fails(self.ctl(verb, **nobody), DENIED, "NOPERM")

    def test_a_broker_that_says_nothing(self):
        with socket.socket(socket.AF_UNIX) as silent:
            path = os.path.join(self.dir, "silent")
            silent.bind(path)
            silent.listen()
            self.assert_fails(self.ctl("-t", "0.3", "-s", path, "top", socket_path=False), TIMEOUT, "no answer")

    def test_another_server(self):
        self.path = os.path.join(self.dir, "redis")
        self.start_redis()
        for verb in ("top", "shards", "latency"):
            self.assert_fails(self.ctl(verb), FAILED, "unknown command")


@unittest.skipUnless(shutil.which("tmux"), "tmux is missing")
class Screen(Top):
    def tmux(self, *args):
        environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR")} | {"LC_ALL": "C.UTF-8"}
        done = subprocess.run(["tmux", "-S", os.path.join(self.dir, "tmux"), "-f", self.config, *args], check=True,
                              stdout=subprocess.PIPE, timeout=DEADLINE, env=environment)
        return done.stdout.decode()

    def start(self, width=80, height=24, before="", after="cat"):
        """What comes before and after it on the same terminal tells how it left that."""
        self.config = os.path.join(self.dir, "tmux.conf")
        with open(self.config, "w") as file:
            file.write("set -g status off\nset -g default-terminal screen\nset -g remain-on-exit on\n")
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height),
                  f"echo first line; {before} {BROKERCTL} -s {self.admin} top; echo status $?; exec {after}")
        self.cleanup.callback(self.tmux, "kill-server")

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def until(self, *texts, without=()):
        """Waits until the screen has all of the texts, which are regular expressions. Return: the screen."""
        end = time.monotonic() + DEADLINE
        while True:
            screen = self.screen()
            if "built without ncurses" in screen:
                self.skipTest("brokerctl was built without its screen")
            if all(re.search(text, screen) for text in texts) and not any(re.search(text, screen) for text in without):
                return screen
            self.assertLess(time.monotonic(), end, f"{texts} in:\n{screen}")
            time.sleep(0.05)

    def pid(self):
        """Of brokerctl, the child of the terminal's shell."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children") as file:
            return int(file.read().split()[0])

    def check_size(self, width, height):
        self.start_load()
        self.start(width, height)
        screen = self.until(r"in 1[45]\d\d msg/s", r"CHANNELS 2 of 2", r"load\.0 +1 ", r"loader .* 1[45]\d\d ", r">?sleeper",
                            r"slow clients: 1,", r"\? help")
        lines = screen.splitlines()
        self.assertEqual(len(lines), height)
        self.assertRegex(lines[0], r"^brokerd \S+, pid \d+, up 00:00:\d\d, clients 5 of \d+$")
        self.assertEqual(len(re.findall(r"(?m)^shard [0-2]  \[[|: ]+\] +\d+% in ", screen)), 3)
        self.assertRegex(screen, r"(?m)queued \d+\S*$")
        self.assertTrue(lines[-1].startswith("? help"))
        self.assertTrue(all(len(line) <= width for line in lines))
        for title in ("CHANNELS", "PUBLISHERS", "SLOWEST"):
            self.assertEqual(len(next(line for line in lines if line.startswith(title)).rstrip()), width)
        return lines

    def test_80_by_24(self):
        self.check_size(80, 24)

    def test_200_by_50(self):
        lines = self.check_size(200, 50)
        self.assertGreater(next(i for i, line in enumerate(lines) if line.startswith("SLOWEST")), 30)

    def test_it_leaves_as_it_came(self):
        self.start()
        self.until(r"CHANNELS")
        self.keys("q")
        screen = self.until(r"status 0")
        self.assertEqual(screen.split("\n")[:2], ["first line", "status 0"])
        self.keys("x", "Enter")
        self.until(r"(?s)status 0\nx\n")  # what is typed is seen again

    def test_sort_and_filter(self):
        for name in ("aaa", "bbb", "ccc"):
            self.connect(f"SUBSCRIBE {name}", f"CLIENT SETNAME {name}")
        for _ in range(3):
            self.connect("SUBSCRIBE bbb")
        self.start()
        self.until(r"SLOWEST 0 of 0", r"CHANNELS 3 of 3", r"msg/s\*", r"queued\*")
        self.keys("Tab")  # from the slowest to the channels
        self.keys("o", "o")
        self.until(r"subs\*", r"(?s)bbb .*aaa .*ccc ")
        self.keys(">")
        self.until(r"(?s)aaa .*bbb .*ccc ", without=(r"subs\*",))
        self.keys("<")
        self.until(r"subs\*")
        self.keys("/", "C", "c")
        self.until(r"(?m)^/Cc$", r"CHANNELS 1 of 3", without=(r"aaa", r"bbb"))
        self.keys("BSpace", "BSpace", "z")
        self.until(r"CHANNELS 0 of 3")
        self.keys("BSpace", "b", "Enter")
        self.until(r'only names with "b"; / changes that', r"CHANNELS 1 of 3")
        self.keys("/", "Escape")
        self.until(r"CHANNELS 3 of 3", r"\? help")

    def test_help_and_pause(self):
        self.start()
        self.until(r"up 00:00:0[1-9]")
        self.keys("?")
        self.until(r"Any key goes back", r"end the chosen client", without=(r"CHANNELS",))
        self.keys("x")
        self.until(r"CHANNELS")
        self.keys("p")
        paused = self.until(r"PAUSED")
        commands = self.commands()
        self.json("shards", "--json", "-i", "2.5")  # two questions, and time for those of the screen
        self.assertEqual(self.commands(), commands + 3)
        self.keys("Up")
        self.assertEqual(self.until(r"PAUSED").splitlines()[:4], paused.splitlines()[:4])
        self.keys("p")
        self.until(r"brokerd", without=(r"PAUSED",))

    def commands(self):
        return sum(shard["commands"] for shard in self.status()["shards"])

    def test_a_client_is_ended_after_a_question(self):
        self.start_load()
        self.connect("CLIENT SETNAME bystander")
        self.start()
        self.until(r">sleeper")
        self.keys("k")
        self.until(r"End client \d+ \(sleeper\)\? \[y/N\]")
        self.keys("n")
        self.until(r"\? help", r">sleeper", without=(r"End client",))
        self.keys("k")
        self.until(r"End client \d+ \(sleeper\)\?")
        self.keys("Enter")  # no answer is no
        self.until(r">sleeper", r"\? help")
        self.keys("k")
        number = re.search(r"End client (\d+) \(sleeper\)", self.until(r"End client \d+ \(sleeper\)\?"))[1]
        self.keys("y")
        self.until(rf"client {number} was ended", without=(r">sleeper",))
        self.sleeper.settimeout(DEADLINE)
        with contextlib.suppress(ConnectionResetError):
            while self.sleeper.recv(1 << 20):
                pass
        names = [client["name"] for client in self.json("clients", "--json")[0]["clients"]]
        self.assertIn("bystander", names)
        self.assertIn("loader", names)
        self.keys("k")
        self.until(r"choose a client first|End client")

    def test_the_chosen_client_stays_chosen(self):
        self.start_load()
        self.start()
        self.keys("Tab", "Tab")
        self.until(r">loader")
        other = self.connect("CLIENT SETNAME another")
        for _ in range(3):
            for _ in range(40 * RATE // 10):
                other.sendall(b"PUBLISH other x\r\n")
        self.until(r"(?s) another .*>loader")  # which publishes less now
        self.keys("k")
        self.until(r"End client \d+ \(loader\)")

    def test_it_follows_the_size_of_the_terminal(self):
        self.start_load()
        self.start()
        self.until(r">sleeper")
        for width, height in ((200, 50), (100, 30), (20, 5), (3, 1), (80, 24)):
            self.tmux("resize-window", "-x", str(width), "-y", str(height))
            if height > 10:
                self.until(r"^brokerd", r"\? help", r">sleeper", rf"(?m)^SLOWEST.{{{width - 11}}}idle$")
                self.assertEqual(len(self.screen().splitlines()), height)
        self.keys("q")
        self.until(r"status 0")

    def check_signal(self, number):
        self.start()
        self.until(r"CHANNELS")
        os.kill(self.pid(), number)
        screen = self.until(rf"status {128 + number}")
        self.assertEqual(screen.split("\n")[0], "first line")
        self.keys("x", "Enter")
        self.until(rf"(?s)status {128 + number}\nx\n")

    def test_ended_by_a_signal_it_leaves_the_terminal_in_order(self):
        self.check_signal(signal.SIGTERM)

    def test_interrupted_it_does_so_too(self):
        self.start(before="trap : INT;")
        self.until(r"CHANNELS")
        self.keys("C-c")
        screen = self.until(rf"status {128 + signal.SIGINT}")
        self.assertEqual(screen.split("\n")[0], "first line")

    def test_a_broker_that_goes_is_told_behind_the_screen(self):
        self.start()
        self.until(r"CHANNELS")
        self.broker.terminate()
        screen = self.until(rf"status {CONNECT}")
        self.assertRegex(screen.replace("\n", ""), r"^first linebrokerctl: lost the connection to .*: the broker closed it")

    def test_a_terminal_without_a_cursor_gets_lines(self):
        self.start(before="TERM=dumb")
        screen = self.until(r"(?m)^\d\d:\d\d:\d\d +1 ")
        self.assertRegex(screen, r"^first line\nbrokerctl: this terminal can show no screen")
        self.assertIn("time     clients", screen)

    def test_it_asks_little(self):
        self.start()
        self.until(r"up 00:00:0[2-9]")
        first, begin = self.commands(), time.monotonic()
        self.until(r"up 00:00:0[7-9]")
        asked = self.commands() - first - 1
        self.assertLessEqual(asked, 2 * (time.monotonic() - begin) + 2)
        self.assertGreater(asked, 5)


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        load(sys.argv[2])
    else:
        unittest.main(verbosity=2)
