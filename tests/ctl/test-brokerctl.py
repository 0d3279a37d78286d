#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The tests of brokerctl: every exit code, every verb, every message that names a fix.

Odd answers come from fake-broker.py; what redis-server understands in the same way is tried on both.
"""

import base64
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from ctlcase import (BROKERCTL, BROKERD, CONNECT, DEADLINE, DENIED, FAILED, HERE, NOBODY, OK, PARTIAL, TIMEOUT, USAGE,
                     Case, Lines, sorted_lines)


class Usage(Case):
    def usage(self, *args, text):
        self.assert_fails(self.ctl(*args, socket_path=False), USAGE, text, "try `brokerctl --help`")

    def test_no_command_is_a_usage_error(self):
        self.usage(text="a command is missing")
        self.usage("-q", text="a command is missing")

    def test_a_mistyped_command_is_guessed(self):
        self.usage("stauts", text='unknown command "stauts"; did you mean "status"?')
        self.usage("pign", text='did you mean "ping"?')
        self.usage("publish", text='did you mean "pub"?')
        self.usage("shutdwon", text='did you mean "shutdown"?')
        self.usage("help", "sbu", text='did you mean "sub"?')

    def test_a_word_far_from_every_command_is_not_guessed(self):
        result = self.ctl("frobnicate", socket_path=False)
        self.assert_fails(result, USAGE, 'unknown command "frobnicate"\n')
        self.assertNotIn("did you mean", result[2])

    def test_a_mistyped_option_is_guessed(self):
        self.usage("sub", "x", "--cuont", "3", text="unknown option --cuont; did you mean --count?")
        self.usage("sub", "x", "--patern", text="did you mean --pattern?")
        self.usage("sub", "x", "--cuont=3", text="did you mean --count?")
        self.usage("ping", "--wibble", text="unknown option --wibble\n")
        self.usage("ping", "-Z", text="unknown option -Z")

    def test_the_beginning_of_an_option_is_not_the_option(self):
        self.usage("sub", "x", "--coun", "3", text="unknown option --coun; did you mean --count?")

    def test_an_option_goes_with_its_command_only(self):
        self.usage("ping", "--count", "3", text='option --count does not go with "ping"')
        self.usage("--require-receivers", "sub", "x", text='option --require-receivers does not go with "sub"')
        self.usage("pub", "x", "y", "--raw", text='option --raw does not go with "pub"')

    def test_operands_are_counted(self):
        self.usage("ping", "x", text='"ping" does not take "x"')
        self.usage("pub", text='"pub" needs more: brokerctl pub CHANNEL [MESSAGE]')
        self.usage("pub", "a", "b", "c", text='"pub" does not take "c"')
        self.usage("sub", text='"sub" needs more')

    def test_a_bad_number_says_what_was_expected(self):
        for value in "0", "-1", "3x", "", "1e3", "9" * 19:
            self.usage("sub", "x", f"--count={value}", text=f'bad value for --count: got "{value}", expected an integer')
        for value in "0", "-1", "x", "", ".", "inf", "0x10", "86401", "1.2.3", "0.0001":
            self.usage("ping", f"--timeout={value}", text=f'bad value for --timeout: got "{value}", expected seconds')

    def test_a_value_must_be_there_and_only_where_it_belongs(self):
        self.usage("ping", "--timeout", text="option --timeout needs a value: SECONDS")
        self.usage("ping", "-t", text="option -t needs a value: SECONDS")
        self.usage("ping", "--quiet=yes", text="option --quiet takes no value")

    def test_an_impossible_socket_is_a_usage_error(self):
        self.usage("-s", "", "ping", text='bad socket ""')
        self.usage("-s", "@", "ping", text='bad socket "@"')
        self.usage("-s", "/" + "x" * 107, "ping", text="108 bytes are too long, at most 107")
        self.usage("-s", "@" + "x" * 108, "ping", text="109 bytes are too long, at most 108")
        self.assert_fails(self.ctl("ping", socket_path=False, env={"BROKERCTL_SOCKET": ""}), USAGE, 'bad socket ""')

    def test_help_is_data(self):
        status, out, err = self.ctl("--help", socket_path=False)
        self.assertEqual((status, err), (OK, ""))
        for verb in "ping", "status", "pub", "sub", "shutdown", "help":
            self.assertRegex(out.decode(), rf"(?m)^  {verb} ")
            one = self.ctl("help", verb, socket_path=False)
            self.assertEqual((one[0], one[2]), (OK, ""))
            self.assertTrue(one[1].startswith(b"Usage: brokerctl [OPTION...] " + verb.encode()))
            self.assertEqual(self.ctl(verb, "--help", socket_path=False), one)
        self.assertEqual(self.ctl("help", socket_path=False)[1], out)
        for line in out.decode().splitlines():
            self.assertLessEqual(len(line), 112)

    def test_version_is_data(self):
        status, out, err = self.ctl("--version", socket_path=False)
        self.assertEqual((status, err), (OK, ""))
        self.assertRegex(out, rb"^brokerctl [0-9]+\.[0-9]+\.[0-9]+\n$")
        self.assertEqual(self.ctl("-V", socket_path=False)[1], out)

    def test_the_manual_names_every_command_and_option(self):
        manual = (HERE.parent.parent / "man" / "brokerctl.1").read_text()
        text = self.ctl("--help", socket_path=False)[1].decode()
        verbs = re.findall(r"(?m)^  ([a-z]+) ", text[:text.index("Options:")])
        self.assertGreaterEqual(len(verbs), 12)
        text += "".join(self.ctl("help", verb, socket_path=False)[1].decode() for verb in verbs)
        options = set(re.findall(r"(?m)^  (?:-.,|   ) --([a-z-]+)", text))
        self.assertGreaterEqual(len(options), 9)
        for verb in verbs:
            self.assertRegex(manual, rf"(?m)^\.(It )?Cm {verb}\b")
        for option in options:
            self.assertIn(f"Fl -{option}", manual)
        for code in range(7):
            self.assertRegex(manual, rf"(?m)^\.It {code}$")


class Connect(Case):
    def test_a_missing_socket_asks_whether_brokerd_runs(self):
        self.assert_fails(self.ctl("ping"), CONNECT, f"cannot connect to {self.path}: No such file or directory",
                          "is brokerd running?")

    def test_a_socket_without_a_listener_is_stale(self):
        self.leave_stale(self.path)
        self.assert_fails(self.ctl("ping"), CONNECT, "Connection refused", "the socket is stale")

    def test_a_file_is_no_socket(self):
        pathlib.Path(self.path).touch()
        self.assert_fails(self.ctl("ping"), CONNECT, "Connection refused", "this is no socket")

    def test_a_datagram_socket_is_of_another_kind(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(self.path)
            self.assert_fails(self.ctl("ping"), CONNECT, "of another kind")

    def test_an_abstract_name_is_served(self):
        name = f"@brokerctl-{os.getpid()}-{os.path.basename(self.dir)}"
        self.assert_fails(self.ctl("-s", name, "ping", socket_path=False), CONNECT, f"cannot connect to {name}",
                          "nobody listens on this abstract name")
        self.start_fake(path=name)
        self.assert_quiet(self.ctl("-s", name, "ping", socket_path=False), out=b"PONG\n")

    def test_the_longest_names_are_served(self):
        os.chdir(self.dir)
        self.cleanup.callback(os.chdir, "/")
        for name in "x" * 107, "@" + os.path.basename(self.dir).ljust(107, "y"):
            self.start_fake(path=name)
            self.assert_quiet(self.ctl("-s", name, "ping", socket_path=False), out=b"PONG\n")

    def test_the_environment_names_the_socket_and_the_option_wins(self):
        self.start_fake()
        env = {"BROKERCTL_SOCKET": self.path}
        self.assert_quiet(self.ctl("ping", socket_path=False, env=env), out=b"PONG\n")
        self.assert_fails(self.ctl("ping", "-s", "/nonexistent/x", socket_path=False, env=env), CONNECT, "/nonexistent/x")

    def test_options_stand_before_or_after_the_command(self):
        self.start_fake()
        for words in (["ping", "-s", self.path], ["ping", f"--socket={self.path}"], [f"-s{self.path}", "ping"],
                      ["--socket", self.path, "-t", "5.5", "ping", "-q"], ["-qs", self.path, "ping"]):
            self.assert_quiet(self.ctl(*words, socket_path=False), out=b"PONG\n")
        self.assert_quiet(self.ctl("ping", "-s", self.path, socket_path=False, env={"POSIXLY_CORRECT": "1"}), out=b"PONG\n")

    def test_a_full_queue_of_connections_times_out(self):
        self.start_fake("unreceived")
        for _ in range(1000):
            s = socket.socket(socket.AF_UNIX)
            self.cleanup.enter_context(s)
            s.setblocking(False)
            try:
                s.connect(self.path)
            except BlockingIOError:
                break
        else:
            self.fail("the queue does not fill")
        self.assert_fails(self.ctl("ping", "-t", "0.2"), TIMEOUT, "timed out", "the queue of new connections stayed full")

    def test_missing_standard_descriptors_do_not_become_the_socket(self):
        self.start_fake()
        for words in "ping >&-", "ping <&- >&-", "ping <&- >&- 2>&-", "pub x <&-":
            done = subprocess.run(["/bin/sh", "-c", f'"$0" -s "$1" {words}', BROKERCTL, self.path], timeout=DEADLINE,
                                  check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (FAILED, b""), words)
            self.assertEqual(b"cannot" in done.stderr, "2>" not in words)


class Denied(Case):
    """As a user that may not connect: another one when the tests run as root, the same without the rights else."""

    def setUp(self):
        super().setUp()
        self.program = BROKERCTL
        self.identity = {}
        if os.geteuid() == 0:
            self.home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
            os.chmod(self.home, 0o755)
            self.program = shutil.copy(BROKERCTL, self.home)
            self.identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chmod(self.dir, 0o755)

    def ctl_denied(self, *args, **options):
        return self.ctl(*args, program=self.program, **self.identity, **options)

    def test_a_closed_socket_says_who_and_whose_and_the_mode(self):
        self.start_fake()
        os.chmod(self.path, 0o000)
        uid = self.identity.get("user", os.geteuid())
        self.assert_fails(self.ctl_denied("ping"), DENIED, f"cannot connect to {self.path}: Permission denied",
                          f"you are uid {uid} (", f"socket {self.path} is owned by ", "mode 0000",
                          "run this as the owner or root")

    def test_a_socket_of_a_group_names_the_group(self):
        if os.geteuid() != 0:
            self.skipTest("needs root: the owner's own group is no barrier")
        self.start_fake()
        os.chmod(self.path, 0o660)
        self.assert_fails(self.ctl_denied("ping"), DENIED, "owned by root:root, mode 0660", 'join the group "root"')

    def test_a_closed_directory_is_named(self):
        inner = os.path.join(self.dir, "closed")
        os.mkdir(inner)
        self.path = os.path.join(inner, "sock")
        self.start_fake()
        os.chmod(inner, 0o600)
        self.cleanup.callback(os.chmod, inner, 0o700)
        self.assert_fails(self.ctl_denied("ping"), DENIED, f"directory {inner} is owned by", "mode 0600",
                          "execute permission")

    def test_noperm_is_denied_and_says_who_may(self):
        self.start_fake("noperm")
        for verb in "status", "shutdown":
            self.assert_fails(self.ctl(verb), DENIED, "the broker answered: NOPERM not you\\x1b[2J\n",
                              f"you are uid {os.geteuid()}; only uid 0")


class Default(Case):
    """Without a name. In a mount name space of its own, so that /run is not touched."""

    def setUp(self):
        super().setUp()
        self.unshare = ["unshare", "--mount", "sh", "-c",
                        f'mount -t tmpfs tmpfs /run && mkdir /run/brokerd && mount --bind {self.dir} /run/brokerd '
                        '&& exec "$@"', "sh"]
        if subprocess.run([*self.unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("needs a mount name space")

    def ctl_default(self, *args, **options):
        return self.ctl(*self.unshare[1:], BROKERCTL, *args, socket_path=False, program="unshare", **options)

    def test_the_first_of_the_default_sockets_that_accepts_is_used(self):
        self.assert_fails(self.ctl_default("ping"), CONNECT, "cannot connect to /run/brokerd/admin.sock",
                          "is brokerd running?")
        self.start_fake("noperm", path=os.path.join(self.dir, "brokerd.sock"))
        self.assert_fails(self.ctl_default("ping"), DENIED, "NOPERM")
        self.start_fake("broker", path=os.path.join(self.dir, "admin.sock"))
        self.assert_quiet(self.ctl_default("ping"), out=b"PONG\n")

    def test_all_that_was_tried_is_told(self):
        self.leave_stale(os.path.join(self.dir, "brokerd.sock"))
        self.assert_fails(self.ctl_default("ping"), CONNECT, "cannot connect to /run/brokerd/admin.sock",
                          "cannot connect to /run/brokerd/brokerd.sock", "stale")


class Answers(Case):
    def test_no_answer_times_out(self):
        self.start_fake("silent")
        for words in ["ping"], ["status"], ["pub", "x", "y"], ["sub", "x"], ["shutdown"]:
            self.assert_fails(self.ctl("-t", "0.2", *words), TIMEOUT, f"no answer from {self.path} within 0.2 s")

    def test_an_error_that_comes_before_the_request_is_told(self):
        self.start_fake("full")
        for words in ["ping"], ["status"], ["pub", "x", "y"], ["shutdown"]:
            self.assert_fails(self.ctl(*words), FAILED, "the broker answered: ERR max number of clients reached")
        self.assert_fails(self.ctl("sub", "x"), FAILED, "ERR max number of clients reached")

    def test_an_error_in_the_middle_of_a_long_request_is_told(self):
        self.start_fake("limit")
        self.assert_fails(self.ctl("pub", "x", data=b"y" * 4000000), FAILED, "invalid bulk length")

    def test_a_closed_connection_is_a_lost_connection(self):
        self.start_fake("closing")
        for words in ["ping"], ["status"], ["pub", "x", "y"], ["sub", "x"]:
            self.assert_fails(self.ctl(*words), CONNECT, "lost the connection", "the broker closed it")

    def test_an_unread_request_is_a_lost_connection(self):
        self.start_fake("reset")
        for words in ["ping"], ["shutdown"]:
            self.assert_fails(self.ctl(*words), CONNECT, "before it had read everything")

    def test_another_protocol_is_told(self):
        self.start_fake("http")
        self.assert_fails(self.ctl("ping"), FAILED, "not the Redis protocol", "is this brokerd's socket?")
        self.assert_fails(self.ctl("sub", "x"), FAILED, "not the Redis protocol")

    def test_an_answer_to_another_question_is_told(self):
        self.start_fake("odd")
        for words in ["ping"], ["status"], ["pub", "x", "y"], ["sub", "x"]:
            self.assert_fails(self.ctl(*words), FAILED, "does not fit the question")

    def test_shutdown_waits_for_the_close(self):
        self.start_fake("broker")
        self.assertEqual(self.ctl("shutdown"), (OK, b"", "brokerctl: the broker shuts down\n"))
        self.assert_quiet(self.ctl("-q", "shutdown"))

    def test_shutdown_takes_an_acknowledgement_before_the_close(self):
        self.start_fake("wordy")
        self.assert_quiet(self.ctl("-q", "shutdown"))


class Status(Case):
    def test_one_screen_shows_broker_and_shards(self):
        self.start_fake("broker")
        status, out, err = self.ctl("status", env={"TZ": "UTC"})
        self.assertEqual((status, err), (OK, ""))
        lines = out.decode().splitlines()
        self.assertRegex(lines[0], r"^brokerd 9\.8\.7, pid 4242, up 4 d 03:02:01 since 20\d\d-\d\d-\d\d [\d:]{8}, "
                                   r"reactor libev$")
        self.assertEqual(lines[1], "clients 950 of 1000; accepted 5000, rejected 12, accept errors 1")
        self.assertEqual(lines[2], "")
        self.assertEqual(lines[3].split(), ["messages---", "mesh-------------------------", "high-water-", "now--"])
        self.assertEqual(lines[4].split(), "shard cpu clients subs chans pats in out sent recv spill wakes parks ring back "
                                           "waits".split())
        row = "10 7 1 1.23M 98.7G 99999 100K 3 17 42".split()
        self.assertEqual(lines[5].split(), ["0", "0", "4", *row, "60", "19.5K", "9999"])
        self.assertEqual(lines[6].split(), ["1", "1", "5", *row, "61", "19.5K", "9999"])
        self.assertEqual(lines[7].split(), ["2", "-", "6", *row, "62", "19.5K", "9999"])
        self.assertEqual(lines[8].split(), "total - 15 30 - - 3.70M 296G 299K 300K 9 51 126 62 19.5K 29.2K".split())
        for line in lines[:9]:
            self.assertLessEqual(len(line), 100)
        for i in range(4, 9):
            self.assertEqual(len(lines[i]), 95)
            self.assertEqual(len(lines[3]), 95)

    def test_reasons_to_worry_are_told_in_words(self):
        self.start_fake("broker")
        lines = [line for line in self.ctl("status")[1].decode().splitlines() if line.startswith("warning")]
        self.assertEqual(len(lines), 7)
        for line, text in zip(lines, ("accepting is paused", "950 of 1000 clients: max_clients is near",
                                      "12 connections were turned away", "1 connections could not be accepted",
                                      "2 clients were disconnected", "5 protocol errors", "messages of 3000 bytes wait")):
            self.assertTrue(line.startswith("warning: "), line)
            self.assertIn(text, line)

    def test_without_a_reason_there_is_no_warning(self):
        self.start_fake("calm")
        self.assertNotIn(b"warning", self.ctl("status")[1])

    def test_a_broker_of_another_version_shows_what_is_known(self):
        self.start_fake("old")
        status, out, err = self.ctl("status")
        self.assertEqual((status, err), (OK, ""))
        lines = out.decode().splitlines()
        self.assertEqual(lines[0], "brokerd 0.0.1\\x1b[31m, pid 7, up -, reactor -")
        self.assertEqual(lines[1], "clients - of -; accepted -, rejected -, accept errors -")
        self.assertEqual(lines[5].split(), ["5", "-", "1", *["-"] * 13])
        self.assertEqual(lines[6].split(), ["1", *["-"] * 15])
        self.assertEqual(lines[7].split(), ["total", "-", "1", *["-"] * 13])

    def test_raw_gives_every_name_exactly(self):
        self.start_fake("broker")
        status, out, err = self.ctl("status", "--raw")
        self.assertEqual((status, err), (OK, ""))
        lines = out.decode().splitlines()
        self.assertEqual(len(lines), 11 + 3 * 24)
        for line in ("broker.version 9.8.7", "broker.pid 4242", "shard.0.messages_out 98765432100", "shard.2.cpu -1",
                     "shard.1.output_limit_closed 2"):
            self.assertIn(line, lines)

    def test_raw_passes_new_names_on(self):
        self.start_fake("old")
        self.assert_quiet(self.ctl("status", "--raw"), out=b"broker.version 0.0.1\\x1b[31m\nbroker.novelty 5\nbroker.pid 7\n"
                          b"shard.5.id 5\nshard.5.clients 1\nshard.5.novelty 6\n")

    def test_json_has_all_that_raw_has(self):
        self.start_fake("broker")
        status, out, err = self.ctl("status", "--json")
        self.assertEqual((status, err, out.count(b"\n")), (OK, "", 1))
        value = json.loads(out)
        self.assertEqual(value["schema"], "brokerctl.status/1")
        names = {f"broker.{k}": v for k, v in value["broker"].items()}
        names |= {f"shard.{shard['id']}.{k}": v for shard in value["shards"] for k, v in shard.items()}
        raw = dict(line.split(" ", 1) for line in self.ctl("status", "--raw")[1].decode().splitlines())
        self.assertEqual({k: str(v) for k, v in names.items()}, raw)


class Streams(Case):
    """What happens when nobody takes the data."""

    def run_into(self, fd, *args):
        done = subprocess.run([BROKERCTL, "-s", self.path, *args], stdin=subprocess.DEVNULL, stdout=fd,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        return done.returncode, done.stderr.decode()

    def test_a_closed_pipe_ends_it_without_a_word(self):
        self.start_fake()
        read, write = os.pipe()
        os.close(read)
        self.cleanup.callback(os.close, write)
        for words in ["ping"], ["status"], ["status", "--raw"], ["pub", "x", "y"], ["--help"], ["help", "pub"], ["-V"]:
            self.assertEqual(self.run_into(write, *words), (-signal.SIGPIPE, ""))

    def test_a_full_disk_is_told(self):
        self.start_fake()
        with open("/dev/full", "wb") as full:
            for words in ["ping"], ["status"], ["pub", "x", "y"], ["--help"]:
                status, err = self.run_into(full, *words)
                self.assertEqual((status, err), (FAILED, "brokerctl: cannot write to standard output: No space left on "
                                                         "device\n"))

    def test_sub_ends_when_its_reader_goes_though_nothing_comes(self):
        self.start_fake()
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "sub", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.cleanup.callback(lambda: (process.kill(), process.wait(DEADLINE)))
        errors = Lines(process.stderr)
        self.assertEqual(errors.next(), b"brokerctl: subscribed to 1 of 1\n")
        process.stdout.close()
        self.assertEqual(process.wait(DEADLINE), -signal.SIGPIPE)
        self.assertEqual(errors.rest(), b"")

    def test_sub_ends_by_interrupt(self):
        self.start_fake()
        process, lines, errors = self.start_sub("x")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE), -signal.SIGINT)
        self.assertEqual((lines.rest(), errors.rest()), (b"", b""))


class Pub(Case):
    def test_nobody_is_a_note_and_with_require_receivers_an_error(self):
        self.start_fake()
        self.assertEqual(self.ctl("pub", "x", "y"), (OK, b"0\n", 'brokerctl: nobody subscribes to "x": no receiver\n'))
        self.assert_quiet(self.ctl("-q", "pub", "x", "y"), out=b"0\n")
        for quiet in [], ["-q"]:
            self.assertEqual(self.ctl("pub", "--require-receivers", "x", "y", *quiet),
                             (TIMEOUT, b"0\n", 'brokerctl: nobody subscribes to "x": no receiver\n'))

    def test_an_unreadable_message_is_told(self):
        self.start_fake()
        fd = os.open(self.dir, os.O_RDONLY)
        self.cleanup.callback(os.close, fd)
        done = subprocess.run([BROKERCTL, "-s", self.path, "pub", "x"], stdin=fd, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"cannot read the message from standard input: Is a directory", done.stderr)

    def test_a_terminal_is_told_how_to_end_the_message(self):
        self.start_fake()
        master, slave = pty.openpty()
        self.cleanup.callback(os.close, master)
        process = subprocess.Popen([BROKERCTL, "-s", self.path, "pub", "x"], stdin=slave, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        os.close(slave)
        self.cleanup.callback(self.stop, process)
        errors = Lines(process.stderr)
        self.assertEqual(errors.next(), b"brokerctl: reading the message from the terminal; end it with Ctrl-D\n")
        os.write(master, b"hello\n\x04")
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(process.stdout.read(), b"0\n")


class Sub(Case):
    def test_what_is_refused_is_told_and_the_rest_is_served(self):
        self.start_fake("picky")
        status, out, err = self.ctl("sub", "news", "secret", "--count", "1")
        self.assertEqual((status, out), (OK, b"news\tfor news\n"))
        status, out, err = self.ctl("sub", "secret", "news", "--count", "1")
        self.assertEqual((status, out), (PARTIAL, b"news\tfor news\n"))
        self.assertIn('cannot subscribe to "secret"', err)
        self.assertIn("NOPERM this channel is not for you", err)

    def test_when_all_is_refused_it_ends(self):
        self.start_fake("picky")
        self.assert_fails(self.ctl("sub", "secret1", "secret2"), DENIED, 'cannot subscribe to "secret1"',
                          'cannot subscribe to "secret2"')

    def test_a_broker_that_goes_ends_it(self):
        self.start_fake("hangup")
        status, out, err = self.ctl("sub", "x")
        self.assertEqual((status, out), (CONNECT, b""))
        self.assertIn("lost the connection", err)


class Service:
    """What means the same to brokerd and to redis-server."""

    def pub(self, *args, receivers=1, **options):
        self.assert_quiet(self.ctl("pub", *args, **options), out=b"%d\n" % receivers)

    def test_ping_is_answered(self):
        self.assert_quiet(self.ctl("ping"), out=b"PONG\n")

    def test_messages_come_one_by_one_while_it_runs(self):
        process, lines, _ = self.start_sub("news", "other", subscribed=2)
        self.pub("news", "hello world")
        self.assertEqual(lines.next(), b"news\thello world\n")
        self.pub("other", "")
        self.assertEqual(lines.next(), b"other\t\n")
        self.assertIsNone(process.poll())

    def test_count_ends_it(self):
        process, lines, errors = self.start_sub("news", "--count", "2")
        self.pub("news", "1")
        self.pub("news", "2", "--require-receivers")
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual((sorted_lines(lines.rest()), errors.rest()), ([b"news\t1", b"news\t2"], b""))

    def test_patterns_give_the_channel(self):
        process, lines, _ = self.start_sub("-p", "n*", "x[ab]", "-n2", subscribed=2)
        self.pub("news", "1")
        self.pub("xa", "2")
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(sorted_lines(lines.rest()), [b"news\t1", b"xa\t2"])

    def test_a_message_is_read_from_standard_input(self):
        _, lines, _ = self.start_sub("news")
        self.pub("news", data=b"from\nstdin\n")
        self.assertEqual(lines.next(), b"news\tfrom\\nstdin\\n\n")
        self.pub("news", "-", data=b"again")
        self.assertEqual(lines.next(), b"news\tagain\n")
        self.pub("news", data=b"")
        self.assertEqual(lines.next(), b"news\t\n")

    def test_words_that_begin_with_a_dash_follow_two_dashes(self):
        _, lines, _ = self.start_sub("--", "-c")
        self.pub("--", "-c", "--raw")
        self.assertEqual(lines.next(), b"-c\t--raw\n")

    def test_bytes_are_escaped_and_text_is_not(self):
        _, lines, _ = self.start_sub("news")
        self.pub("news", data="a\tb\\ \x1b[31m\x00\x7f\x85 \u00e9\u20ac\U0001f600".encode() + b"\xff\xc3(\xe2\x82\xed\xa0\x80")
        self.assertEqual(lines.next(), "news\ta\\tb\\\\ \\x1b[31m\\x00\\x7f\\xc2\\x85 \u00e9\u20ac\U0001f600"
                         "\\xff\\xc3(\\xe2\\x82\\xed\\xa0\\x80\n".encode())

    def test_raw_gives_the_bytes_of_a_large_binary_message(self):
        data = bytes(range(256)) * 8192
        process, lines, _ = self.start_sub("news", "--raw", "--count=1")
        self.pub("news", data=data)
        self.assertEqual(lines.rest(), data)
        self.assertEqual(process.wait(DEADLINE), OK)

    def test_json_is_a_line_for_each_message(self):
        process, lines, _ = self.start_sub("-p", "n*", "--json", "-n3", subscribed=1)
        self.assertEqual(json.loads(self.ctl("pub", "-j", "news", "one\ntwo")[1]),
                         {"schema": "brokerctl.pub/1", "channel": "news", "receivers": 1})
        self.pub("n\x01", "\u20ac\"\\")
        self.pub("news", data=b"\xff\x00")
        self.assertEqual(process.wait(DEADLINE), OK)
        got = sorted((json.loads(line) for line in lines.rest().splitlines()), key=lambda v: str(v["payload"]))
        for value in got:
            self.assertGreater(value.pop("time_seconds"), 1.7e9)
            self.assertEqual((value.pop("schema"), value.pop("pattern")), ("brokerctl.sub/1", "n*"))
        self.assertEqual(got, [
            {"channel": "news", "payload": None, "payload_base64": base64.b64encode(b"\xff\x00").decode()},
            {"channel": "news", "payload": "one\ntwo"},
            {"channel": "n\x01", "payload": "\u20ac\"\\"}])

    def test_a_thousand_messages_are_all_printed(self):
        process, lines, _ = self.start_sub("news", "-n", "1000")
        commands = "".join(f"publish news {i}\n" for i in range(1000)).encode()
        self.redis_cli(data=commands)
        self.assertEqual(process.wait(DEADLINE), OK)
        self.assertEqual(lines.rest(), b"".join(b"news\t%d\n" % i for i in range(1000)))

    def test_a_server_that_stops_is_a_lost_connection(self):
        process, lines, errors = self.start_sub("news")
        self.assert_quiet(self.ctl("-q", "shutdown"))
        self.assertEqual(process.wait(DEADLINE), CONNECT)
        self.assertIn(b"lost the connection", errors.rest())
        self.assertEqual(lines.rest(), b"")


class Redis(Service, Case):
    def setUp(self):
        super().setUp()
        self.start_redis()

    def test_status_of_another_server_is_an_error(self):
        self.assert_fails(self.ctl("status"), FAILED, "the broker answered: ERR unknown command 'BROKER'",
                          "brokerd's socket, and of this version?")

    def test_a_message_over_the_limit_is_refused_by_the_server(self):
        self.redis_cli("config", "set", "proto-max-bulk-len", "1048576")
        self.assert_fails(self.ctl("pub", "x", data=b"y" * 2000000), FAILED, "invalid bulk length")


class Brokerd(Service, Case):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def test_status_shows_three_shards_and_who_is_there(self):
        process, _, _ = self.start_sub("a", "b", subscribed=2)
        self.pub("a", "x")
        self.assertIsNone(process.poll())
        for path in self.path, os.path.join(self.dir, "admin.sock"):
            status, out, err = self.ctl("status", "-s", path, socket_path=False)
            lines = out.decode().splitlines()
            self.assertEqual((status, err), (OK, ""))
            self.assertEqual([line.split()[0] for line in lines[5:9]], ["0", "1", "2", "total"])
            self.assertEqual(lines[9], "")
            self.assertRegex(lines[10], r"^2 channels, 0 patterns and 0 shard channels; on average in \d+/s, out \d+/s$")
            self.assertRegex(lines[11], r"^memory [\d.]+M, of it for clients to take \d+$")
            self.assertEqual(lines[12], "reactor libev: as configured")
            self.assertNotIn("-", "".join(f" {word} " for word in lines[8].split()[6:]).split())
        values = dict(line.split(" ", 1) for line in self.ctl("status", "--raw")[1].decode().splitlines())
        self.assertEqual(int(values["broker.pid"]), self.broker.pid)
        self.assertEqual(sum(int(values[f"shard.{i}.subscriptions"]) for i in range(3)), 2)
        self.assertEqual(sum(int(values[f"shard.{i}.messages_out"]) for i in range(3)), 1)

    def test_the_configuration_in_the_manual_is_valid(self):
        manual = (HERE.parent.parent / "man" / "brokerd.8").read_text()
        example = re.search(r"A small configuration:\n\.Bd [^\n]*\n(.*?)\.Ed", manual, re.DOTALL).group(1)
        config = pathlib.Path(self.dir) / "manual.yaml"
        config.write_text(example)
        done = subprocess.run([BROKERD, "--check", "-c", config], capture_output=True, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_shutdown_ends_the_broker_with_0(self):
        self.assertEqual(self.ctl("shutdown"), (OK, b"", "brokerctl: the broker shuts down\n"))
        self.assertEqual(self.broker.wait(DEADLINE), 0)
        self.assert_fails(self.ctl("ping"), CONNECT, "No such file or directory", "is brokerd running?")

    def test_another_user_may_publish_but_not_administer(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        home = self.cleanup.enter_context(tempfile.TemporaryDirectory(prefix="brokerctl-bin-"))
        program = shutil.copy(BROKERCTL, home)
        os.chmod(home, 0o755)
        os.chmod(self.dir, 0o755)
        nobody = {"program": program, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.assert_quiet(self.ctl("-q", "pub", "x", "y", **nobody), out=b"0\n")
        for verb in "status", "shutdown":
            self.assert_fails(self.ctl(verb, **nobody), DENIED, "NOPERM", f"you are uid {NOBODY}")
        self.assert_fails(self.ctl("ping", "-s", os.path.join(self.dir, "admin.sock"), socket_path=False, **nobody),
                          DENIED, "mode 0600")
        self.assertIsNone(self.broker.poll())


if __name__ == "__main__":
    if not os.access(BROKERCTL, os.X_OK):
        print(f"{BROKERCTL} is missing")
        sys.exit(77)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored, and so would ours
    unittest.main(verbosity=2)
