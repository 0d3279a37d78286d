# SPDX-License-Identifier: MIT
"""Who gets what: channels, patterns, one's own messages, any bytes, any size."""

from resp import encode, frame
from suite import case, need, scale

SIZES = sorted({0, 1, 2, 15, 16, 17, 63, 64, 127, 128, 191, 192, 193,
                *(base + d for base in (256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536) for d in (-1, 0, 1)),
                *(base + d for base in (2048, 4096, 16384, 65536) for d in range(-40, -8, 5)), 1 << 20})


def _payload(size):
    return (b"%d\r\n\0*3\r\n" % size + bytes(range(256)) * (size // 256 + 1))[:size]


@case()
def message_reaches_every_shard(env):
    subs = env.spread(2)
    pubs = env.spread(1)
    for s in subs:
        s.subscribe("news")
    for i, p in enumerate(pubs):
        p.publish("news", f"hello {i}", len(subs))
        for s in subs:
            s.message("news", f"hello {i}")
    for p in pubs:
        p.publish("other", "x", 0)
    for s in subs:
        s.quiet()


@case()
def message_comes_before_pmessage_and_once_per_match(env):
    subs = env.spread(1)
    p = env.connect()
    for s in subs:
        s.psubscribe("n*").subscribe("news").psubscribe("*s", "x*", "ne?s")
    p.publish("news", "x", 4 * len(subs))
    for s in subs:
        s.message("news", "x")
        got = [list(s.read("a pmessage")) for _ in range(3)]
        need(sorted(got) == [[b"pmessage", pat, b"news", b"x"] for pat in (b"*s", b"n*", b"ne?s")], f"{got}")
        s.quiet()
    p.publish("nope", "y", len(subs))
    for s in subs:
        s.pmessage("n*", "nope", "y")
        s.quiet()


@case()
def patterns_are_redis_globs(env):
    subs = env.spread(1)
    p = env.connect()
    table = (("h?llo", ("hello", "hallo", "h\nllo"), ("hllo", "heello", "hello!", "Hello")),
             ("h*llo", ("hllo", "heeeello", "h*llo"), ("hell", "ello")),
             ("h[ae]llo", ("hello", "hallo"), ("hillo", "hllo", "haello")),
             ("h[^e]llo", ("hallo", "h^llo"), ("hello", "hllo")),
             ("h[a-c]llo", ("hallo", "hbllo", "hcllo"), ("hdllo", "h-llo")),
             ("h[c-a]llo", ("hallo", "hbllo"), ("hdllo",)),
             (r"h\*llo", ("h*llo",), ("hello", r"h\*llo")),
             (r"h\[a]llo", ("h[a]llo",), ("hallo",)),
             (r"h[\]]llo", ("h]llo",), (r"h\llo",)),
             ("a*b*c", ("abc", "a-b-b-c-c", "abcbc"), ("ab", "acb", "abcd")),
             ("**x**", ("x", "axb"), ("y", "")),
             ("*", ("any", "x\0y", "*"), ()),
             ("", ("",), ("x",)))
    for pattern, yes, no in table:
        for s in subs:
            s.psubscribe(pattern)
        for name in yes:
            p.publish(name, "y", len(subs))
            for s in subs:
                s.pmessage(pattern, name, "y")
        for name in no:
            p.publish(name, "n", 0)
        for s in subs:
            s.quiet()
            s.punsubscribe(pattern)


@case()
def names_and_payloads_are_any_bytes(env):
    subs = env.spread(1)
    p = env.connect()
    every = bytes(range(256))
    names = (b"", b"\0", b"a\0b", b"a\0c", b"\r\n", b"a\r\nb", every, b"\xff\xfe", "käse".encode(), b" ", b"*", b"[",
             b"x" * 70000)
    for s in subs:
        s.subscribe(*names)
    for name in names:
        for value in (b"", b"\0", b"\r\n", every, b"$5\r\nhello\r\n", b"*3\r\n$7\r\nmessage\r\n"):
            p.publish(name, value, len(subs))
            for s in subs:
                s.message(name, value)
    need(set(p.do("PUBSUB", "CHANNELS")) == set(names), "PUBSUB CHANNELS returns the same bytes")


@case()
def payloads_of_any_size_arrive_whole(env):
    subs = env.spread(2)
    p = env.connect()
    for i, s in enumerate(subs):
        if i % 2:
            s.psubscribe("siz*")
        else:
            s.subscribe("size")
    for size in SIZES:
        value = _payload(size)
        p.publish("size", value, len(subs))
        for i, s in enumerate(subs):
            items = ("pmessage", "siz*") if i % 2 else ("message",)
            s.expect_bytes(frame(env.proto, *items, "size", value), f"a payload of {size} bytes")


@case()
def pipelined_sizes_arrive_in_order(env):
    subs = env.spread(1)
    p = env.connect()
    for s in subs:
        s.subscribe("size").psubscribe("s*")
    sizes = [n for n in SIZES if n < 70000] * scale(1, 10)
    p.send_raw(b"".join(encode("PUBLISH", "size", _payload(n)) for n in sizes))
    p.expect_bytes(b":%d\r\n" % (2 * len(subs)) * len(sizes), "replies")
    expected = b"".join(frame(env.proto, "message", "size", _payload(n)) +
                        frame(env.proto, "pmessage", "s*", "size", _payload(n)) for n in sizes)
    for s in subs:
        s.expect_bytes(expected, "payloads of growing size")


@case(proto=3)
def own_message_comes_whole_and_after_the_reply(env):
    """Known failure 38: publisher and subscriber at once, sizes around every buffer boundary."""
    c, other = env.pair()
    c.subscribe("own")
    other.subscribe("own")
    for size in SIZES:
        value = _payload(size)
        c.send("PUBLISH", "own", value)
        parts = [b":2\r\n", frame(3, "message", "own", value)]
        if env.own_message_first:
            parts.reverse()
        c.expect_bytes(b"".join(parts), f"reply and own message of {size} bytes")
        other.expect_bytes(frame(3, "message", "own", value), "the other's copy")


@case(proto=3)
def own_messages_interleave_with_replies(env):
    """Known failure 38, pipelined: reply, message, pmessage of each request before the next one's."""
    c, other = env.pair()
    c.subscribe("own").psubscribe("o*")
    other.subscribe("own")
    sizes = [n for n in SIZES if n < 70000]
    c.send_raw(b"".join(encode("PUBLISH", "own", _payload(n)) + encode("PUBLISH", "none", "x") + encode("PING")
                        for n in sizes))
    expected = []
    for n in sizes:
        own = [b":3\r\n", frame(3, "message", "own", _payload(n)) + frame(3, "pmessage", "o*", "own", _payload(n))]
        if env.own_message_first:
            own.reverse()
        expected += own + [b":0\r\n+PONG\r\n"]
    c.expect_bytes(b"".join(expected), "replies and own messages")
    other.expect_bytes(b"".join(frame(3, "message", "own", _payload(n)) for n in sizes), "the other's copies")


@case(proto=2)
def resp2_publisher_loses_its_voice_only_while_subscribed(env):
    """Known failure 38 in RESP2: the publisher's subscription and its publishes in one pipeline."""
    c, other = env.pair()
    other.subscribe("own2")
    for size in SIZES[::3]:
        value = _payload(size)
        c.send_raw(encode("PUBLISH", "own2", value) + encode("SUBSCRIBE", "own2") + encode("UNSUBSCRIBE", "own2") +
                   encode("PUBLISH", "own2", value))
        c.expect_bytes(b":1\r\n" + frame(2, "subscribe", "own2", 1) + frame(2, "unsubscribe", "own2", 0) + b":1\r\n",
                       "the pipeline's replies")
        other.expect_bytes(frame(2, "message", "own2", value) * 2, "two messages")


@case()
def protocols_mix_on_one_channel(env):
    """RESP2 and RESP3 subscribers of one message differ in the first byte only."""
    two, three = env.spread(2, proto=2), env.spread(2, proto=3)
    p = env.connect()
    for c in two + three:
        c.subscribe("mix").psubscribe("mi*")
    n = 2 * len(two + three)
    count = 300
    p.send_raw(b"".join(encode("PUBLISH", "mix", f"m{i}") for i in range(count)))
    p.expect_bytes(b":%d\r\n" % n * count, "replies")
    for c in two + three:
        c.expect_bytes(b"".join(frame(c.proto, "message", "mix", f"m{i}") +
                                frame(c.proto, "pmessage", "mi*", "mix", f"m{i}") for i in range(count)), "messages")


@case()
def many_subscribers_each_get_one_copy(env):
    subs = [env.connect() for _ in range(scale(100, 2000))]
    p = env.connect()
    for s in subs:
        s.subscribe("crowd")
    count = 64
    p.send_raw(b"".join(encode("PUBLISH", "crowd", f"m{i}") for i in range(count)))
    p.expect_bytes(b":%d\r\n" % len(subs) * count, "replies")
    expected = b"".join(frame(env.proto, "message", "crowd", f"m{i}") for i in range(count))
    for s in subs:
        s.expect_bytes(expected, "64 messages")
        s.quiet()


@case()
def many_channels_each_reach_their_own(env):
    """One subscriber per channel, published round robin."""
    subs = [env.connect() for _ in range(scale(60, 500))]
    p = env.connect()
    for i, s in enumerate(subs):
        s.subscribe(f"ch{i}")
    rounds = 20
    p.send_raw(b"".join(encode("PUBLISH", f"ch{i}", r) for r in range(rounds) for i in range(len(subs))))
    p.expect_bytes(b":1\r\n" * rounds * len(subs), "replies")
    for i, s in enumerate(subs):
        s.expect_bytes(b"".join(frame(env.proto, "message", f"ch{i}", str(r)) for r in range(rounds)), f"ch{i}")
        s.quiet()


@case()
def patterns_that_do_not_match_deliver_nothing(env):
    subs = env.spread(1)
    p = env.connect()
    n = scale(1000, 10000)
    for s in subs:
        s.send_raw(b"".join(encode("PSUBSCRIBE", f"no{i}:*:x{i}") for i in range(n)))
        s.expect_bytes(b"".join(frame(env.proto, "psubscribe", f"no{i}:*:x{i}", i + 1) for i in range(n)), "acks")
        s.patterns.update(f"no{i}:*:x{i}".encode() for i in range(n))
    p.expect(n, "PUBSUB", "NUMPAT")
    p.publish("yes", "x", 0)
    p.publish("no7:a:x7", "x", len(subs))
    for s in subs:
        s.pmessage("no7:*:x7", "no7:a:x7", "x")
        s.quiet()
