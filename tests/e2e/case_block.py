# SPDX-License-Identifier: MIT
"""Slow subscribers that make publishers wait: rules of the policy block."""

import os
import signal

from suite import case, need


def _rule(timeout):
    return {"config": ["slow_consumers:", '  - {channels: "x.*", policy: block, bytes: 256KiB, timeout: %s}' % timeout]}


def _info(client):
    """The counters of INFO broker."""
    text = client.do("INFO", "broker")
    text = text if isinstance(text, str) else text.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _payload(n):
    return b"%08d" % n + b"x" * 4088


def _publish_until_held(env, asker, publisher, channel):
    """Publishes, one message after the other was executed, until one is not. Returns the number of all."""
    for n in range(5000):
        before = int(_info(asker)["messages_in"])
        held = int(_info(asker)["block_held"])
        publisher.send_raw(b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$4096\r\n%s\r\n"
                           % (len(channel), channel.encode(), _payload(n)), read=False)

        def state():
            fields = _info(asker)
            if int(fields["messages_in"]) > before:
                return "executed"
            return int(fields["block_held"]) > held and "held"

        if env.until("a PUBLISH that is executed or held back", state) == "held":
            return n + 1
    need(False, "publishers are never held back")


@case(brokerd="it has the policy block", fresh=_rule("1h"))
def publishers_wait_for_a_slow_reader(env):
    """Nothing is lost, nothing overtakes, and what is not for the slow one goes on."""
    sub, pub = env.pair()
    asker, other = env.pair()
    sub.subscribe("x.a")
    other.subscribe("y")
    n = _publish_until_held(env, asker, pub, "x.a")
    need(n > 64, f"{n} messages are less than the mark")
    pub.send("PING", "behind it")
    for _ in range(3):
        asker.expect(1, "PUBLISH", "y", "1")
        other.message("y", "1")
    fields = _info(asker)
    need((fields["block_holds"], fields["block_held"], fields["block_timeouts"]) == ("1", "1", "0"), f"{fields}")
    need(256 << 10 < int(fields["output_bytes"]) < 2 << 20, f"{fields}")
    for i in range(n - 1):
        pub.check(pub.read("the reply to a PUBLISH"), 1, "the reply to a PUBLISH")
    for i in range(n):
        sub.message("x.a", _payload(i))
    pub.check(pub.read("the reply to the PUBLISH that waited"), 1, "the reply to the PUBLISH that waited")
    pub.check(pub.read("the reply behind it"), b"behind it", "the reply behind it")
    fields = _info(asker)
    need((fields["block_holds"], fields["block_held"], fields["block_waits"]) == ("0", "0", "1"), f"{fields}")


@case(brokerd="it has the policy block", fresh=_rule("1s"))
def who_holds_publishers_back_for_too_long_is_disconnected(env):
    sub, pub = env.pair()
    asker = env.connect()
    sub.subscribe("x.a")
    n = _publish_until_held(env, asker, pub, "x.a")
    for _ in range(n - 1):
        pub.check(pub.read("the reply to a PUBLISH"), 1, "the reply to a PUBLISH")
    pub.check(pub.read("the reply to the PUBLISH that waited"), 0, "the reply to the PUBLISH that waited")
    env.until("the count of the time-out", lambda: _info(asker)["block_timeouts"] == "1")
    env.until("the end of the slow subscriber", lambda: sub.pump() or sub.ended)
    text = env.server.output()
    need("disconnected, it held publishers back and did not come down to 131072 bytes of waiting output in 1000 ms"
         in text, text)
    if env.shards > 1:
        need("waited to publish until client" in text, text)
    pub.quiet()


@case(brokerd="it has the policy block", fresh=_rule("1s"), proto=3)
def two_that_wait_for_each_other_are_freed(env):
    """Each publishes to the other and does not read."""
    a, b = env.pair()
    asker = env.connect()
    a.subscribe("x.a")
    b.subscribe("x.b")
    _publish_until_held(env, asker, a, "x.b")
    _publish_until_held(env, asker, b, "x.a")
    env.until("the end of one of them", lambda: _info(asker)["block_timeouts"] != "0")
    env.until("nobody waits", lambda: _info(asker)["block_held"] == "0")
    asker.quiet()


@case(brokerd="it has the policy block", fresh=_rule("1h"))
def a_reload_without_the_rule_frees_publishers(env):
    sub, pub = env.pair()
    asker = env.connect()
    sub.subscribe("x.a")
    n = _publish_until_held(env, asker, pub, "x.a")
    env.server.options["config"] = []
    env.server.write_config()
    os.kill(env.server.pid, signal.SIGHUP)
    for _ in range(n):
        pub.check(pub.read("the reply to a PUBLISH"), 1, "the reply to a PUBLISH")
    fields = _info(asker)
    need((fields["block_holds"], fields["block_held"]) == ("0", "0"), f"{fields}")
    for i in range(n):
        sub.message("x.a", _payload(i))
