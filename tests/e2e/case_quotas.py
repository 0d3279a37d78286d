# SPDX-License-Identifier: MIT
"""What all clients of a user may use together, on every shard; where the tests run as root, beside another user."""

import os
import select
import time

from case_access import NOBODY, Other
from case_reload import Place
from resp import DEADLINE, Error, Failure, encode
from suite import case, need

OPEN = {"mode": "0666"}


class Beside:
    """Another user, who is not touched by what this one does; nobody, unless the tests run as root."""

    def __init__(self, env):
        self.other = None
        if os.geteuid() == 0:
            os.chmod(env.server.dir, 0o711)
            self.other = Other(env.server.path, NOBODY, [], env.proto)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.other:
            self.other.end()

    def need(self, value, *args):
        if self.other:
            answer = self.other.do(*args)
            need(answer == ("value", value), f"the other user's {args}: {answer}")


def _counters(env, what):
    text = env.connect().do("INFO", "broker").decode()
    lines = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
    return int(lines[what])


def _limit(name, bound):
    return Error(f"ERR the limit of {bound} for all clients of your user is reached: {name}")


@case(brokerd="has no quotas of users",
      fresh={**OPEN, "config": ["max_subscriptions_per_user: 12", "max_patterns_per_user: 3"]})
def subscriptions_of_a_user_have_a_bound(env):
    with Beside(env) as beside:
        clients = env.spread(2) if env.shards > 1 else env.spread(6)
        for i, c in enumerate(clients):
            c.subscribe(f"a{i}", f"b{i}")  # 12 in all, whatever shard
        for c in clients:
            c.check(c.do("SUBSCRIBE", "one-more"), _limit("max_subscriptions_per_user", 12), "at the bound")
            c.check(c.do("SUBSCRIBE", "x", "y"), _limit("max_subscriptions_per_user", 12), "above it")
        beside.need([b"subscribe", b"c", 1], "SUBSCRIBE", "c")
        clients[0].unsubscribe("a0", "b0")
        clients[1].psubscribe("p0.*", "p1.*")
        clients[2].unsubscribe("a2", "b2")
        clients[3].psubscribe("p2.*")
        clients[0].check(clients[0].do("PSUBSCRIBE", "p3.*"), _limit("max_patterns_per_user", 3), "patterns")
        clients[0].subscribe("just-fits")
        clients[4].close()
        env.until("room that a client left", lambda: not isinstance(clients[5].do("SSUBSCRIBE", "again"), Error))
        need(_counters(env, "quota_subscriptions_refused") >= 12, "refusals are counted")
        env.until("a line in the log", lambda: f"user {os.geteuid()} is at max_subscriptions_per_user (12)"
                  in env.server.output())


@case(brokerd="has no quotas of users", fresh={**OPEN, "config": ["publish_rate_per_user: 50"]})
def messages_of_a_user_have_a_rate(env):
    with Beside(env) as beside:
        clients = env.spread(2)
        began, n = time.monotonic(), 130
        for i in range(n):
            clients[i % len(clients)].send_raw(encode("PUBLISH", "c", "x"))
        beside.need(0, "PUBLISH", "c", "x")
        for i in range(n):
            c = clients[i % len(clients)]
            c.check(c.read("a reply that was late"), 0, "nothing is lost")
        took = time.monotonic() - began
        # 50 at once, and a lease may be on its way; the rest as they flow in
        need(took > (n - 50) / 50 * 0.9, f"{n} messages at 50 a second took {took:.2f} s")
        need(_counters(env, "quota_messages_paused") > 0, "pauses are counted")


@case(brokerd="has no quotas of users", fresh={**OPEN, "config": ["max_output_per_user: 1MiB"]})
def output_of_a_user_has_a_bound(env):
    """Several who do not read, each well below a client's own bound."""
    with Beside(env) as beside:
        slow = env.spread(2) if env.shards > 1 else env.spread(4)
        publisher = env.connect()
        beside.need([b"subscribe", b"else", 1], "SUBSCRIBE", "else")
        for c in slow:
            c.subscribe("news")
        payload = "x" * 20000
        for _ in range(400):
            publisher.do("PUBLISH", "news", payload)
            if _counters(env, "output_limit_closed"):
                break
        need(_counters(env, "output_limit_closed") > 0, "somebody was disconnected")
        env.until("output below the bound", lambda: _counters(env, "output_bytes") <= 1 << 20)
        publisher.publish("else", "hello", 1 if beside.other else 0)
        if beside.other:
            need(beside.other.do() == ("value", [b"message", b"else", b"hello"]), "the other user hears on")


@case(brokerd="has no quotas of users", fresh={**OPEN, "config": ["max_input_per_user: 64KiB"]})
def input_of_a_user_has_a_bound(env):
    """Two requests that are not whole and do not fit together: one of them has to go, and says why."""
    request = encode("PUBLISH", "c", "x" * 60000)
    with Beside(env) as beside:
        halves = env.pair()
        for c in halves:
            c.send_raw(request[:40000])
        beside.need(0, "PUBLISH", "c", "y" * 60000)
        for c in halves:
            try:
                c.send_raw(request[40000:41000], read=False)
            except Failure:
                pass  # it is the one
        told = select.select(halves, [], [], DEADLINE)[0]
        need(len(told) == 1, f"{len(told)} of them are told something")
        gone, left = halves if told[0] is halves[0] else halves[::-1]
        gone.check(gone.read("the error"), _limit("max_input_per_user", 65536), "who has to go")
        gone.eof("its end", reset=True)
        left.send_raw(request[41000:], read=False)
        left.check(left.read("the reply"), 0, "the other one goes on")
        left.quiet()


@case(brokerd="has no quotas of users")
def a_reload_moves_the_bound(env):
    place = Place(env, config=["max_subscriptions_per_user: 2"]).start()
    first, second = place.connect(), place.connect()
    first.subscribe("a")
    second.subscribe("b")
    second.check(second.do("SUBSCRIBE", "c"), _limit("max_subscriptions_per_user", 2), "at the bound")
    place.hup(place.text("max_subscriptions_per_user: 3"))
    env.until("the new bound", lambda: not isinstance(second.do("SUBSCRIBE", "c"), Error))
    first.check(first.do("SUBSCRIBE", "d"), _limit("max_subscriptions_per_user", 3), "at the new one")
    place.hup(place.text("max_subscriptions_per_user: none"))
    env.until("no bound", lambda: not isinstance(first.do("SUBSCRIBE", "d"), Error))
