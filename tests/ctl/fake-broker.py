#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A broker that answers by script, for the tests of brokerctl.

usage: fake-broker.py SOCKET MODE       (SOCKET "@name" is abstract)

Prints "ready" once it listens. Serves one connection after the other, and ends when its standard input does, or by
itself where the mode says so. Modes:

  broker        PING, PUBLISH, SUBSCRIBE, BROKER STATUS and SHUTDOWN, which ends it
  old           as broker, but the status lacks most names and has some that are new
  calm          as broker, with a status that gives no reason for a warning
  noperm        everything is answered with NOPERM
  wordy         SHUTDOWN is answered with +OK before the connection closes
  silent        requests are read and never answered
  full          every connection is answered with an error and closed, nothing is read
  closing       a request is read, then the connection closes
  reset         the connection closes with the request unread
  hangup        as broker, but SUBSCRIBE is acknowledged and then the connection closes
  limit         after 4 KiB of a request an error is answered and the connection closes
  http          answers in another protocol
  odd           answers every request with an empty array
  picky         SUBSCRIBE to a channel that begins with "secret" is refused; a granted one gets one message
  unreceived    reads nothing, accepts nothing
"""

import os
import socket
import sys
import threading


def encode(value):
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    return b"*%d\r\n" % len(value) + b"".join(encode(item) for item in value)


def shard(number, **changes):
    status = {
        "id": number, "clients": 4 + number, "subscriptions": 10, "channels": 7, "patterns": 1, "commands": 12,
        "messages_in": 1234567, "messages_out": 98765432100, "bytes_in": 5, "bytes_out": 6, "turns": 7,
        "parks": 42, "mesh_sent": 99999, "mesh_received": 100000, "mesh_spilled": 3, "wakes_sent": 17,
        "ring_high": 60 + number, "backlog_high": 20000 + number, "backlog_bytes": 0, "output_bytes": 9999,
        "output_limit_closed": 0, "protocol_errors": 0, "reactor": "libev", "cpu": number,
    }
    status.update(changes)
    return status


BROKER = {
    "version": "9.8.7", "pid": 4242, "uptime_seconds": 4 * 86400 + 3 * 3600 + 2 * 60 + 1, "reactor": "libev",
    "shards": 3, "clients": 950, "max_clients": 1000, "accepted": 5000, "rejected_full": 12, "accept_errors": 1,
    "accept_paused": 1,
}
STATUS = {
    "broker": BROKER,
    "shards": [shard(0), shard(1, output_limit_closed=2, protocol_errors=5), shard(2, cpu=-1, backlog_bytes=3000)],
}
CALM = {
    "broker": dict(BROKER, clients=10, rejected_full=0, accept_errors=0, accept_paused=0),
    "shards": [shard(0)],
}
OLD = {
    "broker": {"version": "0.0.1\x1b[31m", "novelty": 5, "list": [1, 2], "pid": 7},
    "news": [],
    "shards": [{"id": 5, "clients": 1, "novelty": 6}, {}],
}
STATUS_OF_MODE = {"broker": STATUS, "old": OLD, "calm": CALM}


class Requests:
    """The requests of a connection, as lists of words."""

    def __init__(self, connection):
        self.connection = connection
        self.data = b""

    def line(self):
        while b"\r\n" not in self.data:
            self.fill()
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def fill(self):
        chunk = self.connection.recv(65536)
        if not chunk:
            raise EOFError
        self.data += chunk

    def next(self):
        words = []
        for _ in range(int(self.line()[1:])):
            size = int(self.line()[1:])
            while len(self.data) < size + 2:
                self.fill()
            words.append(self.data[:size])
            self.data = self.data[size + 2:]
        return words


def subscribe(connection, mode, channel):
    if mode == "picky" and channel.startswith(b"secret"):
        connection.sendall(b"-NOPERM this channel is not for you\r\n")
        return
    connection.sendall(encode([b"subscribe", channel, 1]))
    if mode == "picky":
        connection.sendall(encode([b"message", channel, b"for " + channel]))


def answer(connection, mode, words):
    """Return: whether the connection stays open."""
    verb = words[0].upper()
    if mode == "closing":
        return False
    if mode == "http":
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    elif mode == "odd":
        connection.sendall(encode([]))
    elif mode == "noperm":
        connection.sendall(b"-NOPERM not you\x1b[2J\r\n")
    elif mode == "silent":
        pass
    elif verb == b"PING":
        connection.sendall(b"+PONG\r\n")
    elif verb == b"PUBLISH":
        connection.sendall(encode(0))
    elif verb == b"SUBSCRIBE":
        subscribe(connection, mode, words[1])
        return mode != "hangup"
    elif verb == b"BROKER":
        connection.sendall(encode(STATUS_OF_MODE[mode]))
    elif verb == b"SHUTDOWN":
        if mode == "wordy":
            connection.sendall(b"+OK\r\n")
        return False
    else:
        connection.sendall(b"-ERR unknown command '%s'\r\n" % words[0])
    return True


def serve(connection, mode):
    if mode == "full":
        connection.sendall(b"-ERR max number of clients reached\r\n")
        return
    if mode == "reset":
        connection.recv(1, socket.MSG_PEEK)
        return
    if mode == "limit":
        connection.recv(4096, socket.MSG_WAITALL)
        connection.sendall(b"-ERR Protocol error: invalid bulk length\r\n")
        return
    requests = Requests(connection)
    try:
        while answer(connection, mode, requests.next()):
            pass
    except (EOFError, ConnectionError):
        pass


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


def main():
    path, mode = sys.argv[1:]
    threading.Thread(target=end_with_stdin, daemon=True).start()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("\0" + path[1:] if path.startswith("@") else path)
    listener.listen(0 if mode == "unreceived" else 16)
    print("ready", flush=True)
    while mode == "unreceived":
        threading.Event().wait()
    while True:
        connection = listener.accept()[0]
        serve(connection, mode)
        connection.close()


main()
