# SPDX-License-Identifier: MIT
"""What is refused, in Redis's words."""

from resp import Error, encode
from suite import case

ARITY = "ERR wrong number of arguments for '%s' command"


@case()
def wrong_arity_is_named(env):
    c = env.connect()
    for name, *args in (("publish", "PUBLISH"), ("publish", "PUBLISH", "a"), ("publish", "PUBLISH", "a", "b", "c"),
                        ("subscribe", "SUBSCRIBE"), ("psubscribe", "PSUBSCRIBE"), ("ping", "PING", "a", "b"),
                        ("echo", "ECHO"), ("echo", "Echo", "a", "b"), ("select", "SELECT"),
                        ("select", "SELECT", "0", "0"), ("reset", "RESET", "x"), ("client", "CLIENT"),
                        ("client|id", "CLIENT", "ID", "x"), ("client|setname", "CLIENT", "SETNAME"),
                        ("client|setname", "CLIENT", "SETNAME", "a", "b"),
                        ("client|getname", "client", "getname", "x"), ("pubsub", "PUBSUB"),
                        ("pubsub|numpat", "PUBSUB", "NUMPAT", "x"), ("command|count", "COMMAND", "COUNT", "x")):
        c.expect_error(ARITY % name, *args)


@case()
def unknown_command_is_quoted_with_its_arguments(env):
    c = env.connect()
    text = "ERR unknown command '%s', with args beginning with: %s"
    c.expect_error(text % ("nosuch", ""), "NOSUCH".lower())
    c.expect_error(text % ("NoSuch", "'a' 'b' 'c' "), "NoSuch", "a", "b", "c")
    c.expect_error(text % ("GETT", "'key' "), "GETT", "key")
    c.expect_error(text % ("nosuch", "'' "), "nosuch", "")
    c.expect_error(text % ("", ""), "")
    c.expect_error(text % ("n" * 128, ""), "n" * 200)
    c.expect_error(text % ("nosuch", "'" + "a" * 128 + "' "), "nosuch", "a" * 300, "b")
    many = "".join(f"'{n:03}' " for n in range(21)) + "'02' "
    c.expect_error(text % ("nosuch", many), "nosuch", *(f"{n:03}" for n in range(100)))


@case()
def unknown_command_text_cannot_break_the_stream(env):
    c = env.connect()
    c.send("no\r\nsuch", "a\r\n+OK", "b\n\0c")
    reply = c.read("an error")
    c.check(isinstance(reply, Error) and "\n" not in reply and "\r" not in reply, True, f"one error line: {reply!r}")
    c.expect("PONG", "PING")


@case()
def unknown_subcommand_is_named(env):
    c = env.connect()
    for command in ("CLIENT", "PUBSUB", "COMMAND"):
        c.expect_error(f"ERR unknown subcommand 'NoSuch'. Try {command} HELP.", command, "NoSuch")
        c.expect_error(f"ERR unknown subcommand 'NoSuch'. Try {command} HELP.", command, "NoSuch", "x", "y")
    c.expect_error("ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
                   "PUBSUB", "CHANNELS", "a", "b")


@case()
def errors_do_not_stop_a_pipeline(env):
    c = env.connect()
    c.send_raw(encode("PING") + encode("NOSUCH") + encode("PUBLISH", "a") + encode("ECHO", "x") +
               encode("CLIENT", "FOO") + encode("PING", "end"))
    kinds = [c.read("a reply") for _ in range(6)]
    c.check([isinstance(k, Error) for k in kinds], [False, True, True, False, True, False], "which are errors")
    c.check([kinds[0], kinds[3], kinds[5]], ["PONG", b"x", b"end"], "the replies between them")


def _broken(env, data, text, before=b""):
    """data ends the connection with this error."""
    c = env.connect()
    c.send_raw(before + data)
    if before:
        c.check(c.read("the reply before"), "PONG", "what came before is answered")
    c.check(c.read(f"the error for {data[:60]!r}"), Error("ERR Protocol error: " + text), f"{data[:60]!r}")
    c.eof("the end after a protocol error", reset=True)


@case()
def protocol_errors_are_named_and_end_the_connection(env):
    ping = encode("PING")
    for before in (b"", ping):
        _broken(env, b"*abc\r\n", "invalid multibulk length", before)
        _broken(env, b"*99999999999999999999\r\n", "invalid multibulk length", before)
        _broken(env, b"*1\r\n:4\r\n", "expected '$', got ':'", before)
        _broken(env, b"*1\r\nPING\r\n", "expected '$', got 'P'", before)
        _broken(env, b"*1\r\n$abc\r\n", "invalid bulk length", before)
        _broken(env, b"*1\r\n$-1\r\n", "invalid bulk length", before)
        _broken(env, b"*1\r\n$\r\n", "invalid bulk length", before)
        _broken(env, b"ECHO \"unbalanced\r\n", "unbalanced quotes in request", before)
        _broken(env, b"ECHO 'a'b\r\n", "unbalanced quotes in request", before)


@case()
def declared_numbers_are_read_strictly(env):
    """Known failure 33: lengths around the limits of integers, signs, leading zeros."""
    for number in (b"2147483648", b"4294967296", b"4294967300", b"9223372036854775807", b"9223372036854775808",
                   b"18446744073709551615", b"18446744073709551616", b"18446744073709551620", b"+5", b"0x5", b" 5",
                   b"5 ", b"-0", b"05", b"--5", b"-2147483649", b"-9223372036854775808"):
        _broken(env, b"*1\r\n$" + number + b"\r\n", "invalid bulk length")
    for number in (b"2147483648", b"4294967297", b"9223372036854775807", b"18446744073709551617", b"+1", b"0x1",
                   b" 1", b"1 ", b"-0", b"01"):
        _broken(env, b"*" + number + b"\r\n$4\r\nPING\r\n", "invalid multibulk length")


@case()
def lines_without_end_are_cut_off(env):
    _broken(env, b"a" * 70000, "too big inline request")
    _broken(env, b"*" + b"1" * 70000, "too big mbulk count string")
    _broken(env, b"*1\r\n$" + b"1" * 70000, "too big bulk count string")


@case()
def protocol_error_of_a_subscriber_ends_its_subscriptions(env):
    c, other = env.pair()
    c.subscribe("pe").psubscribe("pe*")
    c.send_raw(b"*1\r\n:1\r\n")
    c.check(c.read("an error"), Error("ERR Protocol error: expected '$', got ':'"), "the error")
    c.eof("the end after a protocol error", reset=True)
    env.until_numsub(other, "pe", 0)
    other.publish("pe", "x", 0)


@case()
def http_is_hung_up_on(env):
    """Somebody else's HTTP client must not be led to say commands: the connection ends without an answer."""
    sub = env.connect().subscribe("http")
    for head in (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"hOST: x\r\n"):
        c = env.raw()
        c.send_raw(head + encode("PUBLISH", "http", "smuggled"))
        c.eof("the end of a client that speaks HTTP", reset=True)
    sub.quiet()
