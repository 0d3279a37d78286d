# SPDX-License-Identifier: MIT
"""The broker under a service manager: what it tells, with a stand-in for systemd's sockets."""

import os
import signal
import socket
import time
import unittest

from lifecycle import DEADLINE, Broker, ask, connect, wait_until


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


if __name__ == "__main__":
    unittest.main()
