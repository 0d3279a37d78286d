# SPDX-License-Identifier: MIT
"""Order of one publisher's messages, and what an acknowledgement promises."""

import os
import re
import signal
import threading

from resp import encode, frame
from suite import case, need, scale


@case()
def one_publisher_keeps_its_order_everywhere(env):
    """Across channels and patterns, to subscribers on all shards."""
    subs = env.spread(2)
    p = env.connect()
    for i, s in enumerate(subs):
        s.subscribe("o0", "o1", "o2") if i % 2 else s.psubscribe("o*")
    count = scale(20000, 200000)
    p.send_raw(b"".join(encode("PUBLISH", f"o{i % 4}", i) for i in range(count)))
    n_channel = len(subs) // 2
    n_pattern = len(subs) - n_channel
    p.expect_bytes(b"".join(b":%d\r\n" % (n_pattern + (n_channel if i % 4 < 3 else 0)) for i in range(count)),
                   "replies")
    by_channel = b"".join(frame(env.proto, "message", f"o{i % 4}", str(i)) for i in range(count) if i % 4 < 3)
    by_pattern = b"".join(frame(env.proto, "pmessage", "o*", f"o{i % 4}", str(i)) for i in range(count))
    for i, s in enumerate(subs):
        s.expect_bytes(by_channel if i % 2 else by_pattern, f"subscriber {i}")
        s.quiet()


@case()
def many_publishers_each_keep_their_order(env):
    subs = env.spread(1)
    pubs = env.spread(2)
    for s in subs:
        s.subscribe("all").psubscribe("a*")
    count = scale(500, 20000)
    for n, p in enumerate(pubs):
        p.send_raw(b"".join(encode("PUBLISH", "all", f"{n} {i}") for i in range(count)))
    for p in pubs:
        p.expect_bytes(b":%d\r\n" % (2 * len(subs)) * count, "replies")
    for s in subs:
        next_of = {(kind, n): 0 for kind in (b"message", b"pmessage") for n in range(len(pubs))}
        for _ in range(2 * count * len(pubs)):
            got = s.read("a message")
            n, i = (int(x) for x in got[-1].split())
            need(next_of[got[0], n] == i, f"{got[0]} {i} of publisher {n} came, {next_of[got[0], n]} was due")
            next_of[got[0], n] += 1
        s.quiet()


@case()
def acknowledged_subscription_receives_from_any_shard(env):
    """Known failure 58, from the server's side: no message published after the acknowledgement is lost."""
    pubs = env.spread(1)
    subs = env.spread(1)
    for i in range(scale(100, 3000)):
        s = subs[i % len(subs)]
        p = pubs[(i // len(subs)) % len(pubs)]
        name = f"ack{i}"
        s.subscribe(name) if i % 3 else s.psubscribe(name + "*")
        p.publish(name, i, 1)
        s.message(name, str(i)) if i % 3 else s.pmessage(name + "*", name, str(i))
        s.unsubscribe(name) if i % 3 else s.punsubscribe(name + "*")
        p.publish(name, i, 0)
        s.quiet()


@case()
def nothing_comes_after_unsubscribe_is_acknowledged(env):
    """While publishers on every shard keep publishing."""
    pubs = env.spread(1)
    s, keeper = env.pair()
    keeper.subscribe("hot")
    s.subscribe("fence")
    for turn in range(scale(30, 500)):
        s.subscribe("hot")
        for p in pubs:
            p.send_raw(encode("PUBLISH", "hot", turn) * 20)
        s.send("UNSUBSCRIBE", "hot")
        while True:
            got = list(s.read("a message or the acknowledgement"))
            if got[0] == b"unsubscribe":
                break
            need(got == [b"message", b"hot", b"%d" % turn], f"{got}")
        s.channels.discard(b"hot")
        for p in pubs:
            for _ in range(20):
                need(p.read("a reply") in (1, 2), "one or two receivers")
        for p in pubs:
            p.publish("fence", turn, 1)
            s.message("fence", str(turn))
    for p in pubs:
        p.publish("hot", "end", 1)
    # publishers on different shards have no common order, so the fence on another shard says nothing about the keeper
    copies = {}
    for _ in range((20 * scale(30, 500) + 1) * len(pubs)):
        kind, name, payload = keeper.read("the keeper's copies")
        need((kind, name) == (b"message", b"hot"), f"{kind} {name}")
        copies[payload] = copies.get(payload, 0) + 1
    need(copies.pop(b"end") == len(pubs), "one end of each publisher")
    need(set(copies.values()) == {20 * len(pubs)}, f"20 copies of each publisher: {copies}")
    keeper.quiet()


@case()
def channels_and_patterns_keep_one_order(env):
    """Messages that reach a subscriber by different ways come in the order they were sent."""
    subs = env.spread(1)
    p = env.connect()
    for s in subs:
        s.subscribe("ra", "rc").psubscribe("rb*")
    turns = scale(500, 20000)
    p.send_raw(b"".join(encode("PUBLISH", name, f"{i}{name}") for i in range(turns)
                        for name in ("ra", "ra", "rb1", "ra", "rb2", "rb2", "rc", "none")))
    expected = []
    for i in range(turns):
        for name in ("ra", "ra", "rb1", "ra", "rb2", "rb2", "rc"):
            how = ("pmessage", "rb*") if name.startswith("rb") else ("message",)
            expected.append(frame(env.proto, *how, name, f"{i}{name}"))
    for s in subs:
        s.expect_bytes(b"".join(expected), "messages by channel and by pattern")
        s.quiet()
    p.expect_bytes((b":%d\r\n" % len(subs) * 7 + b":0\r\n") * turns, "replies")


@case()
def subscription_starts_between_two_messages(env):
    """A subscriber that joins during a burst gets a suffix of it without gaps, and PUBLISH never counts too few."""
    pubs = env.spread(1)
    subs = env.spread(1)
    for turn in range(scale(6, 200)):
        name = f"join{turn}"
        count = 4000
        bursts = [b"".join(encode("PUBLISH", name, f"{n} {i}") for i in range(count)) for n in range(len(pubs))]
        threads = [threading.Thread(target=p.send_raw, args=(burst,)) for p, burst in zip(pubs, bursts)]
        for thread in threads:
            thread.start()
        for s in subs:
            s.send("SUBSCRIBE", name)
            got = list(s.read("the acknowledgement"))
            need(got[:2] == [b"subscribe", name.encode()], f"before the acknowledgement came {got}")
            s.channels.add(name.encode())
        for thread in threads:
            thread.join()
        counts = 0
        for p in pubs:
            mine = [p.read("a receiver count") for _ in range(count)]
            need(all(0 <= n <= len(subs) for n in mine), "more receivers than subscribers")
            counts += sum(mine)
        for n, p in enumerate(pubs):
            p.publish(name, f"{n} {count}", len(subs))
        total = 0
        for s in subs:
            due = {}
            while any(due.get(n, 0) != count + 1 for n in range(len(pubs))):
                n, i = (int(x) for x in s.read("a message")[2].split())
                need(due.get(n, i) == i, f"{s.name}: message {i} of publisher {n} came, {due.get(n)} was due")
                due[n] = i + 1
                total += i < count
            s.unsubscribe(name)
        need(total <= counts, f"{total} came, but PUBLISH counted {counts}")


@case()
def two_clients_of_one_shard_share_a_channel(env):
    """One leaves while the other joins: the shard's interest must not get lost."""
    p = env.spread(1)
    a, b = env.spread(1), env.spread(1)
    for turn in range(scale(60, 2000)):
        x, y = a[turn % len(a)], b[turn % len(b)]
        if turn == 0:
            x.subscribe("shared")
        last, joins = (x, y) if turn % (2 * len(a)) < len(a) else (y, x)
        if b"shared" not in last.channels:
            last.subscribe("shared")
        last.send("UNSUBSCRIBE", "shared")
        joins.send("SUBSCRIBE", "shared")
        last.channels.discard(b"shared")
        joins.channels.add(b"shared")
        last.expect_push(b"unsubscribe", b"shared", 0)
        joins.expect_push(b"subscribe", b"shared", 1)
        holders = [c for c in a + b if c.channels]
        p[turn % len(p)].publish("shared", turn, len(holders))
        for c in holders:
            c.message("shared", str(turn))
        if len(holders) > 1:
            for c in holders:
                c.unsubscribe("shared")


@case()
def receiver_count_is_exact(env):
    pubs = env.spread(1)
    subs = env.spread(2)
    expected = 0

    def publish_everywhere(n_subs):
        for p in pubs:
            p.publish("count", "x", expected)
        for i, s in enumerate(subs[:n_subs]):
            for _ in range(len(pubs) * (len(s.channels) + len(s.patterns))):
                s.read("a message")

    for i, s in enumerate(subs):
        s.subscribe("count")
        if i % 2:
            s.psubscribe("c*", "count", "co???")
        expected += 4 if i % 2 else 1
        publish_everywhere(i + 1)
    for s in subs:
        s.unsubscribe("count")
        expected -= 1
        publish_everywhere(len(subs))
    for s in subs:
        s.quiet()


@case()
def request_and_answer_over_two_channels(env):
    """Each side publishes on receipt: nothing may wait for a later event to be sent."""
    a_in, a_out = env.pair()
    env.connect()
    b_in, b_out = env.pair()
    a_in.subscribe("answers")
    b_in.subscribe("questions")
    for i in range(scale(500, 20000)):
        a_out.publish("questions", i, 1)
        b_in.message("questions", str(i))
        b_out.publish("answers", i, 1)
        a_in.message("answers", str(i))


@case(brokerd=True, fresh=True)
def stopped_and_continued_broker_loses_nothing(env):
    """Known failure 17: SIGSTOP and SIGCONT interrupt its waits, again and again, under load."""
    subs = env.spread(1)
    p = env.connect()
    for s in subs:
        s.subscribe("eintr")
    count = scale(20000, 500000)
    sender = threading.Thread(target=lambda: p.send_raw(b"".join(encode("PUBLISH", "eintr", i) for i in range(count))))
    reader = threading.Thread(target=lambda: p.expect_bytes(b":%d\r\n" % len(subs) * count, "replies"))
    sender.start()
    reader.start()
    tasks = f"/proc/{env.server.pid}/task"
    for _ in range(scale(50, 1200)):
        env.server.signal(signal.SIGSTOP)
        env.until("every thread stopped", lambda: all(
            re.search(r"^State:\s+T", open(f"{tasks}/{t}/status", encoding="ascii").read(), re.M) for t in os.listdir(tasks)))
        env.server.signal(signal.SIGCONT)
    expected = b"".join(frame(env.proto, "message", "eintr", str(i)) for i in range(count))
    for i, s in enumerate(subs):
        s.expect_bytes(expected, f"subscriber {i}")
    sender.join()
    reader.join()
