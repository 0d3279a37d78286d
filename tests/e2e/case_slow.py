# SPDX-License-Identifier: MIT
"""Subscribers that do not read, under each policy that drops messages: what they get, and what they are told."""

import os
import re
import signal

from resp import Client, Failure, encode
from suite import case, need, scale

ONLY = "redis-server has no such policies"
POLICIES = ("drop-oldest", "drop-newest", "conflate")
KIB = 1 << 10
LIMIT = 256 * KIB

RULES = ["slow_consumers:"]
for policy in POLICIES:
    RULES += [f"  - channels: \"{policy}.*\"", f"    policy: {policy}"]
    if policy != "conflate":
        RULES.append("    bytes: 256KiB")


def _server(env):
    """A broker with a rule for each policy, for channels that begin with its name."""
    server = env.server_like()
    server.extra = [*server.extra, *RULES]
    server.start()
    return env.fork(server)


def _subscriber(env, *channels, proto=None):
    """Hears of its losses in the way of its protocol."""
    client = env.connect(proto)
    if client.proto == 3:
        client.ok("CLIENT", "LOSS", "ON")
    else:
        client.subscribe("__brokerd__:loss")
    return client.subscribe(*channels)


def _publish(publisher, channels, first, n, size):
    """Numbered messages, in turn to each channel; all are acknowledged."""
    for start in range(first, first + n, 500):
        numbers = range(start, min(start + 500, first + n))
        publisher.send_raw(b"".join(encode("PUBLISH", c, b"%d:" % i + b"x" * size) for i in numbers for c in channels))
        for _ in range(len(numbers) * len(channels)):
            need(publisher.read("the reply to a PUBLISH") == 1, "one receiver")


def _loss(client, value):
    """The channel, number and reason of a notice; None: it is none."""
    if client.proto == 3:
        return (value[1], value[2], value[3].decode()) if value[0] == b"loss" else None
    if value[:2] != [b"message", b"__brokerd__:loss"]:
        return None
    count, reason, channel = value[2].split(b" ", 2)
    return channel, int(count), reason.decode()


def _delivered(client):
    return int(re.search(rb"messages_out:(\d+)", client.do("INFO", "broker")).group(1))


class Account:
    """What a subscriber has received and lost, and where."""

    def __init__(self, *channels):
        self.next = {c.encode(): 0 for c in channels}
        self.lost = dict.fromkeys(self.next, 0)
        self.last = None

    def take(self, client, value):
        loss = _loss(client, value)
        if loss:
            channel, count, reason = loss
            need(channel.decode().startswith(reason + "."), f"{loss}")
            need(count > 0 and self.last != channel, f"a notice behind one of the same channel: {loss}")
            self.next[channel] += count
            self.lost[channel] += count
            self.last = channel
            return
        need(value[0] == b"message", f"{value[:1]}")
        number = int(value[2].split(b":")[0])
        need(number == self.next[value[1]], f"{value[1]}: {number}, but {self.next[value[1]]} is next")
        self.next[value[1]] += 1
        self.last = None

    def read_to_fence(self, client, publisher, fence="fence"):
        """A message that no rule is for comes behind all the others."""
        publisher.publish(fence, "here")
        while True:
            value = client.read("a message, a notice or the fence")
            if value[:2] == [b"message", fence.encode()]:
                return self
            self.take(client, value)

    def check(self, n, some_lost=True):
        for channel, seen in self.next.items():
            need(seen == n, f"{channel}: received and lost are {seen} of {n}")
            need(not some_lost or self.lost[channel], f"{channel}: nothing was lost")


CHANNELS = [policy + ".c" for policy in POLICIES]


@case(brokerd=ONLY)
def who_never_reads_is_told_what_it_lost(env):
    own = _server(env)
    publisher, keeper = own.pair()
    keeper.subscribe("unhurt")
    for channel in CHANNELS:
        slow = _subscriber(own, channel, "fence")
        n = 3000
        _publish(publisher, [channel], 0, n, 1000)
        publisher.publish("unhurt", channel, 1)
        keeper.message("unhurt", channel)
        account = Account(channel).read_to_fence(slow, publisher)
        account.check(n)
        lines = publisher.do("CLIENT", "LIST", "ID", slow.do("CLIENT", "ID")) if slow.proto == 3 else None
        if lines:
            need(f" lost={account.lost[channel.encode()]} ".encode() in lines, f"{lines}")
        slow.sock.close()


@case(brokerd=ONLY)
def all_policies_at_once(env):
    """Several channels of one subscriber, that reads in between, stops and goes on."""
    own = _server(env)
    publisher = own.connect()
    slow = _subscriber(own, *CHANNELS, "fence")
    account = Account(*CHANNELS)
    n = 0
    for size in (10, 300, 5000, 40, 20000, 0):
        count = min(2000, 2000000 // (size + 100))
        _publish(publisher, CHANNELS, n, count, size)
        n += count
        if size != 300:
            account.read_to_fence(slow, publisher).check(n, False)
    account.check(n)


@case(brokerd=ONLY)
def who_reads_byte_by_byte_gets_whole_frames(env):
    own = _server(env)
    publisher = own.connect()
    for channel in CHANNELS:
        slow = _subscriber(own, channel, "fence")
        account = Account(channel)
        _publish(publisher, [channel], 0, 1000, 1000)
        for step in range(100):
            slow.buf += slow.peek(1 if step % 10 else 3000)
            if step % 10 == 0:
                _publish(publisher, [channel], 1000 + step, 10, 500)
        account.read_to_fence(slow, publisher).check(1100)
        slow.sock.close()


@case(brokerd=ONLY)
def who_half_closes_gets_the_rest(env):
    own = _server(env)
    publisher = own.connect()
    for channel in CHANNELS:
        slow = _subscriber(own, channel)
        account = Account(channel)
        before = _delivered(publisher)
        _publish(publisher, [channel], 0, 2000, 1000)
        # they are between shards still when they are acknowledged
        own.until("all are delivered", lambda: _delivered(publisher) == before + 2000)
        slow.shut_wr()
        while True:
            try:
                account.take(slow, slow.read("a message, a notice or the end"))
            except Failure as failure:
                if slow.ended != "end of file":
                    raise failure
                break
        account.check(2000)


@case(brokerd=ONLY)
def who_dies_inside_of_a_frame_leaves_nothing(env):
    own = _server(env)
    publisher = own.connect()
    for channel in CHANNELS:
        slow = _subscriber(own, channel)
        _publish(publisher, [channel], 0, 1000, 1000)
        slow.peek(777)
        slow.sock.close()
        own.until_numsub(publisher, channel, 0)
    own.until("no output is left", lambda: b"spooled_clients:0\r\nspooled_bytes:0\r\n" in publisher.do("INFO", "broker"))


def _reader(path, proto, channel, ready, done):
    """In a process of its own: accounts for 4000 messages. Returns the exit status."""
    try:
        client = Client(path, proto)
        if proto == 3:
            client.ok("CLIENT", "LOSS", "ON")
        else:
            client.subscribe("__brokerd__:loss")
        client.subscribe(channel)
        os.write(ready, b"r")
        account = Account(channel)
        while account.next[channel.encode()] < 4000:
            account.take(client, client.read("a message or a notice"))
        os.write(done, b"lost" if account.lost[channel.encode()] else b"none")
        return 0
    except Failure as failure:
        os.write(done, str(failure).encode())
        return 1


@case(brokerd=ONLY)
def who_is_stopped_goes_on_later(env):
    """SIGSTOP for the subscriber."""
    own = _server(env)
    publisher = own.connect()
    for channel in CHANNELS:
        ready, ready_w = os.pipe()
        done, done_w = os.pipe()
        child = os.fork()
        if not child:
            os._exit(_reader(own.server.path, env.proto, channel, ready_w, done_w))
        os.close(ready_w)
        os.close(done_w)
        try:
            need(os.read(ready, 1) == b"r", "the reader subscribed")
            _publish(publisher, [channel], 0, 100, 100)
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            _publish(publisher, [channel], 100, 3900, 1000)
            os.kill(child, signal.SIGCONT)
            said = os.read(done, 1000)
            need(said == b"lost", f"the reader: {said}")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(ready)
            os.close(done)


@case(brokerd=ONLY, once=True)
def memory_of_many_is_what_the_rule_says(env):
    """Of many that never read. The bound holds within 10 %."""
    n = scale(60, 200)
    for channel, size in (("drop-oldest.m", 100), ("drop-newest.m", 5000)):
        own = _server(env)
        publisher = own.connect()
        slow = [own.connect().subscribe(channel) for _ in range(n)]
        _wait_for(publisher, channel, n)
        before = own.server.memory()
        for _ in range(20):
            total = LIMIT * 4 // 20 // (size + 40)
            publisher.send_raw(encode("PUBLISH", channel, b"x" * size) * total)
            for _ in range(total):
                need(publisher.read("the reply to a PUBLISH") == n, "receivers")
        grown = own.server.memory() - before
        need(b"spooled_clients:%d\r\n" % n in publisher.do("INFO", "broker"), f"{publisher.do('INFO', 'broker')}")
        if not own.server.sanitized():
            need(grown < 1.1 * n * LIMIT + 2 * KIB * KIB, f"{grown} bytes for {n} clients with {LIMIT} each")
        for client in slow:
            client.sock.close()


@case(brokerd=ONLY, once=True)
def one_that_is_stuck_takes_nothing_from_many(env):
    """Known failure 30: one subscriber never reads, the others get everything, and memory is what the rule allows."""
    n = scale(200, 1000)
    own = _server(env)
    publisher = own.connect()
    channel = "drop-oldest.stuck"
    own.connect().subscribe(channel)  # never reads
    live = [own.connect().subscribe(channel) for _ in range(n)]
    _wait_for(publisher, channel, n + 1)
    before = own.server.memory()
    for i in range(100):
        publisher.send_raw(encode("PUBLISH", channel, b"%d" % i + b"x" * 10000))
        need(publisher.read("the reply to a PUBLISH") == n + 1, "receivers")
        for client in live:
            need(client.read("the message")[2].startswith(b"%dx" % i), f"message {i}")
    if not own.server.sanitized():
        grown = own.server.memory() - before
        need(grown < 1.1 * LIMIT + 2 * KIB * KIB, f"{grown} bytes for one client with {LIMIT}")
    need(own.server.alive(), "alive")


def _wait_for(client, channel, n):
    need(client.do("PUBSUB", "NUMSUB", channel)[1] == n, "all are subscribed")
