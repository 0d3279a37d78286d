#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl --color: where there are colours, and that no word depends on them."""

import os
import pty
import re
import select
import subprocess
import unittest

from ctlcase import BROKERCTL, DEADLINE, OK, USAGE, Case

COLOUR = re.compile(rb"\033\[[0-9;]*m")


class Colour(Case):
    def setUp(self):
        super().setUp()
        self.start_fake("broker")

    def terminal(self, *args, env=()):
        """Return: what is written to a terminal."""
        master, slave = pty.openpty()
        self.cleanup.callback(os.close, master)
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
        environment |= {"TERM": "xterm"} | dict(env)
        process = subprocess.Popen([BROKERCTL, "-s", self.path, *args], stdout=slave, env=environment)
        os.close(slave)
        said = b""
        while True:
            self.assertTrue(select.select([master], [], [], DEADLINE)[0], said)
            try:
                said += os.read(master, 10000)
            except OSError:  # the other end is closed
                break
        self.assertEqual(process.wait(DEADLINE), OK)
        return said.replace(b"\r\n", b"\n")

    def plain(self, *args, env=()):
        status, out, err = self.ctl(*args, env=env)
        self.assertEqual((status, err), (OK, ""))
        return out

    def test_a_pipe_has_none_and_a_terminal_has_some(self):
        plain = self.plain("status", env={"TERM": "xterm"})
        self.assertNotIn(b"\033", plain)
        self.assertIn(b"\033[1;33mwarning:\033[0m accepting is paused", self.terminal("status"))

    def test_the_environment_may_forbid_it(self):
        for env in {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}:
            self.assertNotIn(b"\033", self.terminal("status", env=env))
        self.assertIn(b"\033", self.terminal("status", env={"NO_COLOR": ""}))

    def test_the_option_decides(self):
        self.assertIn(b"\033", self.plain("status", "--color=always", env={"NO_COLOR": "1", "TERM": "dumb"}))
        self.assertNotIn(b"\033", self.terminal("status", "--color", "never"))
        self.assertIn(b"\033", self.terminal("--color=auto", "status"))
        self.assertNotIn(b"\033", self.terminal("--color=auto", "status", env={"NO_COLOR": "yes"}))
        self.assert_fails(self.ctl("status", "--color=blue"), USAGE, 'got "blue", expected one of auto always never')

    def test_the_words_are_the_same(self):
        plain, coloured = self.plain("status"), self.plain("status", "--color=always")
        self.assertEqual(COLOUR.sub(b"", coloured), plain)
        self.assertEqual(self.plain("status", "--json", "--color=always"), self.plain("status", "--json"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
