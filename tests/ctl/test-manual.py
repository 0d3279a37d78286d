#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every example of brokerctl(1) is run as it stands there, in a directory of its own against a live broker.

A line that begins with "$ " is a command; a display without such lines is a script. Each has a test here, by its text:
one that is new in the manual fails until it has one, and so does a test whose example is gone.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import unittest

from ctlcase import BROKERCTL, DEADLINE, FAILED, HERE, OK, TIMEOUT, Case, Lines

MANUAL = HERE.parent.parent / "man/brokerctl.1"
ESCAPES = {r"\e": "\\", r"\&": "", r"\-": "-", r"\(aq": "'", r"\(dq": '"'}


def examples(manual):
    """Return: the commands and scripts of the section EXAMPLES, without mdoc's escapes."""
    section = re.search(r"(?ms)^\.Sh EXAMPLES\n(.*?)^\.Sh ", manual)[1]
    found = []
    for display in re.findall(r"(?ms)^\.Bd [^\n]*\n(.*?)^\.Ed$", section):
        text = re.sub(r"\\(?:\(..|.)", lambda match: ESCAPES[match[0]], display)
        commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        found += commands or [text.strip()]
    return found


TRIED = {}


def example(text):
    """Says which example a test tries."""
    def enter(test):
        TRIED[text] = test.__name__
        test.example = text
        return test
    return enter


class Examples(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()
        self.env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {
            "PATH": os.path.dirname(BROKERCTL) + ":" + os.environ["PATH"], "BROKERCTL_SOCKET": f"{self.dir}/admin.sock"}

    def sandbox(self, name="here"):
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        return path

    def start(self, command, where="here", channels=0, patterns=0):
        """Starts it, and waits until the broker has these subscriptions. Return: the process, its lines."""
        process = subprocess.Popen(["sh", "-c", command], cwd=self.sandbox(where), env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        self.cleanup.callback(self.end, process)
        while self.subscribed() != [channels, patterns]:
            self.assertIsNone(process.poll(), command)
        return process, Lines(process.stdout)

    def end(self, process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(DEADLINE)

    def subscribed(self):
        value = json.loads(self.ctl("-s", f"{self.dir}/admin.sock", "status", "--json")[1])
        return [max(shard[name] for shard in value["shards"]) for name in ("channels", "patterns")]

    def run_to_end(self, command, where="here", status=OK):
        """Return: what it writes to standard output."""
        done = subprocess.run(["sh", "-c", command], cwd=self.sandbox(where), env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    def pub(self, channel, message):
        self.assertEqual(self.ctl("pub", "--require-receivers", channel, message)[0], OK)

    def test_each_example_is_tried(self):
        found = examples(MANUAL.read_text())
        self.assertGreaterEqual(len(found), 8)
        self.assertEqual(len(set(found)), len(found))
        self.assertEqual(sorted(TRIED), sorted(found))

    def connect(self, name):
        sock = socket.socket(socket.AF_UNIX)
        self.cleanup.callback(sock.close)
        sock.settimeout(DEADLINE)
        sock.connect(self.path)
        file = sock.makefile("rb")
        self.cleanup.callback(file.close)
        sock.sendall(b"CLIENT SETNAME %s\r\nCLIENT ID\r\n" % name)
        file.readline()
        return sock, int(file.readline()[1:])

    @example("brokerctl channels --sort rate")
    def test_channels(self):
        self.start("brokerctl sub news", channels=1)
        self.assertIn(b"\nnews  ", self.run_to_end(self.test_channels.example))

    @example("brokerctl clients --name panel")
    def test_clients(self):
        self.connect(b"panel")
        self.assertIn(b" panel\n", self.run_to_end(self.test_clients.example))

    @example("brokerctl client 17")
    def test_a_client(self):
        self.run_to_end(self.test_a_client.example, status=FAILED)
        while (one := self.connect(b"panel"))[1] < 17:
            one[0].close()
        self.assertIn(b"17 panel\n", self.run_to_end(self.test_a_client.example))

    @example("brokerctl top --batch -d 60 -n 60 > hour.txt")
    def test_an_hour(self):
        self.run_to_end(self.test_an_hour.example.replace("60", "1", 1).replace("60", "2", 1))
        self.assertEqual(len(pathlib.Path(self.sandbox(), "hour.txt").read_text().splitlines()), 3)

    @example("brokerctl sub news")
    def test_sub(self):
        _, lines = self.start(self.test_sub.example, channels=1)
        self.pub("news", "first")
        self.assertEqual(lines.next(), b"news\tfirst\n")
        self.assertEqual(self.run_to_end(self.test_pub.example), b"1\n")
        self.assertEqual(lines.next(), b"news\thello, world\n")

    @example("brokerctl pub news 'hello, world'")
    def test_pub(self):
        self.assertEqual(self.run_to_end(self.test_pub.example), b"0\n")

    @example("brokerctl pub --require-receivers images < picture.png")
    def test_a_file(self):
        picture = bytes(range(256)) * 50
        pathlib.Path(self.sandbox("from"), "picture.png").write_bytes(picture)
        self.assertEqual(self.run_to_end(self.test_a_file.example, "from", TIMEOUT), b"0\n")
        process, _ = self.start(self.test_the_next_message.example, "to", channels=1)
        self.assertEqual(self.run_to_end(self.test_a_file.example, "from"), b"1\n")
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(pathlib.Path(self.sandbox("to"), "picture.png").read_bytes(), picture)

    @example("brokerctl sub --raw -n 1 images > picture.png")
    def test_the_next_message(self):
        process, _ = self.start(self.test_the_next_message.example, channels=1)
        self.pub("images", "one")
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(pathlib.Path(self.sandbox(), "picture.png").read_bytes(), b"one")

    @example("""brokerctl -q sub -p 'jobs.*' |
while IFS="$(printf '\\t')" read -r channel message; do
        echo "$channel wants $message"
done""")
    def test_a_script(self):
        _, lines = self.start(self.test_a_script.example, patterns=1)
        self.pub("jobs.print", "two sheets")
        self.assertEqual(lines.next(), b"jobs.print wants two sheets\n")
        self.pub("jobs.x", "")
        self.assertEqual(lines.next(), b"jobs.x wants \n")

    @example("brokerctl status --raw | awk '$1 == \"broker.clients\" { print $2 }'")
    def test_a_number(self):
        self.assertEqual(self.run_to_end(self.test_a_number.example), b"1\n")

    def need_jq(self):
        if not shutil.which("jq"):
            self.skipTest("jq is missing")

    @example("brokerctl status --json | jq .broker.clients")
    def test_a_number_by_jq(self):
        self.need_jq()
        self.assertEqual(self.run_to_end(self.test_a_number_by_jq.example), b"1\n")

    @example("brokerctl sub --json -p 'jobs.*' | jq -r '[.channel, .payload] | @tsv'")
    def test_a_table_by_jq(self):
        self.need_jq()
        _, lines = self.start(self.test_a_table_by_jq.example, patterns=1)
        self.pub("jobs.print", "two\tsheets")
        self.pub("jobs.x", "1")
        self.assertEqual(self.ctl("kill", "--user", str(os.getuid()), "--yes")[0], OK)  # jq writes when its input ends
        self.assertEqual(lines.rest(), b"jobs.print\ttwo\\tsheets\njobs.x\t1\n")

    @example("brokerctl tap 'jobs.*' --size 40")
    def test_tap(self):
        process = subprocess.Popen(["sh", "-c", self.test_tap.example], cwd=self.sandbox(), env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True)
        self.cleanup.callback(self.end, process)
        self.assertEqual(Lines(process.stderr).next(), b"brokerctl: tapping\n")
        self.ctl("pub", "jobs.print", "x" * 50)
        self.assertRegex(Lines(process.stdout).next(), rb"\tjobs.print\t50\t0\tx{40}\.\.\.\n$")

    @example("brokerctl metrics -o brokerd.prom")
    def test_metrics(self):
        self.assertEqual(self.run_to_end(self.test_metrics.example), b"")
        self.assertIn("\nbrokerd_clients 1\n", pathlib.Path(self.sandbox(), "brokerd.prom").read_text())

    @example("brokerctl config reload --dry-run")
    def test_a_dry_run(self):
        with open(f"{self.dir}/broker.yaml", "a", encoding="utf-8") as file:
            file.write("max_clients: 77\n")
        self.assertRegex(self.run_to_end(self.test_a_dry_run.example), rb"\nmax_clients +10000 +77 +now\n")
        self.assertEqual(self.run_to_end(self.test_a_dry_run.example), self.run_to_end(self.test_a_reload.example))
        self.assertEqual(self.run_to_end(self.test_a_dry_run.example), b"")

    @example("brokerctl config reload")
    def test_a_reload(self):
        self.assertEqual(self.run_to_end(self.test_a_reload.example), b"")

    @example("brokerctl explain publish sensor.kitchen --as nobody")
    def test_an_explanation(self):
        self.assertRegex(self.run_to_end(self.test_an_explanation.example),
                         rb'nobody \(uid \d+\) may publish to "sensor.kitchen" by .*: there are no rules, so everybody may\n')

    @example("brokerctl doctor")
    def test_the_doctor(self):
        self.assertIn(b"losses   since the start nothing was lost or refused\n", self.run_to_end(self.test_the_doctor.example))

    @example("brokerctl bench --yes --rate 10000 --seconds 2")
    def test_bench(self):
        self.assertRegex(self.run_to_end(self.test_bench.example), rb"published  \d+ messages/s")

    @example("brokerctl sub --time 'orders.*' -p >> orders.log")
    def test_a_log(self):
        process, _ = self.start(self.test_a_log.example, patterns=1)
        self.pub("orders.new", "4711")
        log = pathlib.Path(self.sandbox(), "orders.log")
        while not log.read_bytes().endswith(b"\n"):
            self.assertIsNone(process.poll())
        self.assertRegex(log.read_text(), r"^\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d\torders.new\t4711\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
