# SPDX-License-Identifier: MIT
"""Clients that do not read, and patterns meant to burn time."""

import time

from resp import Eof, encode, frame
from suite import HEAVY, Skip, case, need, scale

MIB = 1 << 20


def _stuff(client, request, total):
    """Sends requests and reads nothing, until the server closes or total bytes are sent. Returns whether it did."""
    data = request * max(1, MIB // len(request))
    sent = 0
    try:
        while sent < total:
            client.send_raw(data, "a request of one that never reads", read=False)
            sent += len(data)
    except Eof:
        return True
    return False


def _never_reads(env, request, ratio=1):
    """Must be closed when 32 MiB wait for it; nobody else is hurt. ratio: bytes of reply per byte of request."""
    c, other = env.pair()
    keeper = env.connect().subscribe("unhurt")
    _stuff(c, request, int(48 * MIB / ratio))
    c.gone("the end of a client that lets more than 32 MiB wait")
    other.publish("unhurt", "x", 1)
    keeper.message("unhurt", "x")
    keeper.unsubscribe("unhurt")
    other.quiet()


@case(once=True)
def replies_that_nobody_reads_are_bounded(env):
    """Known failure 31: PING in a pipeline, never reading."""
    before = env.server.memory()
    _never_reads(env, encode("PING", b"x" * 8000))
    if not env.server.sanitized():
        grown = env.server.memory() - before
        need(grown < 80 * MIB, f"{grown} bytes more are resident")


@case(single=True)
def errors_that_nobody_reads_are_bounded(env):
    """Known failure 31: error replies count like others."""
    _never_reads(env, encode("x" * 200, "y" * 200))


@case(once=True, heavy=True)
def acknowledgements_that_nobody_reads_are_bounded(env):
    """Known failure 31: so do acknowledgements."""
    _never_reads(env, encode("UNSUBSCRIBE", *[b"u" * 1000] * 100))
    _never_reads(env, encode("SUBSCRIBE", *[b"s" * 1000] * 100))


@case()
def slow_subscriber_is_disconnected_alone(env):
    slow, p = env.pair()
    live = env.spread(1)
    slow.subscribe("flood")
    for s in live:
        s.subscribe("flood")
    value = b"v" * 16384
    expected = frame(env.proto, "message", "flood", value)
    for _ in range(40):
        p.send_raw(encode("PUBLISH", "flood", value) * 64)
        for s in live:
            s.expect_bytes(expected * 64, "the flood")
        for _ in range(64):
            need(p.read("a receiver count") in (len(live), len(live) + 1), "receivers")
    slow.gone("the end of a subscriber that lets more than 32 MiB wait")
    env.until_numsub(p, "flood", len(live))
    p.publish("flood", "end", len(live))
    for s in live:
        s.message("flood", "end")


@case()
def slow_subscriber_below_the_limit_loses_nothing(env):
    slow, p = env.pair()
    quick = env.connect().subscribe("lag")
    slow.subscribe("lag").psubscribe("la*")
    count = 6000
    values = [b"%d " % i + b"v" * (40 + i * 7919 % 3000) for i in range(count)]
    p.send_raw(b"".join(encode("PUBLISH", "lag", v) for v in values))
    p.expect_bytes(b":3\r\n" * count, "replies")
    quick.expect_bytes(b"".join(frame(env.proto, "message", "lag", v) for v in values), "the quick one's messages")
    slow.expect_bytes(b"".join(frame(env.proto, "message", "lag", v) + frame(env.proto, "pmessage", "la*", "lag", v)
                               for v in values), "the slow one's messages")
    slow.quiet()


@case(once=True)
def memory_of_slow_subscribers_is_given_back(env):
    """Small messages behind a slow reader must not pin what they were cut from."""
    if env.server.sanitized():
        raise Skip("a sanitizer's memory says nothing")
    p = env.connect()
    for _ in range(2):
        slow = env.connect().subscribe("pin")
        quick = env.connect().subscribe("pin", "big")
        big = b"b" * 60000
        rounds = scale(40, 400)
        for i in range(rounds):
            p.send_raw(encode("PUBLISH", "pin", i) + encode("PUBLISH", "big", big) * 8)
            quick.expect_bytes(frame(2, "message", "pin", str(i)) + frame(2, "message", "big", big) * 8, "messages")
            for _ in range(9):
                p.read("a reply")
        resident = env.server.memory()
        slow.expect_bytes(b"".join(frame(2, "message", "pin", str(i)) for i in range(rounds)), "the slow one's")
        slow.close()
        quick.close()
        need(resident < 96 * MIB, f"{resident} bytes resident for a slow subscriber of {rounds} short messages")


@case(proto=3)
def subscriber_passes_its_limit_in_its_own_delivery(env):
    """Known failure 37: closed by the delivery that it caused itself, with more matches to come."""
    other = env.connect().subscribe("self")
    p = env.connect()
    value = b"s" * MIB
    c = env.connect()
    c.subscribe("self").psubscribe("se*", "s*f", "*")
    data = encode("PUBLISH", "self", value)
    sent = 0
    try:
        for sent in range(40):
            c.send_raw(data, "own publishes", read=False)
            if sent % 8 == 7:
                other.pump()
    except Eof:
        pass
    c.gone("the end of one that fills its own output")
    env.until_numsub(p, "self", 1)
    env.until("no pattern", lambda: p.do("PUBSUB", "NUMPAT") == 0)
    p.publish("self", "end", 1)
    while True:
        got = other.read("a message")
        if got[2] == b"end":
            break
        need(got[2] == value, "a message of the one that went")


@case(proto=3)
def last_subscriber_leaves_behind_its_own_message(env):
    """Known failure 37: the channel's entry goes while its message is under way."""
    p = env.connect()
    for i in range(scale(60, 2000)):
        c = env.connect()
        c.subscribe("last")
        tail = (encode("UNSUBSCRIBE", "last"), encode("QUIT"), encode("RESET"), b"*1\r\n:")[i % 4]
        c.send_raw(encode("PUBLISH", "last", i) + tail)
        parts = [b":1\r\n", frame(3, "message", "last", str(i))]
        if env.own_message_first:
            parts.reverse()
        answer = (frame(3, "unsubscribe", "last", 0), b"+OK\r\n", b"+RESET\r\n", b"-ERR Protocol error: ")[i % 4]
        if i % 4 == 3:
            c.send_raw(b"1\r\n")
        c.expect_bytes(b"".join(parts) + answer, "reply, message, farewell")
        c.close()
        env.until_numsub(p, "last", 0)


def _publish_within(env, p, channel, seconds):
    began = time.monotonic()
    got = p.publish(channel, "x")
    took = time.monotonic() - began
    limit = seconds * (20 if env.server.sanitized() else 1)
    need(took < limit, f"a PUBLISH on {len(channel)} bytes of channel took {took:.2f} s")
    return got


@case(brokerd="7.0.15 is slow here itself", single=True)
def glob_bombs_do_not_burn_time(env):
    """Known failure 35: each is paid by every PUBLISH."""
    s, p = env.pair()
    table = (("a*" * 64 + "b", "a" * 4000), ("*a" * 64 + "*b", "a" * 4000), ("a*" * 1000 + "b", "a" * 4000),
             ("*[" + "z" * 40000 + "]", "y" * 4000), ("*[" + "z" * 40000 + "]x", "y" * 65536),
             ("*" * 5000 + "b", "a" * 65536), ("?*" * 500 + "b", "a" * 4000), ("*" + "?" * 500 + "b", "a" * 65536),
             ("[^b]*" * 100 + "b", "a" * 20000), ("\\a*" * 64 + "b", "a" * 4000), ("*aaaaaaaaab", "a" * MIB),
             ("*" + "a" * 2000 + "b", "a" * 20000))
    for pattern, name in table:
        s.send("PSUBSCRIBE", pattern)
        got = s.read("an acknowledgement or a refusal")
        if isinstance(got, str):
            continue
        need(_publish_within(env, p, name, 2) == 0, f"{pattern[:40]} matched")
        s.punsubscribe(pattern)
    s.quiet()


@case(once=True)
def bombs_that_match_are_delivered(env):
    s, p = env.pair()
    for pattern, name in (("a*" * 30 + "b", "a" * 100 + "b"), ("*" * 1000, "x" * 1000),
                          ("*" + "[abc]" * 20 + "*", "x" * 50 + "abc" * 10 + "y" * 50)):
        s.psubscribe(pattern)
        need(_publish_within(env, p, name, 2) == 1, f"{pattern[:40]} did not match")
        s.pmessage(pattern, name, "x")
        s.punsubscribe(pattern)


@case(brokerd="7.0.15 is slow here itself", single=True)
def pubsub_channels_takes_no_bombs(env):
    s, p = env.pair()
    s.subscribe(*["a" * 1000 + str(i) for i in range(50)])
    began = time.monotonic()
    p.expect([], "PUBSUB", "CHANNELS", "a*" * 64 + "b")
    took = time.monotonic() - began
    need(took < (20 if env.server.sanitized() else 2), f"took {took:.2f} s")


@case(once=True)
def patterns_without_literals_stay_cheap(env):
    """Thousands of patterns with nothing to index by: each PUBLISH still ends soon."""
    s, p = env.pair()
    n = 2000 if not HEAVY else 10000
    s.send("PSUBSCRIBE", *[f"*{i:05}*" for i in range(n)])
    for i in range(n):
        s.expect_push(b"psubscribe", f"*{i:05}*".encode(), i + 1)
    need(_publish_within(env, p, "x00007x", 2) == 1, "one of them matches")
    s.pmessage("*00007*", "x00007x", "x")
    s.send("PUNSUBSCRIBE")
    for _ in range(n):
        s.read("an acknowledgement")
