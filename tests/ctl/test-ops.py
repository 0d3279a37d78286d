#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl config, log, drain, explain and doctor, against a live broker: text and JSON, errors and exit codes."""

import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from ctlcase import BROKERCTL, DEADLINE, FAILED, NOBODY, DENIED, OK, TIMEOUT, USAGE, Case

ME = pwd.getpwuid(os.getuid()).pw_name


class Ops(Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()
        self.config = os.path.join(self.dir, "broker.yaml")
        self.text = pathlib.Path(self.config).read_text()
        self.listener, self.path = self.path, f"{self.dir}/admin.sock"

    def write(self, *lines):
        pathlib.Path(self.config).write_text(self.text + "".join(line + "\n" for line in lines))

    def rewrite(self, old, new):
        pathlib.Path(self.config).write_text(self.text.replace(old, new))

    def json(self, schema, *args, status=OK):
        code, out, err = self.ctl(*args, "--json", "-q")
        self.assertEqual(code, status, err)
        value = json.loads(out)
        self.assertEqual(value.pop("schema"), f"brokerctl.{schema}/1")
        self.assertEqual(out.count(b"\n"), 1)
        return value

    def connect(self, path=None):
        sock = socket.socket(socket.AF_UNIX)
        self.cleanup.callback(sock.close)
        sock.settimeout(DEADLINE)
        sock.connect(path or self.listener)
        return sock

    def as_nobody(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        os.chmod(home, 0o755)
        os.chmod(self.dir, 0o755)
        self.path = self.listener
        return {"program": program, "user": NOBODY, "group": NOBODY, "extra_groups": []}


class Config(Ops):
    def test_nothing_differs(self):
        for verb in ("diff", "reload"):
            status, out, err = self.ctl("config", verb)
            self.assertEqual((status, out), (OK, b""))
            self.assertRegex(err, "are the same|nothing changed")
        self.assertEqual(self.json("config-diff", "config", "diff"),
                         {"ok": True, "file": self.config, "changes": [], "errors": []})

    def test_a_change_is_shown_then_made(self):
        self.write("max_clients: 77", "ring_capacity: 64")
        table = [["key", "running", "new", "applies"], ["ring_capacity", "1024", "64", "restart"],
                 ["max_clients", "10000", "77", "now"]]
        for args in (("diff",), ("reload", "--dry-run"), ("diff",), ("reload",)):
            status, out, err = self.ctl("config", *args)
            self.assertEqual((status, err), (OK, ""))
            self.assertEqual([line.split() for line in out.decode().splitlines()], table)
        self.assertEqual(self.json("config-reload", "config", "reload"),
                         {"ok": True, "file": self.config, "errors": [],
                          "changes": [{"key": "ring_capacity", "running": "1024", "new": "64", "applies": "restart"}]})
        self.assertEqual(self.json("status", "status")["broker"]["max_clients"], 77)
        self.assertEqual(self.json("status", "status")["broker"]["reloads"], 2)

    def test_a_long_value_is_cut_in_the_table_only(self):
        channels = '"' + 10 * "channel." + '*"'
        self.write("access:", "  - allow: publish", f"    channels: {channels}")
        cells = self.ctl("config", "diff")[1].decode().splitlines()[1]
        self.assertIn("...", cells)
        self.assertIn(channels, self.json("config-diff", "config", "diff")["changes"][0]["new"])

    def test_a_file_with_errors_is_refused_with_each_of_them(self):
        self.write("max_cleints: 5", "spin: 3")
        errors = [f'{self.config}:7:1: error: unknown key "max_cleints"; did you mean "max_clients"?',
                  f'{self.config}:8:7: error: bad value for "spin": got "3"']
        for args in (("config", "diff"), ("config", "reload"), ("config", "reload", "--dry-run")):
            status, out, err = self.ctl(*args)
            self.assertEqual((status, out), (FAILED, b""))
            lines = err.splitlines()
            self.assertEqual(lines[0], f"brokerctl: refused, and what runs stays as it is: {self.config}")
            self.assertEqual((lines[1], lines[2][:len(errors[1])], len(lines)), (*errors, 3))
            value = self.json("config-diff" if args[-1] != "reload" else "config-reload", *args, status=FAILED)
            self.assertEqual((value["ok"], value["changes"], len(value["errors"])), (False, [], 2))
            self.assertEqual(value["errors"][0], errors[0])
        self.assertEqual(self.json("status", "status")["broker"]["reloads_refused"], 2)

    def test_a_listener_that_cannot_be_had_is_told(self):
        os.mkdir(f"{self.dir}/taken.sock")
        self.rewrite("admin:", f"  - path: {self.dir}/taken.sock\nadmin:")
        self.assertEqual(self.ctl("config", "diff")[0], OK)
        status, _, err = self.ctl("config", "reload")
        self.assertEqual(status, FAILED)
        self.assertIn("taken.sock", err.splitlines()[1])

    def test_show(self):
        status, out, err = self.ctl("config", "show")
        self.assertEqual((status, err), (OK, ""))
        self.assertTrue(out.startswith(b"shards: 3\nreactor: libev\nlisteners:\n"))
        self.assertNotIn(b"max_clients", out)
        status, out, err = self.ctl("config", "show", "--defaults")
        self.assertIn(b"\nmax_clients: 10000\n", out)
        self.assertEqual(self.json("config-show", "config", "show", "--defaults"),
                         {"defaults": True, "yaml": out.decode()})

    def test_what_is_shown_is_a_configuration(self):
        self.write("access:", '  - allow: publish', '    channels: ["a\\\\*", "b\\x01", "\\""]')
        self.assertEqual(self.ctl("config", "reload")[0], OK)
        shown = self.ctl("config", "show", "--defaults")[1]
        pathlib.Path(self.config).write_bytes(shown)
        self.assertEqual(self.ctl("config", "diff")[:2], (OK, b""))

    def test_check_needs_no_broker(self):
        self.broker.kill()
        status, out, err = self.ctl("config", "check", self.config)
        self.assertEqual((status, out.decode(), err), (OK, f"{self.config}: the configuration is valid\n", ""))
        self.assertEqual(self.json("config-check", "config", "check", self.config),
                         {"file": self.config, "ok": True, "errors": []})
        self.write("shard: 5")
        status, out, err = self.ctl("config", "check", self.config)
        self.assertEqual((status, out), (FAILED, b""))
        self.assertIn("    7 | shard: 5\n      | ^~~~~\n", err)
        value = self.json("config-check", "config", "check", self.config, status=FAILED)
        self.assertEqual((value["ok"], value["errors"]),
                         (False, [f'{self.config}:7:1: error: unknown key "shard"; did you mean "shards"?']))

    def test_check_says_when_there_is_no_brokerd(self):
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        for more in ((), ("--json",)):
            if os.path.exists("/usr/local/sbin/brokerd"):
                self.skipTest("a brokerd is installed")
            self.assert_fails(self.ctl("config", "check", self.config, *more, program=program), FAILED, "cannot run")

    def test_words(self):
        self.assert_fails(self.ctl("config"), USAGE, '"config" is no command by itself', '"config reload"')
        self.assert_fails(self.ctl("config", "relaod"), USAGE, 'did you mean "config reload"?')
        self.assert_fails(self.ctl("confg", "reload"), USAGE, 'did you mean "config"?')
        self.assert_fails(self.ctl("config", "diff", "x"), USAGE, "it takes no operands")
        self.assert_fails(self.ctl("config", "diff", "--dry-run"), USAGE, 'does not go with "config diff"')
        self.assertIn(b"Usage: brokerctl [OPTION...] config reload\n", self.ctl("help", "config", "reload")[1])
        self.assertIn(b"Usage: brokerctl [OPTION...] config diff\n", self.ctl("config", "--help", "diff")[1])
        self.assert_fails(self.ctl("help", "ping", "pub"), USAGE, '"ping" is one command')
        self.assert_fails(self.ctl("help", "config"), USAGE, '"config show"')


class Level(Ops):
    def test_until_the_next_reload(self):
        self.assertEqual(self.ctl("log", "debug"), (OK, b"", "brokerctl: the level is debug, until the next reload\n"))
        self.assertEqual(self.json("log", "log", "error"), {"level": "error"})
        self.assertIn(b"level: error", self.ctl("config", "diff")[1])
        self.assertEqual(self.ctl("config", "reload")[0], OK)
        self.assertEqual(self.ctl("config", "diff")[1], b"")

    def test_words(self):
        self.assert_fails(self.ctl("log", "wraning"), USAGE, 'did you mean "warning"?')
        self.assert_fails(self.ctl("log", "loud"), USAGE, "error, warning, notice, info and debug")
        self.assert_fails(self.ctl("log"), USAGE, "needs more")


class Drain(Ops):
    def test_no_new_clients_and_back(self):
        stays = self.connect()
        stays.sendall(b"PING\r\n")
        self.assertEqual(stays.recv(7), b"+PONG\r\n")
        self.assertEqual(self.ctl("drain"), (OK, b"draining, 1 client is left\n", ""))
        self.assertIn(b"-ERR the broker is draining", self.connect().recv(100))
        stays.sendall(b"PING\r\n")
        self.assertEqual(stays.recv(7), b"+PONG\r\n")
        broker = self.json("status", "status")["broker"]
        self.assertEqual([broker[name] for name in ("draining", "drain_left", "rejected_draining")], [1, 1, 1])
        self.assertIn(b"\nwarning: draining: no new clients are let in, 1 are left\n", self.ctl("status")[1])
        self.assertEqual(self.json("drain", "drain"), {"draining": True, "clients": 1})
        self.assertEqual(self.ctl("drain", "--off"), (OK, b"not draining, 1 client is connected\n", ""))
        again = self.connect()
        again.sendall(b"PING\r\n")
        self.assertEqual(again.recv(7), b"+PONG\r\n")

    def test_wait(self):
        stays = self.connect()
        self.assert_fails(self.ctl("drain", "--wait", "-t", "0.3"), TIMEOUT, "1 client is left after 0.3 s")
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "drain", "--wait", "--json"], stdout=subprocess.PIPE)
        self.cleanup.callback(self.stop, process)
        time.sleep(0.1)
        self.assertIsNone(process.poll())
        stays.close()
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(json.loads(process.stdout.read()),
                         {"schema": "brokerctl.drain/1", "draining": True, "clients": 0})

    def test_words(self):
        self.assert_fails(self.ctl("drain", "--off", "--wait"), USAGE, "exclude each other")


class Undrainable(Case):
    def test_without_an_admin_socket(self):
        self.start_brokerd()
        config = pathlib.Path(self.dir, "two.yaml")
        config.write_text(f"shards: 1\nreactor: libev\nlisteners:\n  - path: {self.dir}/two.sock\n")
        broker = subprocess.Popen([os.environ.get("BROKERD", "src/brokerd"), "-c", config], stderr=subprocess.PIPE)
        self.cleanup.callback(lambda: (broker.kill(), broker.wait(DEADLINE), broker.stderr.close()))
        while not broker.stderr.readline().endswith(b"ready\n"):
            pass
        self.path = f"{self.dir}/two.sock"
        self.assert_fails(self.ctl("drain"), FAILED, "only with an admin socket")
        self.assertEqual(self.ctl("ping")[0], OK)
        self.assertEqual(self.ctl("drain", "--off")[0], OK)


class Explain(Ops):
    def setUp(self):
        super().setUp()
        self.write("access:", "  - deny: publish", '    channels: "secret.*"', f"    user: {NOBODY}",
                   "  - allow: admin", "    user: 4242")
        self.assertEqual(self.ctl("config", "reload")[0], OK)

    def test_a_sentence(self):
        status, out, err = self.ctl("explain", "publish", "secret.x", "--as", "nobody")
        self.assertEqual((status, err), (OK, ""))
        self.assertEqual(out.decode(), f'nobody (uid {NOBODY}) may not publish to "secret.x" by {self.listener}: '
                                       f"{self.config}:8: access[0] denies it\n")
        for args, has in ((("publish", "x", "--as", "nobody"), "may publish to \"x\""),
                          (("subscribe", "secret.x", "--as", "nobody"), "may subscribe to"),
                          (("psubscribe", "*", "--as", str(NOBODY)), "may psubscribe the pattern \"*\""),
                          (("admin", "--as", "4242"), "4242 (uid 4242) may administer the broker"),
                          (("admin", "--as", "nobody"), "may not administer"),
                          (("publish", "a\n"), f"{ME} (uid {os.geteuid()}) may publish to \"a\\n\"")):
            self.assertIn(has, self.ctl("explain", *args)[1].decode())

    def test_json(self):
        value = self.json("explain", "explain", "publish", "secret.x", "--as", "nobody", "--listener", "/x")
        self.assertEqual({k: value[k] for k in ("action", "channel", "user", "uid", "listener", "allowed", "rule")},
                         {"action": "publish", "channel": "secret.x", "user": "nobody", "uid": NOBODY,
                          "listener": "/x", "allowed": False, "rule": f"{self.config}:8: access[0]"})
        self.assertIn(pwd.getpwnam("nobody").pw_gid, value["groups"])
        value = self.json("explain", "explain", "admin")
        self.assertEqual((value["channel"], value["allowed"], value["rule"]), (None, True, None))

    def test_it_is_true(self):
        nobody = self.as_nobody()
        self.assert_fails(self.ctl("pub", "secret.x", "1", **nobody), DENIED, "NOPERM")
        self.assertEqual(self.ctl("pub", "x", "1", **nobody)[0], OK)

    def test_words(self):
        self.assert_fails(self.ctl("explain", "pubish", "x"), USAGE, 'did you mean "publish"?')
        self.assert_fails(self.ctl("explain", "read", "x"), USAGE, "is no action")
        self.assert_fails(self.ctl("explain", "publish"), USAGE, "needs a channel")
        self.assert_fails(self.ctl("explain", "admin", "x"), USAGE, "has no channel")
        self.assert_fails(self.ctl("explain", "admin", "--as", "no-such-user"), USAGE, "there is no user")


class Doctor(Ops):
    def findings(self, status=FAILED):
        value = self.json("doctor", "doctor", status=status)
        bad = [check for check in value["checks"] if not check["ok"]]
        self.assertEqual(value["warnings"], len(bad))
        self.assertTrue(all(check["todo"] for check in bad))
        self.assertTrue(all(check["todo"] is None for check in value["checks"] if check["ok"]))
        return {check["check"]: check["text"] for check in bad}

    def test_all_is_well(self):
        status, out, err = self.ctl("doctor")
        self.assertEqual((status, err), (OK, ""))
        lines = out.decode().splitlines()
        self.assertTrue(all(line.startswith("ok ") for line in lines), out)
        self.assertEqual({line.split()[1] for line in lines},
                         {"version", "limits", "clients", "reactor", "sockets", "config", "losses"})
        self.assertEqual(self.findings(OK), {})

    def test_the_file(self):
        self.write("max_clients: 5")
        self.assertIn("1 value of", self.findings()["config"])
        self.write("ring_capacity: 64")
        self.assertIn("waits for the next start", self.findings()["config"])
        self.write("shard: 1")
        self.assertIn('unknown key "shard"', self.findings()["config"])

    def test_a_warning_says_what_to_do(self):
        self.write("max_clients: 5")
        status, out, _ = self.ctl("doctor")
        self.assertEqual(status, FAILED)
        self.assertRegex(out.decode(), r"(?m)^warning +config +.*; see `brokerctl config diff`")

    def test_sockets(self):
        os.chmod(self.listener, 0o600)
        self.assertIn("mode 0600, and the configuration says 0666", self.findings()["sockets"])
        os.unlink(self.listener)
        self.assertIn("No such file", self.findings()["sockets"])
        pathlib.Path(self.listener).touch()
        self.assertIn("is no socket", self.findings()["sockets"])

    def test_clients_and_descriptors(self):
        self.write("max_clients: 1")
        self.assertEqual(self.ctl("config", "reload")[0], OK)
        self.connect().sendall(b"PING\r\n")
        self.assertIn("1 clients are connected", self.findings()["clients"])
        self.write("max_clients: 1000000")
        self.assertEqual(self.ctl("config", "reload")[0], OK)
        self.assertIn("the limit of descriptors leaves room", self.findings()["limits"])

    def test_losses(self):
        self.write("max_clients: 1")
        self.assertEqual(self.ctl("config", "reload")[0], OK)
        first = self.connect()
        first.sendall(b"PING\r\n")
        first.recv(7)
        self.assertIn(b"max number of clients", self.connect().recv(100))
        self.assertIn("1 connections refused, since there were max_clients", self.findings()["losses"])

    def test_draining(self):
        self.assertEqual(self.ctl("drain")[0], OK)
        self.assertIn("draining", self.findings()["accept"])


class Others(Ops):
    def test_another_user_is_denied(self):
        nobody = self.as_nobody()
        for args in (("config", "show"), ("config", "diff"), ("config", "reload"), ("log", "debug"), ("drain",),
                     ("explain", "publish", "x"), ("doctor",)):
            self.assert_fails(self.ctl(*args, **nobody), DENIED, "NOPERM")
            self.assert_fails(self.ctl(*args, "--json", **nobody), DENIED, "NOPERM")
        self.path = f"{self.dir}/admin.sock"
        self.assertEqual(self.json("status", "status")["broker"]["reloads"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
