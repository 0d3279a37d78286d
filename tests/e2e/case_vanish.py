# SPDX-License-Identifier: MIT
"""Clients that leave: in good order, half, in the middle of something, or all at once."""

import os
import socket

from resp import Eof, encode, frame
from suite import case, need, scale


@case()
def every_reply_comes_before_the_end(env):
    """4,000 PUBLISH, then SHUT_WR: 4,000 replies, 4,000 deliveries, then the end."""
    subs = env.spread(1)
    for s in subs:
        s.subscribe("eof")
    count = 4000
    for turn in range(env.shards):
        p = env.connect()
        p.send_raw(b"".join(encode("PUBLISH", "eof", f"{turn} {i}") for i in range(count)), read=False)
        p.shut_wr()
        p.expect_bytes(b":%d\r\n" % len(subs) * count, "4,000 replies")
        p.eof("the end after the replies")
        for s in subs:
            s.expect_bytes(b"".join(frame(env.proto, "message", "eof", f"{turn} {i}") for i in range(count)),
                           "4,000 messages")
    for s in subs:
        s.quiet()


@case(brokerd="drops what it has not written yet")
def waiting_replies_come_before_the_end(env):
    """More replies than the socket holds: the end of the requests does not cut them off."""
    c = env.connect()
    value = b"w" * 10000
    count = 800
    c.send_raw(encode("PING", value) * count, read=False)
    c.shut_wr()
    c.expect_bytes(b"$10000\r\n" + value + b"\r\n", "the first reply")
    c.expect_bytes((b"$10000\r\n" + value + b"\r\n") * (count - 1), "the other replies")
    c.eof("the end after the replies")


@case()
def acknowledgements_come_before_the_end(env):
    """SUBSCRIBE and PUBLISH, then SHUT_WR at once: each is answered."""
    other = env.connect()
    for i in range(scale(30, 1000)):
        c = env.connect()
        c.send_raw(encode("PUBLISH", "none", "x") + encode("SUBSCRIBE", f"eof{i}", "b") + encode("PING", "p"))
        c.shut_wr()
        pong = frame(2, "pong", "p") if env.proto == 2 else b"$1\r\np\r\n"
        c.expect_bytes(b":0\r\n" + frame(env.proto, "subscribe", f"eof{i}", 1) +
                       frame(env.proto, "subscribe", "b", 2) + pong, "acknowledgements before the end")
        c.eof()
        c.close()
    env.until_numsub(other, "b", 0)


@case()
def unfinished_request_at_the_end_is_dropped(env):
    subs = env.pair()[0].subscribe("half request")
    c = env.connect()
    c.send_raw(encode("PING") + encode("PUBLISH", "half request", "x")[:-3])
    c.shut_wr()
    c.check(c.read(), "PONG", "the whole request")
    c.eof()
    subs.quiet()


@case()
def half_closed_subscriber_is_closed(env):
    s, p = env.pair()
    s.subscribe("hc").psubscribe("h*")
    p.publish("hc", "last", 2)
    s.message("hc", "last")
    s.pmessage("h*", "hc", "last")
    s.shut_wr()
    s.eof()
    env.until_numsub(p, "hc", 0)
    env.until("no pattern", lambda: p.do("PUBSUB", "NUMPAT") == 0)
    p.publish("hc", "x", 0)


@case()
def dead_subscriber_is_forgotten(env):
    subs = env.spread(2)
    p = env.connect()
    for s in subs:
        s.subscribe("dies")
        s.psubscribe("d*")
    for i, s in enumerate(subs):
        s.close()
        env.until_numsub(p, "dies", len(subs) - i - 1)
        p.publish("dies", "x")
    env.until("no pattern", lambda: p.do("PUBSUB", "NUMPAT") == 0)
    p.publish("dies", "x", 0)


@case()
def subscriber_dies_with_its_subscribe_under_way(env):
    """Its acknowledgement is never written; the others' counts come back to base."""
    keeper, p = env.pair()
    keeper.subscribe("pending")
    for i in range(scale(100, 3000)):
        c = env.raw()
        c.send_raw(encode("SUBSCRIBE", "pending", f"own{i % 7}") + encode("PSUBSCRIBE", "pend*"))
        c.close()
        if i % 10 == 0:
            p.publish("pending", "x")
            keeper.message("pending", "x")
    env.until_numsub(p, "pending", 1)
    env.until("no pattern", lambda: p.do("PUBSUB", "NUMPAT") == 0)
    env.until("the keeper alone receives", lambda: p.publish("pending", "x") == 1)
    p.publish("pending", "end")
    while list(keeper.read("a message")) != [b"message", b"pending", b"end"]:
        pass


@case()
def publisher_dies_with_requests_unread(env):
    """Its replies can no longer be written; what it sent is executed in order up to some point."""
    s, fence = env.pair()
    s.subscribe("pd")
    for turn in range(scale(20, 500)):
        p = env.raw()
        p.send_raw(b"".join(encode("PUBLISH", "pd", f"{turn} {i}") for i in range(50)))
        p.close()
    seen = {}
    fence.publish("pd", "fence", 1)
    while True:
        got = list(s.read("a message"))
        if got[2] == b"fence":
            break
        turn, i = (int(n) for n in got[2].split())
        need(seen.get(turn, -1) + 1 == i, f"turn {turn}: message {i} came, {seen.get(turn, -1) + 1} was due")
        seen[turn] = i


@case()
def client_vanishes_with_output_pending(env):
    """Known failure 50: the peer is gone when the server writes. SIGPIPE has its default action."""
    p, other = env.pair()
    keeper = env.connect().subscribe("gone")
    value = b"x" * 60000
    turns = scale(60, 2000)
    for i in range(turns):
        subs = [env.raw() for _ in range(4)]
        for n, s in enumerate(subs):
            s.send("SUBSCRIBE", "gone")
            got = s.read("the acknowledgement")
            need(list(got) == [b"subscribe", b"gone", 1], f"{got}")
        p.send_raw(encode("PUBLISH", "gone", value) * 8)
        for n, s in enumerate(subs):
            if n % 2:
                s.peek(100 + 977 * n)
            s.close()
        for _ in range(8):
            need(p.read("a reply") >= 1, "receivers")
        keeper.expect_bytes(frame(env.proto, "message", "gone", value) * 8, "the keeper's copies")
    other.quiet()
    env.until_numsub(p, "gone", 1)


@case()
def client_closes_while_replies_are_written(env):
    """Known failure 50: as a reset, with unread replies and unread requests on both sides."""
    c = env.connect()
    for i in range(scale(300, 10000)):
        s = env.raw()
        try:
            s.send_raw(encode("PING", b"y" * (1 + 100 * (i % 50))) * 20, read=False)
        except Eof:
            pass
        s.close()
        if i % 50 == 0:
            c.quiet()
    c.quiet()


@case(once=True)
def descriptors_sent_along_are_closed(env):
    """Known failure 48: 253 descriptors with each message."""
    c = env.connect()
    base = env.server.n_fds()
    null = os.open("/dev/null", os.O_RDONLY)
    inside, outside = os.pipe()
    try:
        for i in range(scale(100, 1000)):
            fds = [null] * 252 + [outside]
            socket.send_fds(c.sock, [encode("PING", i)], fds)
            c.check(c.read(), str(i).encode(), "PING with descriptors")
        need(env.server.n_fds() <= base, f"{env.server.n_fds()} descriptors, {base} before")
        for data in (b"P", b"ING\r\n"):
            socket.send_fds(c.sock, [data], [null] * 253)
        c.check(c.read(), "PONG", "PING in two pieces with descriptors each")
        silent = env.raw()
        socket.send_fds(silent.sock, [b"*1\r\n"], [outside] * 253)
        silent.close()
        os.close(outside)
        outside = None
        env.until("the last copy of a pipe's end that was sent along is closed", lambda: _closed(inside))
        env.until("descriptors are back to base", lambda: env.server.n_fds() <= base)
    finally:
        os.close(null)
        os.close(inside)
        if outside is not None:
            os.close(outside)


def _closed(fd):
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1) == b""
    except BlockingIOError:
        return False


@case(once=True)
def churn_reuses_descriptors(env):
    """Known failures 24 and 53: closed and accepted again under the same number, with a request under way or not."""
    keeper = env.connect().subscribe("churn")
    p = env.connect()
    base = env.server.n_fds()
    for i in range(scale(1500, 100000)):
        kind = i % 5
        c = env.raw()
        if kind == 0:
            c.close()
        elif kind == 1:
            c.send_raw(b"PING\r\n")
            c.close()
        elif kind == 2:
            c.send_raw(b"QUIT\r\n")
            c.expect_bytes(b"+OK\r\n", "QUIT")
            c.close()
        elif kind == 3:
            c.send_raw(b"SUBSCRIBE churn\r\nPUBLISH a")
            c.close()
        else:
            c.expect(str(i).encode(), "ECHO", i)
            c.close()
        env.clients.pop()
        if i % 300 == 0:
            p.publish("churn", i)
            keeper.message("churn", str(i))
    # the last one was answered, so all have been accepted; some may not have been heard yet
    env.until("all are gone", lambda: env.server.n_fds() <= base)
    env.until_numsub(p, "churn", 1)
    p.publish("churn", "end", 1)
    keeper.message("churn", "end")
    keeper.quiet()


@case(once=True)
def many_clients_come_and_go_at_once(env):
    """Known failure 53: closes and accepts in one iteration of the loop."""
    c = env.connect()
    for turn in range(scale(10, 300)):
        crowd = [env.raw() for _ in range(100)]
        for each in crowd:
            each.send_raw(b"SUBSCRIBE crowd\r\n")
        for each in crowd[::2]:
            each.close()
        more = [env.raw() for _ in range(50)]
        for each in more:
            each.send_raw(b"PING\r\n")
        for each in crowd[1::2]:
            each.expect_bytes(b"*3\r\n$9\r\nsubscribe\r\n$5\r\ncrowd\r\n:1\r\n", "an acknowledgement")
            each.close()
        for each in more:
            each.expect_bytes(b"+PONG\r\n", "PONG")
            each.close()
        del env.clients[1:]
        c.quiet()
    env.until_numsub(c, "crowd", 0)
