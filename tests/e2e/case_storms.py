# SPDX-License-Identifier: MIT
"""Many at once, and what others notice of it."""

import subprocess
import sys
import time

from resp import encode, frame
from suite import Skip, case, need, scale


def _slowest_ping(client, condition, limit=20):
    """Pings until the condition holds. Returns the slowest answer in seconds."""
    worst = 0
    until = time.monotonic() + limit
    while True:
        began = time.monotonic()
        client.quiet()
        worst = max(worst, time.monotonic() - began)
        if condition():
            return worst
        need(time.monotonic() < until, f"not over after {limit} s")


@case(once=True)
def unsubscribe_storm_hurts_nobody(env):
    """Known failure 36: clients with 100 channels each, all killed at once."""
    asker = env.connect()
    witnesses = env.spread(1)
    n = scale(200, 5000)
    names = [f"storm{i}" for i in range(100)]
    request = encode("SUBSCRIBE", *names) + encode("PSUBSCRIBE", *[f"p{i}*" for i in range(10)])
    crowd = [env.raw() for _ in range(n)]
    for c in crowd:
        c.send_raw(request)
    acks = b"".join(frame(2, "subscribe", name, i + 1) for i, name in enumerate(names))
    acks += b"".join(frame(2, "psubscribe", f"p{i}*", 101 + i) for i in range(10))
    for c in crowd:
        c.expect_bytes(acks, "acknowledgements")
    asker.expect([b"storm7", n], "PUBSUB", "NUMSUB", "storm7")
    for c in crowd:
        c.sock.close()
    cpu = env.server.cpu_seconds()
    began = time.monotonic()
    worst = max(_slowest_ping(w, lambda: env.numsub(asker, "storm0", "storm99") == [0, 0]) for w in witnesses)
    took = time.monotonic() - began
    factor = 20 if env.server.sanitized() else 1
    cpu = env.server.cpu_seconds() - cpu
    figures = (f"the end of {n} clients took {took:.3f} s, {cpu:.3f} s of CPU; the slowest PING meanwhile "
               f"{worst:.3f} s")
    print(figures)
    need(worst < 0.5 * factor and took < 3 * factor, figures)
    env.until("no pattern", lambda: asker.do("PUBSUB", "NUMPAT") == 0)


@case(once=True)
def one_channel_with_many_subscribers_is_left_quickly(env):
    """Known failure 36: leaving a crowded channel is no search through the crowd."""
    asker = env.connect()
    crowd = [env.raw() for _ in range(scale(500, 8000))]
    for c in crowd:
        c.send_raw(encode("SUBSCRIBE", "crowded"))
    for c in crowd:
        c.expect_bytes(frame(2, "subscribe", "crowded", 1), "acknowledgement")
    began = time.monotonic()
    for c in crowd:
        c.send_raw(encode("UNSUBSCRIBE", "crowded"))
    for c in crowd:
        c.expect_bytes(frame(2, "unsubscribe", "crowded", 0), "acknowledgement")
    took = time.monotonic() - began
    need(took < 5 * (20 if env.server.sanitized() else 1), f"took {took:.2f} s")
    env.until_numsub(asker, "crowded", 0)


@case(once=True)
def quiet_clients_are_served_beside_floods(env):
    """Known failures 3 and 57: floods from all shards at one hot channel, and PINGs beside them."""
    hot = env.spread(1)
    for s in hot:
        s.subscribe("hot")
    pubs = env.spread(1)
    quiet = env.spread(2)
    rounds, burst = scale(4, 100), 2000
    data = encode("PUBLISH", "hot", b"x" * 64) * burst
    expected = frame(2, "message", "hot", b"x" * 64) * burst * len(pubs)
    worst = 0
    for _ in range(rounds):
        for p in pubs:
            p.send_raw(data)
        for c in quiet:
            began = time.monotonic()
            c.quiet()
            worst = max(worst, time.monotonic() - began)
        for s in hot:
            s.expect_bytes(expected, "the flood")
        for p in pubs:
            p.expect_bytes(b":%d\r\n" % len(hot) * burst, "replies")
    need(worst < 1 * (20 if env.server.sanitized() else 1), f"a PING beside the flood took {worst:.3f} s")


# Several publishers that send all the time, in a process of their own: argv is a socket, how many, and a request.
# Ends with its input, and says how many bytes of replies it got.
FLOOD = r"""
import select, socket, sys
data = sys.argv[3].encode("latin-1") * 500
socks = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
poll = select.poll()
poll.register(0, select.POLLHUP)
for s in socks:
    s.connect(sys.argv[1])
    s.setblocking(False)
    poll.register(s, select.POLLIN | select.POLLOUT)
by_fd = {s.fileno(): [s, memoryview(data)] for s in socks}
got = 0
while True:
    for fd, events in poll.poll():
        if fd == 0:
            print(got)
            sys.exit()
        s, left = by_fd[fd]
        if events & select.POLLIN:
            got += len(s.recv(1 << 18))
        if events & select.POLLOUT:
            by_fd[fd][1] = left[s.send(left):] or memoryview(data)
"""


def _ping_times(clients, seconds):
    """What each PING took, of clients that take turns for so long."""
    times = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for c in clients:
            began = time.monotonic()
            c.quiet()
            times.append(time.monotonic() - began)
    return sorted(times)


@case(single=True)
def quiet_clients_of_a_flooded_shard_are_served_soon(env):
    """Known failure 57: four publishers that never pause, and sixty clients on the same shard that say little."""
    quiet = [env.connect() for _ in range(60)]
    request = encode("PUBLISH", "flood", b"x" * 64).decode("latin-1")
    words = [sys.executable, "-c", FLOOD, env.server.path, "4", request]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        try:
            _ping_times(quiet, 0.3)  # the flood has begun by then
            times = _ping_times(quiet, scale(1, 10))
        finally:
            replies = int(flood.communicate()[0])
    p99 = times[len(times) * 99 // 100]
    figures = (f"PING beside a flood of {replies // 4} PUBLISH: p50 {times[len(times) // 2] * 1000:.1f} ms, "
               f"p99 {p99 * 1000:.1f} ms, worst {times[-1] * 1000:.1f} ms, of {len(times)}")
    print(figures)
    need(replies > 40000, figures)
    need(p99 < (0.5 if env.server.sanitized() else 0.05), figures)


@case(brokerd="redis-server wakes ten times a second", once=True)
def idle_broker_sleeps(env):
    """With connections and subscriptions, but nothing to do: no wake-ups at all."""
    if env.server.sanitized():
        raise Skip("a sanitizer may have threads of its own")
    for c in env.spread(4):
        c.subscribe("idle").psubscribe("id*")
    for c in env.clients:
        c.quiet()

    def still():
        before, cpu = env.server.switches(), env.server.cpu_seconds()
        time.sleep(0.3)  # the measured time, not a wait for something
        return env.server.switches() == before and env.server.cpu_seconds() - cpu < 0.0005

    env.until("0.3 s in which no thread of an idle broker ran", still)


@case(once=True, heavy=True, fresh=True)
def ten_thousand_idle_connections_stay_small(env):
    """At most 1.5 KiB of RSS each."""
    if env.server.sanitized() or env.reference:
        raise Skip("the figure is brokerd's")
    first = [env.connect() for _ in range(64)]
    before = env.server.memory()
    n = 9900
    crowd = [env.raw() for _ in range(n)]
    for c in crowd[-1:] + crowd[:1]:
        c.quiet()
    first[0].quiet()
    each = (env.server.memory() - before) / n
    need(each <= 1536, f"{each:.0f} bytes of RSS for each idle connection")
    print(f"idle connection: {each:.0f} bytes of RSS")
