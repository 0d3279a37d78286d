# SPDX-License-Identifier: MIT
"""
Plays the steps of a case on connections of its own.

Requests that follow each other on one connection go out in one write, so a pipeline is written as it looks. With
`split: every byte` each byte is sent alone, and only after the server has taken the one before.
"""

import fcntl
import select
import struct
import termios
import time

import casefile
import match
from resp import DEADLINE, Client, Eof, Failure, encode


class Wrong(Failure):
    """A step that went otherwise."""


class Line(Client):
    """A connection of a case: the raw client, and which protocol the case says it speaks."""

    def __init__(self, path, proto, name):
        super().__init__(path, proto, name, handshake=proto == 3)
        self.proto = proto
        self.pending = b""

    def more(self, until, what):
        self._fill(until, what)


class Player:
    """Sends and expects what the steps say."""

    def __init__(self, path, case, proto, variables, deadline=DEADLINE):
        self.path = path
        self.case = case
        self.proto = proto
        self.variables = variables
        self.deadline = deadline
        self.lines = {}
        self.step = None
        self.fences = 0

    def play(self, steps):
        try:
            for i, step in enumerate(steps):
                self.step = step
                self.one(self.line(step.who), step, steps[i + 1] if i + 1 < len(steps) else None)
            for line in self.lines.values():
                self.nothing_left(line)
        except Wrong as error:
            raise Wrong(f"{self.case.where(self.step)}: {self.step.who} {self.step.verb}: {error}") from None
        finally:
            for line in self.lines.values():
                line.close()

    def line(self, who):
        if who not in self.lines:
            try:
                self.lines[who] = Line(self.path, self.proto, who)
            except Failure as error:
                raise Wrong(f"connecting: {error}") from None
        return self.lines[who]

    def one(self, line, step, following):
        if step.verb in ("send", "raw"):
            line.pending += self.request(step)
            together = following and following.who == step.who and following.verb in ("send", "raw")
            if not together:
                self.write(line)
        elif step.verb == "expect":
            self.expect(line, lambda: match.frame(line.buf, step.content, line.proto, self.variables))
        elif step.verb == "raw-expect":
            wanted = match.Literal(casefile.render(step.content, self.variables))
            self.expect(line, lambda: wanted.match(line.buf, 0, self.variables))
        elif step.verb == "any-order":
            self.any_order(line, step)
        elif step.verb == "eof":
            self.end(line)
        elif step.verb == "quiet":
            self.fence(line)
        elif step.verb == "close":
            line.close()
            del self.lines[step.who]
        elif step.verb == "shut":
            line.shut_wr()
        else:
            line.proto = 3 if step.verb == "resp3" else 2

    def request(self, step):
        if step.verb == "raw":
            return casefile.render(step.content, self.variables)
        return encode(*[casefile.render(word, self.variables) for word in step.content])

    # ------------------------------------------------------------ out

    def write(self, line):
        data, line.pending = line.pending, b""
        try:
            if not self.case.split:
                line.send_raw(data)
                return
            for i in range(len(data)):
                line.send_raw(data[i:i + 1])
                self.until_taken(line)
        except Eof:
            pass  # what it said before is read below

    def until_taken(self, line):
        """The kernel holds nothing more that the server has not read."""
        until = time.monotonic() + self.deadline
        while struct.unpack("i", fcntl.ioctl(line.sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]:
            if time.monotonic() > until:
                raise Wrong("the server does not read")
            if select.select([line.sock], [], [], 0)[0]:
                line.pump()
                if line.ended:
                    return

    # ------------------------------------------------------------ in

    def expect(self, line, matcher):
        """matcher gives the position behind what it matched, from the start of the buffer."""
        until = time.monotonic() + self.deadline
        while True:
            try:
                at = matcher()
                del line.buf[:at]
                return
            except match.Differs as differs:
                got = bytes(line.buf[max(0, differs.at - 60):differs.at + 200])
                raise Wrong(f"at byte {differs.at} of\n    got      {got!r}\n    expected {differs.expected!r}\n"
                            f"    all that came: {bytes(line.buf[:600])!r}") from None
            except match.Missing:
                self.more(line, until)

    def more(self, line, until):
        try:
            if time.monotonic() > until:
                raise Failure("too late")
            line.more(until, "more")
        except Failure:
            raise Wrong(f"{line.ended or 'nothing more came in time'}; there is {bytes(line.buf[:600])!r}") from None

    def any_order(self, line, step):
        """One frame of those not seen yet of this group of lines."""
        if not hasattr(line, "group") or not line.group:
            steps = self.case.brokerd_steps if step not in self.case.steps else self.case.steps
            first = steps.index(step)
            line.group = []
            for other in steps[first:]:
                if other.verb != "any-order" or other.who != step.who:
                    break
                line.group.append(other)

        def matcher():
            missing = False
            for one in line.group:
                try:
                    at = match.frame(line.buf, one.content, line.proto, self.variables)
                except match.Missing:
                    missing = True
                    continue
                except match.Differs:
                    continue
                line.group.remove(one)
                return at
            if missing:
                raise match.Missing
            raise match.Differs(0, b"one of the frames that may come in any order")
        self.expect(line, matcher)

    def fence(self, line):
        """Nothing comes but the answer to a PING."""
        self.fences += 1
        mark = b"fence-%d" % self.fences
        line.send_raw(encode("PING", mark))
        bulk = b"$%d\r\n%s\r\n" % (len(mark), mark)
        answers = [bulk, b"*2\r\n$4\r\npong\r\n" + bulk]

        def matcher():
            for answer in answers:
                if line.buf[:len(answer)] == answer:
                    return len(answer)
            if any(answer.startswith(line.buf) for answer in answers):
                raise match.Missing
            raise match.Differs(0, b"silence")
        self.expect(line, matcher)

    def end(self, line):
        until = time.monotonic() + self.deadline
        while not line.ended:
            self.more(line, until)
        if line.buf:
            raise Wrong(f"before the end there came {bytes(line.buf[:600])!r}")

    def nothing_left(self, line):
        """Ends the connection in order; what nothing expected comes before the server's own end."""
        until = time.monotonic() + self.deadline
        if not line.ended:
            try:
                line.shut_wr()
            except OSError:
                pass  # the server was faster
        while not line.ended:
            self.more(line, until)
        if line.buf:
            raise Wrong(f"at the end of the case {line.name} has {bytes(line.buf[:600])!r} that nothing expected")
