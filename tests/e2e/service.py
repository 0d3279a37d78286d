# SPDX-License-Identifier: MIT
"""The broker under a service manager: what it tells, with a stand-in for systemd's sockets."""

import os
import signal
import socket
import subprocess
import sys
import time
import unittest

from lifecycle import BROKERD, DEADLINE, REACTOR, Broker, ask, child_of, connect, read, wait_until


class Service(Broker):
    def setUp(self):
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.at("notify"))
        self.manager.settimeout(DEADLINE)

    def hear(self):
        """The next datagram as a dictionary."""
        return dict(line.split("=", 1) for line in self.manager.recv(4096).decode().split("\n"))

    def start_service(self, *lines, **environment):
        return self.spawn(self.config(*lines), env={**os.environ, "NOTIFY_SOCKET": self.at("notify"), **environment})


class Notify(Service):
    def test_ready_comes_when_clients_are_served(self):
        self.start_service("shards: 2")
        self.assertEqual(self.hear(), {"READY": "1", "STATUS": "Serving"})
        with connect(self.path) as client:
            self.assertEqual(ask(client), b"+PONG\r\n")
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.hear(), {"STOPPING": "1", "STATUS": "Stopping: SIGTERM"})
        self.expect_end(0)

    def test_a_start_that_fails_is_never_ready(self):
        self.start_service("shards: 2", "admin: /nonexistent/directory/admin.sock")
        self.assertEqual(self.process.wait(DEADLINE), 1)
        self.manager.setblocking(False)
        self.assertRaises(BlockingIOError, self.manager.recv, 4096)

    def test_a_manager_that_goes_is_no_reason_to_stop(self):
        self.start_service()
        self.hear()
        self.manager.close()
        with connect(self.path) as client:
            self.assertEqual(ask(client), b"+PONG\r\n")
        self.process.send_signal(signal.SIGTERM)
        self.expect_end(0)


    def test_a_reload_is_told_while_it_lasts_and_when_it_is_over(self):
        self.start_service("shards: 1")
        self.hear()
        for text, end in (("max_clients: 7", "Serving"), ("colour: red", "Serving; the last reload was refused")):
            self.config("shards: 1", text)
            before = time.monotonic()
            self.process.send_signal(signal.SIGHUP)
            begin = self.hear()
            self.assertEqual((begin["RELOADING"], len(begin)), ("1", 2))
            self.assertLessEqual(before, int(begin["MONOTONIC_USEC"]) / 1e6 + 1e-6)
            self.assertEqual(self.hear(), {"READY": "1", "STATUS": end})
        self.stop()


class Watchdog(Service):
    def test_it_is_told_twice_as_often_as_it_wants(self):
        began = time.monotonic()
        self.start_service(WATCHDOG_USEC="200000")
        self.hear()
        beats = [self.hear() for _ in range(5)]
        self.assertEqual([beat["WATCHDOG"] for beat in beats], ["1"] * 5)
        self.assertGreater(time.monotonic() - began, 0.4)
        self.stop()

    def test_of_another_process_is_not_ours(self):
        self.start_service(WATCHDOG_USEC="1000", WATCHDOG_PID="1")
        self.hear()
        wait_until("the broker is ready", self.ready)
        with connect(self.path) as client:
            for _ in range(20):
                self.assertEqual(ask(client), b"+PONG\r\n")
        self.manager.setblocking(False)
        self.assertRaises(BlockingIOError, self.manager.recv, 4096)
        self.stop()


class Activation(Service):
    """The stand-in for systemd: it holds the sockets, and passes them as descriptors 3 and up."""

    def hold(self, name, abstract=False):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind("\0" + name if abstract else self.at(name))
        sock.listen(16)
        return sock

    def activate(self, sockets, *lines, text=None, wrap=()):
        """sockets: {name: socket}. text: the whole configuration. wrap: words in front of the broker's."""
        config = self.at("broker.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"reactor: {REACTOR}\n" + "".join(line + "\n" for line in lines) if text is None else text)
        fds = [sock.fileno() for sock in sockets.values()]
        code = ("import fcntl, os, sys\n"
                "high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(',')]\n"
                "for i, fd in enumerate(high):\n"
                "    os.dup2(fd, 3 + i)\n"
                "    os.close(fd)\n"
                "env = {**os.environ, 'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': str(len(high)),\n"
                "       'LISTEN_FDNAMES': sys.argv[2]}\n"
                "os.execvpe(sys.argv[3], sys.argv[3:], env)\n")
        with open(self.at("log"), "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, ",".join(map(str, fds)), ":".join(sockets), *wrap, BROKERD, "-c", config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, pass_fds=fds,
                env={**os.environ, "NOTIFY_SOCKET": self.at("notify")})
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        return config

    def serve(self, sockets, *lines):
        config = self.activate(sockets, *lines)
        self.assertEqual(self.hear()["READY"], "1", self.log())
        return config

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.hear()["STOPPING"], "1")
        self.expect_end(0)

    def pong(self, path):
        with connect(path) as client:
            self.assertEqual(ask(client), b"+PONG\r\n")

    def test_a_passed_socket_is_served_and_stays(self):
        held = self.hold("main.sock")
        os.chmod(self.at("main.sock"), 0o640)
        before = os.stat(self.at("main.sock"))
        self.serve({"main": held})
        self.pong(self.at("main.sock"))
        self.assertIn("passed by the service manager", self.log())
        self.end()
        after = os.stat(self.at("main.sock"))
        self.assertEqual((before.st_ino, before.st_mode, before.st_uid, before.st_ctime_ns),
                         (after.st_ino, after.st_mode, after.st_uid, after.st_ctime_ns))
        self.assertFalse(os.path.exists(self.at("main.sock.lock")))

    def test_it_is_never_listened_to_again(self):
        self.need_strace()
        calls = self.at("calls")
        itself = self.at("itself")  # strace forks, and the sockets are for the broker
        with open(itself, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\nLISTEN_PID=$$ exec "$@"\n')
        os.chmod(itself, 0o755)
        self.activate({"main": self.hold("main.sock")}, "listeners:", f"  - path: {self.at('main.sock')}",
                      "    backlog: 7", "    mode: 0666",
                      wrap=["strace", "-f", "-o", calls, "-e",
                            "trace=listen,bind,unlink,unlinkat,fchmodat,chmod,fchownat,flock", itself])
        self.assertEqual(self.hear()["READY"], "1", self.log())
        self.pong(self.at("main.sock"))
        os.kill(child_of(self.process.pid), signal.SIGTERM)
        self.process.wait(DEADLINE)
        self.assertNotRegex(read(calls), r"listen\(|main\.sock|flock\(")

    def test_two_are_told_apart_by_name(self):
        sockets = {"main": self.hold("main.sock"), "admin": self.hold("admin.sock")}
        self.serve(sockets, "max_clients: 1")
        with connect(self.at("main.sock")) as first, connect(self.at("main.sock")) as second:
            self.assertEqual(ask(first), b"+PONG\r\n")
            self.assertIn(b"max number of clients", second.recv(4096))
            self.pong(self.at("admin.sock"))  # which max_clients does not count
        self.assertRegex(self.log(), r"admin\.sock for administration, passed")
        self.end()

    def test_the_path_of_a_configured_admin_socket_tells_it_as_well(self):
        self.serve({"a": self.hold("main.sock"), "b": self.hold("admin.sock")}, f"admin: {self.at('admin.sock')}")
        self.assertRegex(self.log(), r"admin\.sock for administration, passed")
        self.end()
        self.assertTrue(os.path.exists(self.at("admin.sock")))

    def test_an_item_of_its_path_gives_it_options_and_others_are_bound(self):
        self.serve({"main": self.hold("main.sock"), "x": self.hold("free.sock")}, "listeners:",
                   f"  - path: {self.at('main.sock')}", f"  - path: {self.at('own.sock')}")
        for name in ("main.sock", "free.sock", "own.sock"):
            self.pong(self.at(name))
        self.end()
        self.assertFalse(os.path.exists(self.at("own.sock")))
        self.assertTrue(os.path.exists(self.at("main.sock")) and os.path.exists(self.at("free.sock")))

    def test_an_abstract_one(self):
        name = f"brokerd-{os.getpid()}"
        self.serve({"main": self.hold(name, abstract=True)}, "listeners: []")
        self.pong("\0" + name)
        self.assertIn(f"listening on @{name}", self.log())
        self.end()

    def test_a_reload_keeps_them(self):
        held = self.hold("main.sock")
        config = self.serve({"main": held}, "listeners:", f"  - path: {self.at('main.sock')}")
        client = connect(self.at("main.sock"))
        self.addCleanup(client.close)
        for text in (f"listeners:\n  - path: {self.at('other.sock')}\n", "max_clients: 5\n",
                     f"listeners:\n  - path: {self.at('main.sock')}\n    backlog: 3\n    mode: 0666\n"):
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"reactor: {REACTOR}\n" + text)
            self.process.send_signal(signal.SIGHUP)
            self.assertEqual(self.hear()["RELOADING"], "1")
            self.assertEqual(self.hear(), {"READY": "1", "STATUS": "Serving"}, self.log())
            self.pong(self.at("main.sock"))
            self.assertEqual(os.path.exists(self.at("other.sock")), "other" in text)
        self.assertEqual(ask(client), b"+PONG\r\n")
        self.assertNotEqual(os.stat(self.at("main.sock")).st_mode & 0o777, 0o666)
        self.end()

    def test_a_restart_on_the_same_socket_loses_nobody_who_waits(self):
        held = self.hold("main.sock")
        for _ in range(3):
            waiting = [connect(self.at("main.sock")) for _ in range(5)]  # the broker does not run
            self.serve({"main": held})
            for client in waiting:
                with client:
                    self.assertEqual(ask(client), b"+PONG\r\n")
            self.end()

    def test_without_any_socket_it_does_not_start(self):
        config = self.at("broker.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("listeners: []\n")
        self.run_to_end("--check", "-c", config, code=0)
        _, err = self.run_to_end("-c", config, code=78)
        self.assertIn("there is no socket for clients", err)
        self.activate({"admin": self.hold("admin.sock")})
        self.assertEqual(self.process.wait(DEADLINE), 78)
        with open(config, "w", encoding="utf-8") as file:
            file.write("shards: 1\n")
        _, err = self.run_to_end("-c", config, code=78)
        self.assertIn('"listeners" is missing', err)

    def test_what_cannot_be_used_is_named(self):
        first = self.hold("main.sock")
        for sockets, reason in (({"a": first, "b": first}, "another one has the same path"),
                                ({"admin": self.hold("x.sock"), "b": self.hold("y.sock"), "main": first},
                                 "another one for administration")):
            self.activate(sockets, f"admin: {self.at('y.sock')}")
            self.assertEqual(self.process.wait(DEADLINE), 1, self.log())
            self.assertIn(reason, self.log())

    def test_the_configuration_of_the_user_unit_works(self):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../etc/user.yaml"), encoding="utf-8") as file:
            text = file.read()
        self.activate({"main": self.hold("brokerd.sock")}, text=text)
        self.assertEqual(self.hear()["READY"], "1", self.log())
        self.pong(self.at("brokerd.sock"))
        self.end()


if __name__ == "__main__":
    unittest.main()
