# SPDX-License-Identifier: MIT
"""
A raw-socket RESP2/RESP3 client.

Every wait has a deadline, and its error names what was waited for. Sending takes in what arrives meanwhile, so a
pipeline of any length cannot block both sides. Nothing is dropped or reordered: frames come out of read() exactly
as they came in, pushes included; errors are values.
"""

import errno
import os
import select
import socket
import time

DEADLINE = float(os.environ.get("E2E_DEADLINE", "10"))


class Failure(AssertionError):
    """What a case found wrong."""


class Eof(Failure):
    """The server closed the connection."""


class Error(str):
    """An error reply, without its '-'."""


class Push(list):
    """A RESP3 push frame."""


class _Incomplete(Exception):
    pass


def encode(*args):
    """One request as a multibulk."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif isinstance(arg, int):
            arg = b"%d" % arg
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


def frame(proto, *items):
    """The bytes of a delivery or an acknowledgement."""
    out = [b"%c%d\r\n" % (b">"[0] if proto == 3 else b"*"[0], len(items))]
    for item in items:
        if isinstance(item, int):
            out.append(b":%d\r\n" % item)
        elif item is None:
            out.append(b"_\r\n" if proto == 3 else b"$-1\r\n")
        else:
            if isinstance(item, str):
                item = item.encode()
            out.append(b"$%d\r\n%s\r\n" % (len(item), item))
    return b"".join(out)


def _parse(buf, pos):
    """The frame at pos. Returns (value, position behind it)."""
    end = buf.find(b"\r\n", pos)
    if end < 0:
        raise _Incomplete
    kind = buf[pos]
    line = bytes(buf[pos + 1:end])
    pos = end + 2
    if kind in b"+-":
        text = line.decode("utf-8", "surrogateescape")
        return (Error(text) if kind == 45 else text), pos
    if kind == 58:
        return int(line), pos
    if kind == 95:
        if line:
            raise Failure(f"a null with something in it: {line!r}")
        return None, pos
    if kind == 35:
        return {b"t": True, b"f": False}[line], pos
    if kind == 44:
        return float(line), pos
    if kind == 40:
        return int(line), pos
    if kind in b"$=!":
        n = int(line)
        if n < 0:
            return None, pos
        if len(buf) < pos + n + 2:
            raise _Incomplete
        if buf[pos + n:pos + n + 2] != b"\r\n":
            raise Failure(f"a bulk of {n} bytes does not end where it said")
        value = bytes(buf[pos:pos + n])
        if kind == 61:
            value = value[4:]
        return (Error(value.decode()) if kind == 33 else value), pos + n + 2
    if kind in b"*>~%":
        n = int(line)
        if n < 0:
            return None, pos
        values = []
        for _ in range(n * 2 if kind == 37 else n):
            value, pos = _parse(buf, pos)
            values.append(value)
        if kind == 37:
            return {_key(values[i]): values[i + 1] for i in range(0, 2 * n, 2)}, pos
        return (Push(values) if kind == 62 else values), pos
    raise Failure(f"no RESP type begins with {bytes([kind])!r} (next bytes: {bytes(buf[pos:pos + 40])!r})")


def _key(value):
    return tuple(value) if isinstance(value, list) else value


class Client:
    """One connection. Subscriptions made through it are tracked, so that acknowledged counts can be checked."""

    def __init__(self, path, proto=2, name="client", handshake=True):
        self.name = name
        self.proto = 2
        self.channels = set()
        self.patterns = set()
        self.sharded = set()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.buf = bytearray()
        self.ended = None
        self._connect(path)
        if not handshake:
            return
        if proto == 3:
            reply = self.do("HELLO", 3)
            if not isinstance(reply, dict) or reply.get(b"proto") != 3:
                raise Failure(f"{name}: HELLO 3 replied {reply!r}")
            self.proto = 3
        else:
            self.check(self.do("PING"), "PONG", "the first PING")

    def _connect(self, path):
        until = time.monotonic() + DEADLINE
        while True:
            self.sock.settimeout(max(0.01, until - time.monotonic()))
            try:
                self.sock.connect(path)
                break
            except BlockingIOError:
                pass
            except socket.timeout:
                pass
            if time.monotonic() > until:
                raise Failure(f"{self.name}: no connection within {DEADLINE} s")
            time.sleep(0.001)  # the backlog is full: nothing tells when it is not
        self.sock.setblocking(False)

    def fileno(self):
        return self.sock.fileno()

    def check(self, got, expected, what):
        if got != expected or isinstance(got, Error) != isinstance(expected, Error):
            raise Failure(f"{self.name}: {what}: got {_short(got)}, expected {_short(expected)}")

    # ------------------------------------------------------------ bytes

    def _receive(self):
        """Takes what is there. Returns False if nothing was."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            self.ended = "reset"
            return True
        if data:
            self.buf += data
        else:
            self.ended = "end of file"
        return True

    def _wait(self, events, until, what):
        left = until - time.monotonic()
        if left > 0:
            poll = select.poll()
            poll.register(self.sock, events)
            ready = poll.poll(left * 1000)
            if ready:
                return ready[0][1]
        raise Failure(f"{self.name}: {what} did not come within {DEADLINE} s; "
                      f"unread: {len(self.buf)} bytes {bytes(self.buf[:80])!r}")

    def _fill(self, until, what):
        if self.ended:
            raise Eof(f"{self.name}: {self.ended} while waiting for {what}; "
                      f"unread: {len(self.buf)} bytes {bytes(self.buf[:80])!r}")
        self._wait(select.POLLIN, until, what)
        self._receive()

    def send_raw(self, data, what="room to send", read=True):
        """Sends all of data, taking in what arrives meanwhile (unless read is False)."""
        until = time.monotonic() + DEADLINE
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view[:1 << 18]):]
                continue
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                raise Eof(f"{self.name}: the server closed while this was sent: {what}") from None
            events = self._wait(select.POLLOUT | (select.POLLIN if read and not self.ended else 0), until, what)
            if read and events & select.POLLIN:
                self._receive()
                until = time.monotonic() + DEADLINE

    def send(self, *args):
        self.send_raw(encode(*args), f"sending {_short(args)}")

    def peek(self, n):
        """Waits for something to read, takes at most n bytes of it, and forgets them."""
        self._wait(select.POLLIN, time.monotonic() + DEADLINE, "anything to read")
        return self.sock.recv(n)

    def pump(self):
        """Takes in what has arrived, without waiting."""
        while self._receive() and not self.ended:
            pass

    def expect_bytes(self, expected, what):
        """The next bytes must be exactly these."""
        done = 0
        until = time.monotonic() + DEADLINE
        while True:
            n = min(len(self.buf), len(expected) - done)
            if self.buf[:n] != expected[done:done + n]:
                at = next(i for i in range(n) if self.buf[i] != expected[done + i])
                raise Failure(f"{self.name}: {what}: byte {done + at} of {len(expected)} differs: got "
                              f"{bytes(self.buf[max(0, at - 40):at + 60])!r}, expected "
                              f"{bytes(expected[max(0, done + at - 40):done + at + 60])!r}")
            del self.buf[:n]
            done += n
            if done == len(expected):
                return
            if n:
                until = time.monotonic() + DEADLINE
            self._fill(until, f"{what} ({done} of {len(expected)} bytes came)")

    # ------------------------------------------------------------ frames

    def read(self, what="a reply"):
        until = time.monotonic() + DEADLINE
        while True:
            if self.buf:
                try:
                    value, pos = _parse(self.buf, 0)
                    del self.buf[:pos]
                    return value
                except _Incomplete:
                    pass
            self._fill(until, what)

    def do(self, *args):
        """One request and the next frame."""
        self.send(*args)
        return self.read(f"the reply to {_short(args)}")

    def ok(self, *args):
        self.check(self.do(*args), "OK", f"reply to {_short(args)}")

    def expect(self, value, *args):
        """The reply to args is this value."""
        self.check(self.do(*args), value, f"reply to {_short(args)}")

    def expect_error(self, text, *args):
        self.check(self.do(*args), Error(text), f"reply to {_short(args)}")

    def expect_push(self, *items, what=None):
        """The next frame is a delivery or an acknowledgement with these items."""
        items = [i.encode() if isinstance(i, str) else i for i in items]
        got = self.read(what or f"the frame {_short(items)}")
        kind = Push if self.proto == 3 else list
        if type(got) is not kind:
            raise Failure(f"{self.name}: expected the frame {_short(items)}, got a {type(got).__name__} {_short(got)}")
        if list(got) != items:
            raise Failure(f"{self.name}: expected the frame {_short(items)}, got {_short(list(got))}")

    def message(self, channel, payload):
        self.expect_push(b"message", channel, payload)

    def smessage(self, channel, payload):
        self.expect_push(b"smessage", channel, payload)

    def pmessage(self, pattern, channel, payload):
        self.expect_push(b"pmessage", pattern, channel, payload)

    def quiet(self):
        """Nothing but the answer to a PING comes next."""
        self.send("PING", "quiet")
        if self.proto == 2 and (self.channels or self.patterns or self.sharded):
            self.expect_push(b"pong", b"quiet")
        else:
            self.check(self.read("PONG"), b"quiet", "nothing but the PING's answer")

    def eof(self, what="end of file", reset=False):
        """The server closes, with nothing more to read."""
        until = time.monotonic() + DEADLINE
        while not self.ended:
            self._wait(select.POLLIN, until, what)
            self._receive()
        if self.buf:
            raise Failure(f"{self.name}: {what}: unexpected before the end: {bytes(self.buf[:200])!r}")
        if self.ended == "reset" and not reset:
            raise Failure(f"{self.name}: {what}: the connection was reset")

    # ------------------------------------------------------------ subscriptions

    def _change(self, verb, names, kind, add):
        names = [n.encode() if isinstance(n, str) else n for n in names]
        self.send(verb, *names)
        for name in names:
            (kind.add if add else kind.discard)(name)
            count = len(kind) if kind is self.sharded else len(self.channels) + len(self.patterns)
            self.expect_push(verb.lower(), name, count)

    def subscribe(self, *names):
        self._change("SUBSCRIBE", names, self.channels, True)
        return self

    def psubscribe(self, *names):
        self._change("PSUBSCRIBE", names, self.patterns, True)
        return self

    def unsubscribe(self, *names):
        self._change("UNSUBSCRIBE", names, self.channels, False)
        return self

    def punsubscribe(self, *names):
        self._change("PUNSUBSCRIBE", names, self.patterns, False)
        return self

    def ssubscribe(self, *names):
        self._change("SSUBSCRIBE", names, self.sharded, True)
        return self

    def sunsubscribe(self, *names):
        self._change("SUNSUBSCRIBE", names, self.sharded, False)
        return self

    def publish(self, channel, payload, receivers=None, verb="PUBLISH"):
        """Publishes and checks the number of receivers."""
        got = self.do(verb, channel, payload)
        if receivers is not None:
            self.check(got, receivers, f"receivers of {verb} {_short(channel)}")
        elif not isinstance(got, int):
            raise Failure(f"{self.name}: {verb} {_short(channel)} replied {_short(got)}")
        return got

    def spublish(self, channel, payload, receivers=None):
        return self.publish(channel, payload, receivers, "SPUBLISH")

    def gone(self, what):
        """The server closed, whatever is still unread."""
        until = time.monotonic() + DEADLINE
        while not self._wait(select.POLLHUP | select.POLLERR, until, what) & (select.POLLHUP | select.POLLERR):
            pass

    def shut_wr(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        try:
            self.sock.close()
        except OSError as error:
            if error.errno != errno.EBADF:
                raise


def _short(value, limit=200):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
