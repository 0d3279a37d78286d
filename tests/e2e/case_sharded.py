# SPDX-License-Identifier: MIT
"""Shard channels: a namespace of their own beside channels and patterns."""

from resp import Push, encode, frame
from suite import case, need


def _payload(size):
    return (b"%d\r\n\0>3\r\n" % size + bytes(range(256)) * (size // 256 + 1))[:size]


@case()
def shard_acknowledgements_count_by_themselves(env):
    c = env.connect()
    p = env.proto
    c.send_raw(encode("SUNSUBSCRIBE") + encode("SUNSUBSCRIBE", "a", "b"))
    c.expect_bytes(frame(p, "sunsubscribe", None, 0) + frame(p, "sunsubscribe", "a", 0) +
                   frame(p, "sunsubscribe", "b", 0), "the ends of nothing")
    c.send_raw(encode("SSUBSCRIBE", "a", "b", "a") + encode("SUBSCRIBE", "a") + encode("PSUBSCRIBE", "p*") +
               encode("SSUBSCRIBE", "d") + encode("SUBSCRIBE", "e"))
    c.expect_bytes(frame(p, "ssubscribe", "a", 1) + frame(p, "ssubscribe", "b", 2) + frame(p, "ssubscribe", "a", 2) +
                   frame(p, "subscribe", "a", 1) + frame(p, "psubscribe", "p*", 2) + frame(p, "ssubscribe", "d", 3) +
                   frame(p, "subscribe", "e", 3), "subscriptions of each kind")
    c.send_raw(encode("SUNSUBSCRIBE", "nosuch", "e", "a") + encode("UNSUBSCRIBE", "b") + encode("UNSUBSCRIBE", "a"))
    c.expect_bytes(frame(p, "sunsubscribe", "nosuch", 3) + frame(p, "sunsubscribe", "e", 3) +
                   frame(p, "sunsubscribe", "a", 2) + frame(p, "unsubscribe", "b", 3) + frame(p, "unsubscribe", "a", 2),
                   "ends of some, known or not")
    c.send("SUNSUBSCRIBE")
    got = [list(c.read("an acknowledgement")) for _ in range(2)]
    need(sorted(g[1] for g in got) == [b"b", b"d"] and [g[2] for g in got] == [1, 0], f"{got}")
    c.send_raw(encode("SUNSUBSCRIBE") + encode("SSUBSCRIBE", "z") + encode("UNSUBSCRIBE") + encode("PUNSUBSCRIBE") +
               encode("UNSUBSCRIBE") + encode("PUNSUBSCRIBE") + encode("SUNSUBSCRIBE"))
    c.expect_bytes(frame(p, "sunsubscribe", None, 0) + frame(p, "ssubscribe", "z", 1) +
                   frame(p, "unsubscribe", "e", 1) + frame(p, "punsubscribe", "p*", 0) +
                   frame(p, "unsubscribe", None, 0) + frame(p, "punsubscribe", None, 0) +
                   frame(p, "sunsubscribe", "z", 0), "the forms without names")
    c.expect("PONG", "PING")


@case()
def shard_messages_stay_in_their_namespace(env):
    shard, channel, pattern = env.spread(1), env.spread(1), env.spread(1)
    n = len(shard)
    for s in shard:
        s.ssubscribe("ns")
    for s in channel:
        s.subscribe("ns")
    for s in pattern:
        s.psubscribe("*", "ns")
    for publisher in env.spread(1):
        publisher.spublish("ns", "to the shard channel", n)
        publisher.publish("ns", "to the channel", 3 * n)
        publisher.spublish("other", "x", 0)
    for s in shard:
        s.expect_bytes(frame(env.proto, "smessage", "ns", "to the shard channel") * n, "shard messages")
        s.quiet()
    for s in channel:
        s.expect_bytes(frame(env.proto, "message", "ns", "to the channel") * n, "messages")
        s.quiet()
    for s in pattern:
        got = [tuple(s.read("a message of a pattern")) for _ in range(2 * n)]
        need(set(got) == {(b"pmessage", q, b"ns", b"to the channel") for q in (b"*", b"ns")}, f"{got}")
        s.quiet()


@case()
def shard_and_plain_messages_of_one_name_keep_their_order(env):
    """Messages of one size alternate between the two channels, singly and in bursts."""
    subs = env.spread(2)
    for s in subs:
        s.ssubscribe("mix").subscribe("mix")
    p = env.connect()
    kinds = [i * i // 7 % 3 == 0 for i in range(2000)]
    p.send_raw(b"".join(encode("SPUBLISH" if k else "PUBLISH", "mix", f"{i:08}") for i, k in enumerate(kinds)))
    p.expect_bytes(b":%d\r\n" % len(subs) * len(kinds), "replies")
    expected = b"".join(frame(env.proto, "smessage" if k else "message", "mix", f"{i:08}")
                        for i, k in enumerate(kinds))
    for s in subs:
        s.expect_bytes(expected, "messages of both kinds")


@case()
def shard_names_and_payloads_are_any_bytes(env):
    names = (b"", b"\0", b"a\0b", b"a\0c", b"\r\n", bytes(range(256)), b" ", b"*", b"x" * 70000)
    sizes = sorted({0, 1, 2, *(b + d for b in (64, 90, 120, 256, 2048, 4096, 16384, 65536) for d in (-1, 0, 1)),
                    1 << 20})
    subs = env.spread(1)
    p = env.connect()
    for s in subs:
        s.ssubscribe(*names)
    for name in names:
        p.spublish(name, name[::-1], len(subs))
        for s in subs:
            s.expect_bytes(frame(env.proto, "smessage", name, name[::-1]), f"a message on {name[:20]!r}")
    p.send_raw(b"".join(encode("SPUBLISH", b"", _payload(n)) for n in sizes))
    p.expect_bytes(b":%d\r\n" % len(subs) * len(sizes), "replies")
    for s in subs:
        s.expect_bytes(b"".join(frame(env.proto, "smessage", b"", _payload(n)) for n in sizes), "all sizes")


@case(proto=2)
def shard_subscriber_in_resp2_is_restricted(env):
    c, other = env.pair()
    text = ("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
            "this context")
    c.ssubscribe("s")
    c.expect_error(text % "spublish", "SPUBLISH", "s", "x")
    c.expect_error(text % "publish", "PUBLISH", "s", "x")
    c.expect_error(text % "pubsub|shardchannels", "PUBSUB", "SHARDCHANNELS")
    c.expect_error(text % "hello", "HELLO", "3")
    c.expect_error("ERR wrong number of arguments for 'ssubscribe' command", "SSUBSCRIBE")
    c.expect([b"pong", b""], "PING")
    c.subscribe("t")
    c.unsubscribe("t")
    c.expect([b"pong", b"hi"], "PING", "hi")
    other.spublish("s", "x", 1)
    c.smessage("s", "x")
    c.sunsubscribe("s")
    c.expect("PONG", "PING")
    c.spublish("s", "x", 0)


@case(proto=3)
def shard_publisher_hears_itself(env):
    """In RESP3; after its reply, as in Redis 7.2."""
    c, other = env.pair()
    c.ssubscribe("own")
    other.ssubscribe("own")
    for size in (0, 1, 255, 256, 257, 16384, 70000):
        value = _payload(size)
        parts = [b":2\r\n", frame(3, "smessage", "own", value)]
        if env.own_message_first:
            parts.reverse()
        c.send("SPUBLISH", "own", value)
        c.expect_bytes(b"".join(parts), f"reply and own message of {size} bytes")
        other.expect_bytes(frame(3, "smessage", "own", value), "the other's copy")
    c.publish("own", "x", 0)
    c.expect(b"free", "ECHO", "free")
    need(c.do("HELLO", "2"), "HELLO 2")
    c.proto = 2
    other.send("SPUBLISH", "own", "two")
    c.smessage("own", "two")


@case()
def pubsub_shows_shard_channels_by_themselves(env):
    clients = env.spread(2)
    for c in clients:
        c.ssubscribe("news", "all")
    clients[0].ssubscribe("only one").subscribe("plain").psubscribe("n*")
    n = len(clients)
    asker = env.connect()
    for _ in range(env.shards):
        need(sorted(asker.do("PUBSUB", "SHARDCHANNELS")) == [b"all", b"news", b"only one"], "PUBSUB SHARDCHANNELS")
        asker.expect([b"news"], "PUBSUB", "shardchannels", "n*")
        asker.expect([], "PUBSUB", "SHARDCHANNELS", "plain")
        asker.expect([b"news", n, b"plain", 0, b"only one", 1, b"news", n],
                     "PUBSUB", "SHARDNUMSUB", "news", "plain", "only one", "news")
        asker.expect([], "PUBSUB", "SHARDNUMSUB")
        asker.expect([b"plain"], "PUBSUB", "CHANNELS")
        asker.expect([b"news", 0, b"plain", 1], "PUBSUB", "NUMSUB", "news", "plain")
        asker.expect(1, "PUBSUB", "NUMPAT")
        asker = env.connect()
    asker.expect_error("ERR unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB HELP.",
                       "PUBSUB", "SHARDCHANNELS", "a", "b")
    lines = asker.do("PUBSUB", "HELP")
    for line in ("SHARDCHANNELS [<pattern>]", "SHARDNUMSUB [<shardchannel> ...]"):
        need(line in lines, f"{line} in {lines}")
    asker.expect_error("ERR wrong number of arguments for 'spublish' command", "spublish", "a")
    asker.expect_error("ERR wrong number of arguments for 'ssubscribe' command", "ssubscribe")


@case()
def shard_channels_end_with_their_client(env):
    """RESET, QUIT, an end of file, a dead connection."""
    other = env.connect()

    def reset(c):
        need(c.do("RESET") == "RESET", "RESET")
        c.proto = 2
        c.sharded.clear()
        c.expect("PONG", "PING")

    def hang_up(c):
        c.shut_wr()
        c.eof("the end")

    for end in (reset, lambda c: c.ok("QUIT"), hang_up, lambda c: c.close()):
        c = env.connect()
        c.ssubscribe("end", "of all")
        other.spublish("end", "x", 1)
        c.smessage("end", "x")
        end(c)
        env.until("no shard channel", lambda: other.do("PUBSUB", "SHARDCHANNELS") == [])
        other.spublish("end", "x", 0)


@case()
def shard_acknowledgements_precede_messages(env):
    """Subscribers come and go under fire: nothing before the acknowledgement, everything after it."""
    p, c = env.pair()
    kind = Push if env.proto == 3 else list
    for turn in range(60):
        c.send("SSUBSCRIBE", "fire")
        p.send_raw(encode("SPUBLISH", "fire", f"{turn}") * 20)
        got = c.read("the acknowledgement")
        need(type(got) is kind and list(got) == [b"ssubscribe", b"fire", 1], f"turn {turn}: {got}")
        replies = [p.read("a reply") for _ in range(20)]
        p.spublish("fire", "last", 1)
        seen = 0
        while True:
            got = list(c.read("a message"))
            need(got[:2] == [b"smessage", b"fire"], f"{got}")
            if got[2] == b"last":
                break
            need(got[2] == b"%d" % turn, f"{got}")
            seen += 1
        need(set(replies) <= {0, 1} and replies == sorted(replies) and seen <= sum(replies), f"{seen} of {replies}")
        c.send("SUNSUBSCRIBE", "fire")
        c.expect_push(b"sunsubscribe", b"fire", 0)
