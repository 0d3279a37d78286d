#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What pub says when nobody listens, and the times of sub, against a live broker."""

import datetime
import json
import os
import pty
import re
import select
import subprocess
import unittest

from ctlcase import BROKERCTL, DEADLINE, OK, TIMEOUT, USAGE, Case


class Guess(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def pub(self, *args):
        """Runs pub with a terminal as its standard error. Return: status, stdout, what the terminal got."""
        master, slave = pty.openpty()
        self.cleanup.callback(os.close, master)
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "pub", *args], stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        self.cleanup.callback(self.stop, process)
        said = b""
        while True:
            self.assertTrue(select.select([master], [], [], DEADLINE)[0], said)
            try:
                said += os.read(master, 10000)
            except OSError:  # the other end is closed
                break
        return process.wait(DEADLINE), process.stdout.read(), said.decode().replace("\r\n", "\n")

    def test_the_nearest_channel_is_named_with_its_subscribers(self):
        self.start_sub("orders.new", "far-away", subscribed=2)
        nobody = 'brokerctl: nobody subscribes to "orders.nwe": no receiver\n'
        self.assertEqual(self.pub("orders.nwe", "x"), (OK, b"0\n", nobody + '  did you mean "orders.new" (1 subscriber)?\n'))
        self.start_sub("orders.new")
        guess = '  did you mean "orders.new" (2 subscribers)?\n'
        self.assertEqual(self.pub("--require-receivers", "orders.nwe", "x"), (TIMEOUT, b"0\n", nobody + guess))

    def test_nothing_is_guessed_where_nothing_is_near(self):
        self.start_sub("orders.new")
        self.assertEqual(self.pub("quite-another", "x")[2],
                         'brokerctl: nobody subscribes to "quite-another": no receiver\n')
        self.assertEqual(self.pub("-q", "orders.nwe", "x"), (OK, b"0\n", ""))
        self.start_sub("orders.nww")  # as near as the other
        self.assertNotIn("did you mean", self.pub("orders.nw", "x")[2])

    def test_a_script_is_not_kept_waiting(self):
        self.start_sub("orders.new")
        self.assertEqual(self.ctl("pub", "orders.nwe", "x")[2],
                         'brokerctl: nobody subscribes to "orders.nwe": no receiver\n')

    def test_a_name_cannot_drive_the_terminal(self):
        self.start_sub("red\033[31m")
        self.assertIn('did you mean "red\\x1b[31m" (1 subscriber)?', self.pub("red\033[31", "x")[2])

    def test_with_a_receiver_nothing_is_said(self):
        self.start_sub("orders.new")
        self.assertEqual(self.pub("orders.new", "x"), (OK, b"1\n", ""))


class Time(Case):
    RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"

    def setUp(self):
        super().setUp()
        self.start_brokerd()
        self.cleanup.callback(os.environ.__setitem__, "TZ", os.environ.get("TZ", ""))

    def line(self, *args, zone):
        os.environ["TZ"] = zone
        _, lines, _ = self.start_sub("--time", *args, "news")
        before = datetime.datetime.now(datetime.timezone.utc)
        self.assertEqual(self.ctl("pub", "news", "a\tb")[0], OK)
        return lines.next().decode(), before, datetime.datetime.now(datetime.timezone.utc)

    def check(self, text, before, after):
        when = datetime.datetime.fromisoformat(text)
        millisecond = datetime.timedelta(milliseconds=1)
        self.assertTrue(before - millisecond <= when <= after, text)

    def test_the_time_stands_before_the_channel(self):
        line, before, after = self.line(zone="UTC")
        match = re.fullmatch(rf"({self.RFC3339})\tnews\ta\\tb\n", line)
        self.assertTrue(match, line)
        self.assertTrue(match[1].endswith("+00:00"))
        self.check(match[1], before, after)

    def test_it_is_local_time(self):
        for zone, end in ("XXX-05:30", "+05:30"), ("XXX08", "-08:00"):
            line, before, after = self.line(zone=zone)
            self.assertTrue(line.split("\t")[0].endswith(end), line)
            self.check(line.split("\t")[0], before, after)

    def test_json_has_it_too(self):
        line, before, after = self.line("--json", zone="XXX-01")
        value = json.loads(line)
        self.assertRegex(value["time"], rf"^{self.RFC3339}$")
        self.check(value["time"], before, after)
        self.assertAlmostEqual(datetime.datetime.fromisoformat(value["time"]).timestamp(), value["time_seconds"], delta=0.002)

    def test_without_the_option_nothing_has_changed(self):
        _, lines, _ = self.start_sub("news")
        _, values, _ = self.start_sub("-j", "news")
        self.assertEqual(self.ctl("pub", "news", "x")[0], OK)
        self.assertEqual(lines.next(), b"news\tx\n")
        self.assertEqual(set(json.loads(values.next())), {"schema", "time_seconds", "channel", "payload"})

    def test_it_does_not_go_with_bytes(self):
        self.assert_fails(self.ctl("sub", "--raw", "--time", "x"), USAGE, "--time does not go with it")


if __name__ == "__main__":
    unittest.main(verbosity=2)
