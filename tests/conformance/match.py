# SPDX-License-Identifier: MIT
"""
Whether received bytes are what a case expects.

An expectation becomes a list of elements for the protocol that the connection speaks. Each element matches at a
position of the buffer, and gives the position behind it; or says that bytes are missing, or that they are others.
"""

import casefile
import resp


class Missing(Exception):
    """More bytes must come first."""


class Differs(Exception):
    """These bytes are others than expected."""

    def __init__(self, at, expected):
        super().__init__()
        self.at = at
        self.expected = expected


class Literal:
    def __init__(self, data):
        self.data = data

    def match(self, buf, at, _variables):
        n = min(len(buf) - at, len(self.data))
        if buf[at:at + n] != self.data[:n]:
            i = next(i for i in range(n) if buf[at + i] != self.data[i])
            raise Differs(at + i, self.data[max(0, i - 60):i + 200])
        if n < len(self.data):
            raise Missing
        return at + n


class Line:
    """A line with holes."""

    def __init__(self, pattern):
        self.pattern = pattern

    def match(self, buf, at, variables):
        end = buf.find(b"\r\n", at)
        if end < 0:
            raise Missing
        _keep(self.pattern, bytes(buf[at:end]), at, variables)
        return end + 2


class Bulk:
    """A bulk string with holes; its length is checked by what it holds."""

    def __init__(self, pattern, sign=b"$", prefix=b""):
        self.pattern = pattern
        self.sign = sign
        self.prefix = prefix

    def match(self, buf, at, variables):
        end = buf.find(b"\r\n", at)
        if end < 0:
            raise Missing
        if buf[at:at + 1] != self.sign or not buf[at + 1:end].isdigit():
            raise Differs(at, self.sign + b"... " + self.pattern.pattern)
        begin = end + 2
        end = begin + int(buf[at + 1:end])
        if len(buf) < end + 2:
            raise Missing
        if buf[begin:begin + len(self.prefix)] != self.prefix or buf[end:end + 2] != b"\r\n":
            raise Differs(begin, self.prefix + b"... and a line end")
        _keep(self.pattern, bytes(buf[begin + len(self.prefix):end]), begin, variables)
        return end + 2


class Value:
    """Any one value, however deep."""

    def match(self, buf, at, _variables):
        if at >= len(buf):
            raise Missing
        try:
            return resp._parse(buf, at)[1]  # pylint: disable=protected-access
        except resp._Incomplete:  # pylint: disable=protected-access
            raise Missing from None


def _keep(pattern, text, at, variables):
    found = pattern.fullmatch(text)
    if not found:
        raise Differs(at, pattern.pattern)
    variables.update(found.groupdict())


def _bulk(kind, parts, proto, variables):
    verbatim = kind == "verbatim" and proto == 3
    sign, prefix = (b"=", b"txt:") if verbatim else (b"$", b"")
    if casefile.has_holes(parts):
        return Bulk(casefile.regex(parts, variables), sign, prefix)
    data = prefix + casefile.render(parts, variables)
    return Literal(sign + b"%d\r\n%s\r\n" % (len(data), data))


def _header(text, proto):
    """A push is an array in RESP2, a map an array of twice the size, a set an array."""
    if proto == 3:
        return Literal(text.encode() + b"\r\n")
    n = int(text[1:])
    return Literal(b"*%d\r\n" % (2 * n if text[0] == "%" else n))


def _line(parts, variables):
    if casefile.has_holes(parts):
        return Line(casefile.regex(parts, variables))
    return Literal(casefile.render(parts, variables) + b"\r\n")


def element(kind, content, proto, variables):
    if kind in ("bulk", "verbatim"):
        return _bulk(kind, content, proto, variables)
    if kind == "line":
        return _line(content, variables)
    if kind == "header":
        return _header(content, proto)
    if kind == "null":
        return Literal(b"_\r\n" if proto == 3 else {"_": b"$-1\r\n", "_*": b"*-1\r\n"}[content])
    if kind == "exact":
        return Literal(content.encode() + b"\r\n")
    return Value()


def _open(buf, at, expected, proto, variables):
    """An array whose first values are these; more may follow."""
    end = buf.find(b"\r\n", at)
    if end < 0:
        raise Missing
    if buf[at:at + 1] != b"*" or not buf[at + 1:end].isdigit() or int(buf[at + 1:end]) < len(expected):
        raise Differs(at, b"an array of at least %d values" % len(expected))
    more = [("value", None)] * (int(buf[at + 1:end]) - len(expected))
    return _values(buf, end + 2, expected + more, proto, variables)


def _values(buf, at, expected, proto, variables):
    for i, (kind, content) in enumerate(expected):
        if kind == "open":
            return _open(buf, at, expected[i + 1:], proto, variables)
        at = element(kind, content, proto, variables).match(buf, at, variables)
    return at


def frame(buf, expected, proto, variables):
    """Matches (kind, content) pairs from the start of buf. Return: the position behind."""
    return _values(buf, 0, expected, proto, variables)
