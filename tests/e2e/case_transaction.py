# SPDX-License-Identifier: MIT
"""MULTI, EXEC, DISCARD, WATCH, UNWATCH."""

from resp import encode, frame
from suite import case, need, scale

ABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"


def queue(c, *commands):
    """MULTI and the commands, all in one write."""
    c.send_raw(b"".join([encode("MULTI")] + [encode(*command) for command in commands]))
    c.expect_bytes(b"+OK\r\n" + b"+QUEUED\r\n" * len(commands), "the replies while it is queued")


@case()
def a_transaction_answers_one_array(env):
    c = env.connect()
    queue(c, ("PING",), ("ECHO", b"a\r\n\0"), ("PUBLISH", "nobody", ""), ("SELECT", "7"), ("UNWATCH",))
    c.send("EXEC")
    c.expect_bytes(b"*5\r\n+PONG\r\n$4\r\na\r\n\0\r\n:0\r\n-ERR DB index is out of range\r\n+OK\r\n", "the array")
    queue(c)
    c.expect([], "EXEC")
    queue(c, ("PING",))
    c.ok("DISCARD")
    c.ok("WATCH", "a", "b")
    queue(c, ("PING",), ("PUBSUB", "NUMSUB", "a"))
    c.expect(["PONG", [b"a", 0]], "EXEC")
    c.quiet()


@case()
def a_transaction_is_refused_in_the_words_of_redis(env):
    c = env.connect()
    c.expect_error("ERR EXEC without MULTI", "EXEC")
    c.expect_error("ERR DISCARD without MULTI", "DISCARD")
    for name in ("multi", "exec", "discard", "unwatch"):
        text = f"wrong number of arguments for '{name}' command"
        prefix = "EXECABORT Transaction discarded because of: " if name == "exec" else "ERR "
        c.expect_error(prefix + text, name, "x")
    c.expect_error("ERR wrong number of arguments for 'watch' command", "watch")
    queue(c)
    c.expect_error("ERR MULTI calls can not be nested", "MULTI")
    c.expect_error("ERR WATCH inside MULTI is not allowed", "WATCH", "a")
    c.expect([], "EXEC")
    for wrong in (("NOSUCH",), ("ECHO",), ("CLIENT", "NOSUCH"), ("MULTI", "x"), ("WATCH",), ("DISCARD", "x")):
        queue(c, ("PUBLISH", "a", "never"))
        reply = c.do(*wrong)
        need(str(reply).startswith("ERR "), f"{wrong}: {reply!r}")
        c.expect("QUEUED", "PING")
        c.send("EXEC")
        c.expect_bytes(ABORT, f"the refusal after {wrong}")
        c.expect_error("ERR EXEC without MULTI", "EXEC")
    queue(c, ("PING",))
    c.expect_error("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
                   "EXEC", "x")
    c.expect_error("ERR EXEC without MULTI", "EXEC")
    queue(c, ("SSUBSCRIBE", "a"), ("MONITOR",), ("PING",))
    c.send("EXEC")
    c.expect_bytes(b"*3\r\n-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n"
                   b"-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n+PONG\r\n", "what is denied in it")
    c.quiet()


@case()
def a_subscribed_resp2_client_may_not_begin_one(env):
    c = env.connect(proto=2).subscribe("s")
    text = ("Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
            "context")
    for name in ("multi", "discard"):
        c.expect_error("ERR " + text % name, name)
    c.expect_error("ERR " + text % "watch", "watch", "a")
    c.expect_error("EXECABORT Transaction discarded because of: " + text % "exec", "exec")
    c.quiet()


@case()
def quit_and_reset_act_at_once_in_a_transaction(env):
    c = env.connect()
    queue(c, ("SUBSCRIBE", "a"))
    c.send("RESET")
    c.expect_bytes(b"+RESET\r\n", "the reply to RESET")
    c.expect_error("ERR EXEC without MULTI", "EXEC")
    queue(c, ("SUBSCRIBE", "a"))
    c.ok("QUIT")
    c.eof("the end after QUIT")


@case()
def subscriptions_in_a_transaction_count_there(env):
    c, other = env.pair()
    queue(c, ("SUBSCRIBE", "a", "b"), ("PUBLISH", "a", "x"), ("PING",), ("UNSUBSCRIBE", "b"), ("PUBLISH", "b", "y"))
    c.send("EXEC")
    message = frame(c.proto, "message", "a", "x")
    first, last = (message, b"") if env.own_message_first else (b"", message)
    c.expect_bytes(b"*5\r\n" + frame(c.proto, "subscribe", "a", 1) + frame(c.proto, "subscribe", "b", 2) + first +
                   b":1\r\n" + (b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" if c.proto == 2 else b"+PONG\r\n") +
                   frame(c.proto, "unsubscribe", "b", 1) + b":0\r\n" + last, "the array and the message")
    other.publish("a", "1", receivers=1)
    other.publish("b", "1", receivers=0)
    c.message(b"a", b"1")
    c.channels.add(b"a")
    c.unsubscribe("a")
    queue(c, ("UNSUBSCRIBE",), ("PSUBSCRIBE", "a*", "b*"), ("PUBLISH", "ab", "z"), ("PUNSUBSCRIBE",), ("PING",))
    c.send("EXEC")
    message = frame(c.proto, "pmessage", "a*", "ab", "z")
    first, last = (message, b"") if env.own_message_first else (b"", message)
    c.expect_bytes(b"*5\r\n" + frame(c.proto, "unsubscribe", None, 0) + frame(c.proto, "psubscribe", "a*", 1) +
                   frame(c.proto, "psubscribe", "b*", 2) + first + b":1\r\n" +
                   frame(c.proto, "punsubscribe", "a*", 1) + frame(c.proto, "punsubscribe", "b*", 0) +
                   b"+PONG\r\n" + last, "the array and the message")
    other.expect(0, "PUBSUB", "NUMPAT")
    other.publish("ab", "1", receivers=0)
    c.quiet()


@case(brokerd="it asks shards")
def answers_of_other_shards_stand_in_the_array(env):
    c = env.connect()
    queue(c, ("INFO", "nosuch"), ("ECHO", "a"), ("BROKER", "STATUS"), ("SUBSCRIBE", "s"), ("UNSUBSCRIBE", "s"),
          ("INFO", "clients"), ("ECHO", "b"))
    array = c.do("EXEC")
    need(len(array) == 7 and array[0] == b"" and array[1] == b"a" and array[6] == b"b", f"{array!r}")
    need(list(array[3]) == [b"subscribe", b"s", 1] and list(array[4]) == [b"unsubscribe", b"s", 0], f"{array!r}")
    need(array[5].startswith(b"# Clients\r\n"), f"{array[5]!r}")
    c.quiet()


@case()
def the_messages_of_a_transaction_are_in_one_piece(env):
    rounds, size = scale(20, 200), 25
    subscribers = [s.subscribe("t") for s in env.spread()]
    publishers = env.spread(2)
    for n in range(rounds):
        for i, p in enumerate(publishers):
            commands = [encode("MULTI")] + [encode("PUBLISH", "t", f"{i}:{n}:{k}") for k in range(size)]
            p.send_raw(b"".join(commands + [encode("EXEC"), encode("PUBLISH", "t", f"{i}:{n}:-")]))
    for p in publishers:
        for n in range(rounds):
            p.expect_bytes(b"+OK\r\n" + b"+QUEUED\r\n" * size + b"*%d\r\n" % size +
                           b":%d\r\n" % len(subscribers) * (size + 1), "the replies of a round")
    for s in subscribers:
        newest, last = {}, None
        for _ in range(rounds * (size + 1) * len(publishers)):
            payload = s.read("a message")[2]
            i, n, k = payload.split(b":")
            position = int(n) * (size + 1) + (size if k == b"-" else int(k))
            need(position == newest.get(i, -1) + 1, f"publisher {i}: {position} after {newest.get(i)}")
            newest[i] = position
            if env.shards == 1 and k not in (b"0", b"-"):
                need(last == i, f"{payload} behind one of publisher {last}")
            last = i


@case()
def clients_that_vanish_in_a_transaction_leave_nothing(env):
    other = env.connect()
    for n in range(scale(100, 2000)):
        c = env.connect()
        requests = b"".join(encode(*command) for command in (
            ("MULTI",), ("SUBSCRIBE", "v", "w"), ("PUBLISH", "v", "x" * 1000), ("PSUBSCRIBE", "v*"), ("UNSUBSCRIBE", "w"),
            ("EXEC",), ("PING",)))
        c.send_raw(requests[:len(requests) - n % len(requests)])
        c.close()
    env.until_numsub(other, "v", 0)
    env.until_numsub(other, "w", 0)
    env.until("no pattern", lambda: other.do("PUBSUB", "NUMPAT") == 0)


@case(brokerd="Redis ends the connection", once=True, fresh={"max_request_bytes": "64KiB"})
def the_commands_of_a_transaction_are_bounded(env):
    c = env.connect()
    queue(c, *[("ECHO", "x" * 10000)] * 6)
    c.expect_error("ERR the commands of the transaction take more memory than one request may", "ECHO", "x" * 10000)
    c.send("EXEC")
    c.expect_bytes(ABORT, "the refusal")
    queue(c, *[("ECHO", "x" * 10000)] * 6)
    need(c.do("EXEC") == [b"x" * 10000] * 6, "a transaction within the bound")
    c.quiet()
