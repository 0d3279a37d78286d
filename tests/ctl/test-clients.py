#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl clients and kill, against a broker with clients of several kinds."""

import json
import os
import pty
import pwd
import select
import shutil
import socket
import subprocess
import tempfile
import unittest

from ctlcase import BROKERCTL, DEADLINE, FAILED, NOBODY, OK, PARTIAL, USAGE, Case

ME = pwd.getpwuid(os.getuid()).pw_name


class Clients(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def connect(self, name=None, *channels):
        """A client with a name. Return: its socket and its id."""
        sock = socket.socket(socket.AF_UNIX)
        self.cleanup.callback(sock.close)
        sock.settimeout(DEADLINE)
        sock.connect(self.path)
        file = sock.makefile("rb")
        self.cleanup.callback(file.close)
        sock.sendall(b"CLIENT ID\r\n" + (b"CLIENT SETNAME %s\r\n" % name.encode() if name else b"PING\r\n"))
        number = int(file.readline()[1:])
        file.readline()
        for channel in channels:
            sock.sendall(b"SUBSCRIBE %s\r\n" % channel.encode())
            for _ in range(6):
                file.readline()
        return sock, number

    def clients(self, *args):
        status, out, err = self.ctl("clients", "--json", *args)
        self.assertEqual((status, err), (OK, ""))
        value = json.loads(out)
        self.assertEqual(value["schema"], "brokerctl.clients/1")
        return [client for client in value["clients"] if client["cmd"] != "client|list"]

    def ended(self, sock):
        return sock.recv(1) == b""

    def test_each_is_a_row(self):
        _, one = self.connect("sensor", "a", "b")
        _, two = self.connect()
        status, out, err = self.ctl("clients")
        self.assertEqual((status, err), (OK, ""))
        head, *rows = out.decode().splitlines()
        self.assertEqual(head.split(), ["id", "user", "pid", "program", "age", "idle", "subs", "waits", "lost", "name"])
        rows = {row.split()[0]: row.split() for row in rows}
        self.assertEqual(rows[str(one)][1:3], [ME, str(os.getpid())])
        self.assertIn("python", rows[str(one)][3])
        self.assertEqual((rows[str(one)][6:8], rows[str(one)][-1]), (["2", "0"], "sensor"))
        self.assertEqual(rows[str(two)][6], "0")

    def test_wide_has_more(self):
        self.connect("sensor")
        out = self.ctl("clients", "--wide")[1].decode().splitlines()
        self.assertIn("listener", out[0].split())
        self.assertIn(self.path, out[1].split())

    def test_json_has_every_field_and_its_type(self):
        _, number = self.connect("sensor", "a")
        client, = self.clients()
        self.assertEqual({k: client[k] for k in ("id", "name", "sub", "pid", "uid", "multi", "addr")},
                         {"id": number, "name": "sensor", "sub": 1, "pid": os.getpid(), "uid": os.getuid(),
                          "multi": -1, "addr": self.path + ":0"})

    def test_they_are_chosen_and_sorted(self):
        ids = [self.connect(name, *channels)[1] for name, channels in (("b1", "x"), ("b2", "xyz"), ("c1", "xy"))]
        self.assertEqual([c["id"] for c in self.clients("--name", "b*")], ids[:2])
        self.assertEqual([c["id"] for c in self.clients("--sort", "subs")], [ids[1], ids[2], ids[0]])
        self.assertEqual([c["name"] for c in self.clients("--sort=name", "--user", str(os.getuid()))], ["b1", "b2", "c1"])
        self.assertEqual(len(self.clients("--user", ME)), 3)
        self.assertEqual(self.clients("--user", "12345"), [])
        self.assert_fails(self.ctl("clients", "--user", "no-such-user"), USAGE, "there is no user")
        self.assert_fails(self.ctl("clients", "--sort", "wait"), USAGE, 'did you mean "waits"?')

    def test_kill_by_id(self):
        keep, _ = self.connect("keep")
        sock, number = self.connect("go")
        status, out, err = self.ctl("kill", str(number), "--yes")
        self.assertEqual((status, err), (OK, "brokerctl: ended 1 of 1 client\n"))
        self.assertIn(b"go", out)
        self.assertTrue(self.ended(sock))
        keep.sendall(b"PING\r\n")
        self.assertEqual(keep.recv(7), b"+PONG\r\n")

    def test_kill_by_name_and_never_itself(self):
        socks = [self.connect(name)[0] for name in ("job-1", "job-2", "other")]
        self.assertEqual(self.ctl("kill", "--name", "job-*", "-y", "-q")[0], OK)
        self.assertTrue(self.ended(socks[0]) and self.ended(socks[1]))
        self.assertEqual([c["name"] for c in self.clients()], ["other"])
        status, _, err = self.ctl("kill", "--user", ME, "-y")
        self.assertEqual((status, err), (OK, "brokerctl: ended 1 of 1 client\n"))

    def test_dry_run_ends_nobody(self):
        self.connect("job-1")
        status, out, err = self.ctl("kill", "--name", "job-*", "--dry-run")
        self.assertEqual((status, err), (OK, ""))
        self.assertIn(b"job-1", out)
        self.assertEqual(len(self.clients()), 1)

    def test_without_a_terminal_it_does_not_ask(self):
        self.connect("job-1")
        status, out, err = self.ctl("kill", "--name", "job-1")
        self.assertEqual(status, FAILED)
        self.assertIn("say --yes", err)
        self.assertEqual(len(self.clients()), 1)

    def ask(self, answer):
        master, slave = pty.openpty()
        self.cleanup.callback(os.close, master)
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "kill", "--name", "job-1"], stdin=slave, stderr=slave,
                                   stdout=subprocess.PIPE)
        os.close(slave)
        self.cleanup.callback(self.stop, process)
        asked = b""
        while b"[y/N]" not in asked:
            self.assertTrue(select.select([master], [], [], DEADLINE)[0], asked)
            asked += os.read(master, 1000)
        self.assertIn(b"End 1 client? [y/N]", asked)
        os.write(master, answer)
        return process.wait(DEADLINE)

    def test_on_a_terminal_it_asks(self):
        self.connect("job-1")
        self.assertEqual(self.ask(b"n\n"), FAILED)
        self.assertEqual(len(self.clients()), 1)
        self.assertEqual(self.ask(b"y\n"), OK)
        self.assertEqual(self.clients(), [])

    def test_who_is_not_there_is_told(self):
        _, number = self.connect()
        status, _, err = self.ctl("kill", str(number), "4242", "-y")
        self.assertEqual(status, PARTIAL)
        self.assertIn("no client that fits has the id 4242", err)
        self.assert_fails(self.ctl("kill", "4242", "-y"), FAILED, "no client")
        self.assert_fails(self.ctl("kill"), USAGE, "say whom to end")
        self.assert_fails(self.ctl("kill", "one"), USAGE, '"one" is no client\'s id')

    def test_another_user_sees_and_ends_only_the_own(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        os.chmod(home, 0o755)
        os.chmod(self.dir, 0o755)
        nobody = {"program": program, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        _, number = self.connect("of-root")
        status, out, _ = self.ctl("clients", **nobody)
        self.assertEqual(status, OK)
        self.assertNotIn(b"of-root", out)
        self.assert_fails(self.ctl("kill", str(number), "-y", **nobody), FAILED, f"has the id {number}")
        self.assertEqual(len(self.clients()), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
