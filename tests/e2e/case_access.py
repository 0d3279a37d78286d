# SPDX-License-Identifier: MIT
"""Who may do what, by rules over real users and groups."""

import multiprocessing
import os
import socket
import time

from case_reload import Place
from resp import DEADLINE, Client, Eof, Error, Failure
from suite import Skip, case, need

NOBODY = 65534
GROUP = 4242  # no system has a group of this number that nobody is in

REFUSED = "NOPERM No permissions to access a channel"

RULES = [
    "access_default: deny",
    "access:",
    "  - allow: [publish, subscribe, psubscribe]",
    "    user: 0",
    "  - allow: publish",
    "    channels: 'sensor.*'",
    f"    user: {NOBODY}",
    "  - deny: publish",
    "    channels: 'sensor.secret*'",
    f"    user: {NOBODY - 10}-{NOBODY}",
    "  - allow: [subscribe, psubscribe]",
    "    channels: ['group.*', 'sensor.*']",
    f"    group: {GROUP}",
]


class Other:
    """A process of another user with one connection; it does what it is told and answers what it read."""

    def __init__(self, path, uid, groups, proto, handshake=True):
        self.pipe = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=self._serve,
                                                                   args=(path, uid, groups, proto, handshake))
        self.process.start()

    def _serve(self, path, uid, groups, proto, handshake):
        os.setgroups(groups)
        os.setgid(uid)
        os.setuid(uid)
        client = Client(path, proto, f"user {uid}", handshake)
        while True:
            args = self.pipe[1].recv()
            if args is None:
                return
            try:
                reply = client.do(*args) if args else client.read("a push")
                if isinstance(reply, Error):
                    self.pipe[1].send(("error", str(reply)))
                else:  # a push is told as a plain list
                    self.pipe[1].send(("value", list(reply) if isinstance(reply, list) else reply))
            except Eof:
                self.pipe[1].send(("end", None))

    def do(self, *args):
        """Without arguments: reads what comes."""
        self.pipe[0].send(args)
        if not self.pipe[0].poll(DEADLINE):
            raise Failure(f"no answer from the other user to {args}")
        return self.pipe[0].recv()

    def refused(self, *args, text=REFUSED):
        answer = self.do(*args)
        need(answer == ("error", text), f"{args}: {answer}")

    def end(self):
        self.pipe[0].send(None)
        self.process.join(DEADLINE)
        if self.process.is_alive():
            self.process.kill()
            raise Failure("the other user's process does not end")


def _others(env, *groups):
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")
    os.chmod(env.server.dir, 0o711)
    return [Other(env.server.path, NOBODY, list(g), env.proto) for g in groups]


@case(brokerd="has no rules over users of the system", fresh={"mode": "0666", "config": RULES})
def rules_hold_for_users(env):
    (other,) = _others(env, [])
    try:
        root = env.spread()
        for c in root:
            c.subscribe("sensor.a", "sensor.secret", "else")
        need(other.do("PUBLISH", "sensor.a", "1") == ("value", len(root)), "what it may")
        other.refused("PUBLISH", "sensor.secret", "2")
        other.refused("PUBLISH", "sensor", "2")
        other.refused("PUBLISH", "else", "2")
        other.refused("SPUBLISH", "else", "2")
        other.refused("SUBSCRIBE", "sensor.a")
        other.refused("PSUBSCRIBE", "sensor.*")
        other.refused("SSUBSCRIBE", "sensor.a")
        other.refused("BROKER", "STATUS",
                      text="NOPERM User default has no permissions to run the 'broker|status' command")
        need(other.do("MULTI") == ("value", "OK"), "MULTI")
        other.refused("PUBLISH", "else", "2")
        need(other.do("EXEC")[0] == "error", "a spoilt transaction")
        need(other.do("PUBLISH", "sensor.b", "3") == ("value", 0), "and on")
        for c in root:
            c.message("sensor.a", "1")
            c.quiet()
        env.until("the reason", lambda: 'may not publish to the channel "sensor.secret": ' in env.server.output())
        need("broker.yaml:" in env.server.output() and "access[2] denies it" in env.server.output(),
             f"the rule by its place: {env.server.output()}")
    finally:
        other.end()


@case(brokerd="has no rules over groups of the system", fresh={"mode": "0666", "config": RULES})
def rules_hold_for_supplementary_groups(env):
    member, stranger = _others(env, [GROUP], [])
    try:
        root = env.connect()
        stranger.refused("PSUBSCRIBE", "group.*")
        member.refused("PSUBSCRIBE", "*")
        member.refused("PSUBSCRIBE", "[gs]*")
        member.refused("SUBSCRIBE", "group.a", "else")
        need(member.do("PSUBSCRIBE", "sensor.[a-c]*") == ("value", [b"psubscribe", b"sensor.[a-c]*", 1]), "within")
        root.publish("sensor.bed", "1", 1)
        need(member.do() == ("value", [b"pmessage", b"sensor.[a-c]*", b"sensor.bed", b"1"]), "what it may hear")
    finally:
        member.end()
        stranger.end()


def _listens(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex("\0" + name) == 0


@case(brokerd="has no abstract sockets", single=True)
def abstract_sockets_let_in_who_a_rule_names(env):
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")
    for config, refused in (([], True), (["access: [{allow: publish, user: 1}]"], True),
                            (["access: [{allow: publish, channels: a}]"], False)):
        name = f"brokerd-e2e-{os.getpid()}-{len(config)}-{refused}"
        server = env.server_like(path="'@" + name + "'", config=config)
        server.spawn()
        env.until("the abstract listener", lambda name=name: _listens(name))
        other = Other("\0" + name, NOBODY, [], 2, handshake=False)
        try:
            if refused:
                other.refused(text="NOPERM no access rule lets your user in by an abstract socket")
                need(other.do()[0] == "end", "and closed")
            else:
                need(other.do("PUBLISH", "a", "1") == ("value", 0), "by the rule")
                other.refused("PUBLISH", "b", "1")
                other.refused("SUBSCRIBE", "a")
        finally:
            other.end()
        root = Client("\0" + name)
        root.expect(0, "PUBLISH", "b", "1")
        root.close()
        server.stop()


@case(brokerd="keeps these channels to itself")
def nobody_publishes_to_channels_of_the_broker(env):
    c = env.connect()
    refused = "NOPERM channels that begin with '__brokerd__:' are the broker's: only it publishes there"
    c.expect_error(refused, "PUBLISH", "__brokerd__:loss", "x")
    c.expect_error(refused, "SPUBLISH", "__brokerd__:", "x")
    listener = env.connect()
    listener.subscribe("__brokerd__:loss").psubscribe("__brokerd__:*")
    c.expect_error(refused, "PUBLISH", "__brokerd__:loss", "x")
    c.expect(0, "PUBLISH", "__brokerd__", "x")
    listener.quiet()


@case(brokerd="has no rules that a reload changes")
def a_right_that_ends_ends_the_subscription(env):
    """Known failure 41: rights are taken by a reload, and subscribers are dropped within a second."""
    place = Place(env).start()
    subscribers = [place.connect() for _ in range(2 * env.shards)]
    publisher = place.connect()
    for c in subscribers:
        c.subscribe("kept", "gone")
        c.psubscribe("g*")
        c.ssubscribe("gone")
    began = time.monotonic()
    place.hup(place.text("access: [{deny: subscribe, channels: 'g*'}]"))
    for c in subscribers:
        c.expect_push(b"unsubscribe", b"gone", 2)
        c.expect_push(b"punsubscribe", b"g*", 1)
        c.expect_push(b"sunsubscribe", b"gone", 0)
    took = time.monotonic() - began
    need(took <= 1, f"it took {took:.1f} s")
    # the other shards are told at the same time as the subscribers
    env.until("no subscriber is counted", lambda: publisher.do("PUBLISH", "gone", "1") == 0)
    env.until("no subscriber is counted", lambda: publisher.do("SPUBLISH", "gone", "1") == 0)
    publisher.publish("kept", "2", len(subscribers))
    for c in subscribers:
        c.message("kept", "2")
    subscribers[0].expect_error(REFUSED, "SUBSCRIBE", "gone")
    place.hup(place.text())
    subscribers[0].send("UNSUBSCRIBE", "kept")
    subscribers[0].expect_push(b"unsubscribe", b"kept", 0)
    subscribers[0].do("INFO")  # control answers behind what it told the shard
    subscribers[0].send("SSUBSCRIBE", "gone")
    subscribers[0].expect_push(b"ssubscribe", b"gone", 1)
    publisher.spublish("gone", "3", 1)
    subscribers[0].smessage("gone", "3")
    need("its subscription was ended, to the channel" in place.server.output(), "a line in the log")
    place.stop()


@case(brokerd="has no rules that a reload changes", heavy=True)
def a_crowd_loses_its_rights_within_a_second(env):
    place = Place(env, max_clients=6000).start()
    crowd = [place.connect() for _ in range(5000)]
    for c in crowd:
        c.subscribe("gone")
    began = time.monotonic()
    place.hup(place.text("max_clients: 6000", "access: [{deny: subscribe, channels: 'g*'}]"))
    for c in crowd:
        c.expect_push(b"unsubscribe", b"gone", 0)
    took = time.monotonic() - began
    need(took <= 1, f"it took {took:.1f} s")
    place.stop()
