# SPDX-License-Identifier: MIT
"""How requests may arrive: split anywhere, pipelined, inline, large, or promised larger than they are."""

from resp import encode, frame
from suite import Skip, case, need, scale


def _bytewise(client, data):
    for i in range(len(data)):
        client.send_raw(data[i:i + 1])


@case()
def requests_come_byte_by_byte(env):
    c, other = env.pair()
    _bytewise(c, encode("PING"))
    c.check(c.read(), "PONG", "PING")
    _bytewise(c, encode("ECHO", b"a\r\n\0$1\r\n*b"))
    c.check(c.read(), b"a\r\n\0$1\r\n*b", "ECHO")
    _bytewise(c, b"PING inline\r\n")
    c.check(c.read(), b"inline", "an inline PING")
    other.subscribe("split")
    _bytewise(c, encode("PUBLISH", "split", "payload"))
    c.check(c.read(), 1, "PUBLISH")
    other.message("split", "payload")
    _bytewise(c, encode("SUBSCRIBE", "b1", "b2"))
    c.expect_push(b"subscribe", b"b1", 1)
    c.expect_push(b"subscribe", b"b2", 2)


@case()
def pipeline_is_cut_at_every_byte(env):
    c = env.connect()
    data = encode("ECHO", "one") + b"PING two\r\n" + encode("PUBLISH", "nobody", "x") + encode("PING", "")
    expected = b"$3\r\none\r\n$3\r\ntwo\r\n:0\r\n$0\r\n\r\n"
    for at in range(1, len(data)):
        c.send_raw(data[:at])
        c.send_raw(data[at:])
        c.expect_bytes(expected, f"replies to a pipeline cut at byte {at}")


@case()
def inline_requests_are_words(env):
    c = env.connect()
    for line, reply in ((b"PING\r\n", "PONG"), (b"PING\n", "PONG"), (b"  PING   x  \r\n", b"x"),
                        (b"ECHO \"a b\"\r\n", b"a b"), (b"ECHO 'a b'\r\n", b"a b"), (b"ECHO \"\"\r\n", b""),
                        (b"ECHO \"\\x41\\n\\t\\\"\\\\\"\r\n", b"A\n\t\"\\"), (b"ECHO 'it\\'s \\n'\r\n", b"it's \\n"),
                        (b"echo\ttab\r\n", b"tab"), (b"publish nobody x\r\n", 0)):
        c.send_raw(line)
        c.check(c.read(f"the reply to {line!r}"), reply, repr(line))


@case()
def empty_requests_are_skipped(env):
    c = env.connect()
    c.send_raw(b"\r\n\n  \r\n*0\r\n*-1\r\n*-5\r\n\r\n" + encode("PING", "after"))
    c.check(c.read(), b"after", "the request behind empty ones")


@case()
def subscribe_works_inline(env):
    c, other = env.pair()
    c.send_raw(b"SUBSCRIBE in1 in2\r\nPSUBSCRIBE in*\n")
    c.expect_push(b"subscribe", b"in1", 1)
    c.expect_push(b"subscribe", b"in2", 2)
    c.expect_push(b"psubscribe", b"in*", 3)
    other.send_raw(b"PUBLISH in2 \"hello world\"\r\n")
    other.check(other.read(), 2, "PUBLISH")
    c.message("in2", "hello world")
    c.pmessage("in*", "in2", "hello world")


@case()
def long_pipelines_are_answered_in_order(env):
    c = env.connect()
    n = scale(10000, 100000)
    c.send_raw(b"".join(encode("PING", i) for i in range(n)))
    c.expect_bytes(b"".join(b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(n)), f"{n} replies")


@case()
def pipelined_subscriptions_keep_reply_order(env):
    """What follows a SUBSCRIBE in a pipeline is answered after its acknowledgement."""
    c = env.connect()
    n = 200
    data, expected = [], []
    for i in range(n):
        data += [encode("SUBSCRIBE", f"ps{i}", f"pt{i}"), encode("PING", i), encode("UNSUBSCRIBE", f"ps{i}"),
                 encode("PSUBSCRIBE", f"pp{i}*"), encode("UNSUBSCRIBE", f"pt{i}", "nosuch"),
                 encode("PUNSUBSCRIBE", f"pp{i}*")]
        text = str(i)
        pong = frame(2, "pong", text) if env.proto == 2 else b"$%d\r\n%s\r\n" % (len(text), text.encode())
        expected += [frame(env.proto, "subscribe", f"ps{i}", 1), frame(env.proto, "subscribe", f"pt{i}", 2), pong,
                     frame(env.proto, "unsubscribe", f"ps{i}", 1), frame(env.proto, "psubscribe", f"pp{i}*", 2),
                     frame(env.proto, "unsubscribe", f"pt{i}", 1), frame(env.proto, "unsubscribe", "nosuch", 1),
                     frame(env.proto, "punsubscribe", f"pp{i}*", 0)]
    c.send_raw(b"".join(data))
    c.expect_bytes(b"".join(expected), "replies to pipelined subscriptions")


@case()
def one_request_names_thousands_of_channels(env):
    c, other = env.pair()
    names = [f"many:{i}" for i in range(5000)]
    c.send("SUBSCRIBE", *names)
    c.expect_bytes(b"".join(frame(env.proto, "subscribe", n, i + 1) for i, n in enumerate(names)), "5000 acks")
    need(len(other.do("PUBSUB", "CHANNELS", "many:*")) == 5000, "PUBSUB CHANNELS lists 5000")
    other.publish("many:4999", "x", 1)
    other.publish("many:0", "y", 1)
    c.message("many:4999", "x")
    c.message("many:0", "y")
    c.send("UNSUBSCRIBE", *names)
    c.expect_bytes(b"".join(frame(env.proto, "unsubscribe", n, 4999 - i) for i, n in enumerate(names)), "5000 acks")
    other.publish("many:1", "x", 0)


@case()
def large_arguments_echo(env):
    c = env.connect()
    for size in (16384, 32767, 32768, 65536, 1 << 20, 5 << 20):
        value = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        c.send("ECHO", value)
        c.expect_bytes(b"$%d\r\n" % size + value + b"\r\n", f"an echo of {size} bytes")


@case()
def declared_lengths_cost_nothing(env):
    """Known failure 32: memory follows what was received, not what was promised."""
    if env.server.sanitized():
        raise Skip("a sanitizer's memory says nothing")
    env.connect().quiet()
    before, before_size = env.server.memory(), env.server.memory("VmSize")
    n = scale(60, 1000)
    clients = []
    for i in range(n):
        c = env.raw()
        c.send_raw((b"*1048576\r\n", b"*2\r\n$4\r\nECHO\r\n$536000000\r\n", b"*1048576\r\n$530000000\r\n")[i % 3])
        _bytewise(c, b"\r\n$53" if i % 3 else b"$5300")
        clients.append(c)
    for _ in range(env.shards):
        env.connect().quiet()
    grown = env.server.memory() - before
    need(grown < n * 64 * 1024, f"{n} connections that promise much: {grown} bytes of RSS more")
    if not env.reference:
        grown = env.server.memory("VmSize") - before_size
        need(grown < 256 << 20, f"{n} connections that promise much: {grown} bytes of address space more")


@case()
def many_arguments_with_large_bulks_are_bounded(env):
    """Known failure 32: a million arguments may be declared, but only what comes is kept."""
    c = env.raw()
    c.send_raw(b"*1048576\r\n" + b"$1\r\nx\r\n" * 20000)
    other = env.connect()
    other.quiet()
    need(env.server.alive(), "alive")


@case()
def header_trickles_in(env):
    """Known failure 32: a header that grows by a byte at a time."""
    c = env.connect()
    data = b"*3\r\n$0000000007\r\n"
    for i in range(len(data)):
        c.send_raw(data[i:i + 1])
    text = c.read("an error for leading zeros")
    c.check(str(text), "ERR Protocol error: invalid bulk length", "leading zeros")
    c.eof(reset=True)


@case()
def connections_that_say_nothing_are_served_later(env):
    n = scale(300, 5000)
    idle = [env.raw() for _ in range(n)]
    c, other = env.pair()
    c.subscribe("among idle")
    other.publish("among idle", "x", 1)
    c.message("among idle", "x")
    for each in idle[::max(1, n // 50)]:
        each.expect("PONG", "PING")
