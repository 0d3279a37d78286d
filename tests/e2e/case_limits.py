# SPDX-License-Identifier: MIT
"""Out of clients, out of descriptors, out of backlog, system calls that fail, and the limits of the configuration."""

import os
import re
import resource
import shutil
import signal
import socket
import time

from resp import Eof, Error, Failure, encode
from suite import Missing, Skip, case, need, scale


def _settled(env, n):
    """n clients that are all served; those that met the limit too early are tried again."""
    def one():
        try:
            return env.connect()
        except (Eof, Failure):
            return None
    return [env.until("a connection below the limit", one) for _ in range(n)]


@case(once=True, fresh={"max_clients": 10})
def one_client_too_many_is_told_so(env):
    """Known failure 16: limit - 1, limit, limit + 1."""
    clients = _settled(env, 9)
    clients += _settled(env, 1)
    for _ in range(3):
        c = env.raw()
        c.check(c.read("the refusal"), Error("ERR max number of clients reached"), "the client beyond the limit")
        c.eof("the end of the client beyond the limit", reset=True)
        c.close()
    for c in clients:
        c.quiet()
    clients[4].close()
    again = _settled(env, 1)[0]
    again.quiet()
    for c in clients[:4] + clients[5:]:
        c.quiet()


@case(single=True, fresh={"nofile": 64})
def start_with_few_descriptors(env):
    """Known failures 14 and 16: a max_clients that does not fit is said at start, and is no reason to fall."""
    need(re.search(r"max.?clients|descriptor|open files", env.server.output(), re.I),
         f"the start does not say that max_clients does not fit: {env.server.output()!r}")
    crowd = [env.raw() for _ in range(150)]
    served = 0
    for c in crowd[:5]:
        c.expect("PONG", "PING")
        served += 1
    for c in crowd:
        c.close()
    c = env.until("a connection after the crowd left", lambda: _try(env))
    c.quiet()
    need(served == 5, "the first of a crowd are served")


def _try(env):
    try:
        return env.connect()
    except Failure:
        return None


def _cpu_share(env, client):
    """The broker's share of a CPU over some time; a spinning one has all of it each time, a busy machine does not."""
    began, cpu = time.monotonic(), env.server.cpu_seconds()
    while time.monotonic() - began < 0.25:
        time.sleep(0.05)  # the measured time, not a wait for something
        client.quiet()
    return (env.server.cpu_seconds() - cpu) / (time.monotonic() - began)


@case(once=True, fresh=True)
def accepting_pauses_without_descriptors(env):
    """
    Known failures 13 and 14: out of descriptors neither spins nor kills, and accepting resumes. With either reactor it
    is control that accepts, by epoll, so no request of a ring can die of it.
    """
    keeper, other = env.pair()
    keeper.subscribe("emfile")
    n = env.server.n_fds()
    resource.prlimit(env.server.pid, resource.RLIMIT_NOFILE, (n + 6, n + 6))
    crowd = [env.raw() for _ in range(40)]
    for c in crowd:
        c.send_raw(b"PING\r\n")
    other.publish("emfile", "x", 1)
    keeper.message("emfile", "x")
    if not env.reference and not env.server.sanitized():
        share = min(_cpu_share(env, other) for _ in range(3))
        need(share < 0.05, f"{share:.1%} of a CPU while accepting is impossible")
    for c in crowd[:20]:
        c.close()
    for c in crowd[20:]:
        try:
            c.expect_bytes(b"+PONG\r\n", "PONG for one that had to wait")
        except Eof:
            pass  # refused, which is an answer as well
        c.close()
    began = time.monotonic()
    env.until("a new connection, with descriptors to spare again", lambda: _try(env)).quiet()
    took = time.monotonic() - began
    need(took < 2 * (10 if env.server.sanitized() else 1), f"accepting resumed after {took:.2f} s only")
    need(env.server.alive(), "alive")


@case(once=True, fresh={"backlog": 16})
def full_backlog_is_served_later(env):
    """Known failure 47: connecting to a stopped broker fails with EAGAIN; what connected is served when it goes on."""
    path = env.server.path
    env.server.signal(signal.SIGSTOP)
    socks = []
    try:
        for _ in range(200):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                sock.connect(path)
            except BlockingIOError:
                sock.close()
                break
            sock.sendall(b"PING\r\n")
            socks.append(sock)
        else:
            raise Failure("a backlog of 16 took 200 connections")
    finally:
        env.server.signal(signal.SIGCONT)
    need(len(socks) >= 16, f"only {len(socks)} connections fit into a backlog of 16")
    for sock in socks:
        sock.settimeout(10)
        need(sock.recv(100) == b"+PONG\r\n", "PONG for a client of the backlog")
        sock.close()
    env.connect().quiet()


def _traced(env, call, error, **options):
    """A server in which every second `call` fails."""
    if env.server.sanitized():
        raise Skip("a sanitizer does not like to be traced")
    if not shutil.which("strace"):
        raise Missing("strace")
    server = env.server_like(wrap=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                   f"inject={call}:error={error}:when=1+2"], **options)
    try:
        return env.fork(server.start())
    except Failure as failure:
        if "PTRACE" in server.output() or "ptrace" in server.output():
            raise Missing("strace may not trace here") from None
        raise failure


@case(single=True)
def failing_accept_ends_nothing(env):
    """Known failure 15: the error of one connection is not the batch's, nor the server's."""
    for error in ("ECONNABORTED", "EINTR"):
        traced = _traced(env, "accept4,accept", error)
        clients = [traced.raw() for _ in range(scale(20, 200))]
        for c in clients:
            c.expect("PONG", "PING")
        clients[0].subscribe("x")
        clients[1].publish("x", "y", 1)
        clients[0].message("x", "y")
        for c in clients:
            c.close()
        traced.server.stop()


@case(single=True, brokerd="7.0.15 does not ask for credentials")
def failing_credentials_end_nothing(env):
    """Known failure 15: getsockopt fails for every second client."""
    traced = _traced(env, "getsockopt", "EINVAL")
    for _ in range(10):
        c = env.until("one in two clients is served", lambda: _try(traced))
        c.quiet()
        c.close()
    traced.server.stop()


@case(single=True)
def interrupted_calls_are_retried(env):
    """Every fifth wait, read and write comes back with EINTR. Known failure 17."""
    if env.server.sanitized():
        raise Skip("a sanitizer does not like to be traced")
    if not shutil.which("strace"):
        raise Missing("strace")
    calls = "epoll_wait,epoll_pwait,io_uring_enter,read,recvfrom,recvmsg,write,writev,sendto,sendmsg"
    server = env.server_like(wrap=["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
                                   f"inject={calls}:error=EINTR:when=40+5"])
    traced = env.fork(server.start())
    subs = traced.spread(1)
    p = traced.connect()
    for s in subs:
        s.subscribe("eintr")
    for i in range(100):
        p.publish("eintr", i, len(subs))
        for s in subs:
            s.message("eintr", str(i))
    for c in subs + [p]:
        c.close()
    server.stop()


@case(once=True, fresh=True)
def stopped_and_continued_broker_goes_on(env):
    """SIGSTOP and SIGCONT in the middle of a pipeline."""
    s, p = env.pair()
    s.subscribe("sig")
    for turn in range(scale(5, 100)):
        p.send_raw(b"".join(encode("PUBLISH", "sig", f"{turn} {i}") for i in range(300)))
        env.server.signal(signal.SIGSTOP)
        env.server.signal(signal.SIGCONT)
        p.expect_bytes(b":1\r\n" * 300, "replies")
        for i in range(300):
            s.message("sig", f"{turn} {i}")


@case(once=True)
def request_beyond_the_limit_is_refused(env):
    """Known failure 32: an argument over the limit is refused when it is declared."""
    for declared in (b"536870913", b"1073741824"):
        c = env.raw()
        c.send_raw(b"*2\r\n$4\r\nECHO\r\n$" + declared + b"\r\n")
        c.check(c.read("an error"), Error("ERR Protocol error: invalid bulk length"), declared.decode())
        c.eof(reset=True)
    need(os.path.exists(env.server.path), "still serving")


# ---------------------------------------------------------------- limits of the configuration

OTHER_UID = 12345


def _info(client):
    """The numbers of INFO."""
    text = client.do("INFO").decode()
    return {name: int(value) for name, _, value in (line.partition(":") for line in text.splitlines())
            if value.isdigit()}


def _says(env, text):
    env.until(f"the log says {text!r}", lambda: text in env.server.output())


def _refused(env, text):
    """A new connection gets this error and its end."""
    c = env.raw()
    c.check(c.read("the refusal"), Error(text), "a connection over the limit")
    c.eof("the end of a connection over the limit", reset=True)
    c.close()


def _as_other(env):
    """A connection of another user, with something said; None: refused."""
    os.seteuid(OTHER_UID)
    try:
        return _try(env)
    finally:
        os.seteuid(0)


@case(once=True, brokerd="has no limit of a user", fresh={"mode": "0666", "config": ["max_clients_per_user: 3"]})
def a_user_has_as_many_clients_as_one_may_have(env):
    clients = _settled(env, 3)
    for _ in range(2):
        _refused(env, "ERR max number of clients per user reached")
    if os.geteuid() == 0:
        os.chmod(env.server.dir, 0o755)
        need(all(_as_other(env) for _ in range(3)), "another user has clients of his own")
        need(not _as_other(env), "and the same limit")
    for c in clients:
        c.quiet()
    clients[1].close()
    again = _settled(env, 1)[0]
    need(_info(again)["rejected_user_clients"] >= 2, "refused clients are counted")
    need(_info(again)["rejected_connections"] >= 2, "refused clients are counted under Redis's name")
    _says(env, f"uid {os.getuid()}: this user has max_clients_per_user")


@case(once=True, brokerd="has no limit of a user", fresh={"config": ["max_connects_per_user: 4"]})
def a_user_connects_as_often_as_one_may(env):
    """Known failure 52. The runner's own connection was one of the four; a second later there are four more."""
    keeper = env.until("a connection", lambda: _try(env))
    texts = set()
    for _ in range(30):
        c = env.raw()
        try:
            c.send_raw(b"PING\r\n")
        except Eof:
            pass  # refused already, which can be read
        texts.add(str(c.read("an answer")))
        c.close()
    need(texts == {"PONG", "ERR max number of connections per second per user reached"}, f"answers {texts}")
    env.until("a connection, once the bucket has something", lambda: _try(env)).quiet()
    need(_info(keeper)["rejected_user_connects"] >= 20, "refused connections are counted")
    _says(env, "this user connects more often than max_connects_per_user")


@case(once=True, brokerd="has no such time", fresh={"max_clients": 10, "config": ["handshake_timeout: 400ms"]})
def mute_clients_make_room_in_time(env):
    """Known failure 51: the broker is full of clients that say nothing; a good one gets in after their time."""
    mute = [env.raw() for _ in range(9)] + [env.until("the last place", lambda: _raw_if_open(env))]
    mute[0].send_raw(b"*1\r\n$4\r\nPI")
    good = env.until("a good client gets in", lambda: _try(env))
    began = time.monotonic()
    ended = 0
    for c in mute:
        try:
            c.check(c.read("the end of the time"), Error("ERR handshake timeout: no request came in time"), "a mute one")
            c.eof("the end of a mute one", reset=True)
            ended += 1
        except Eof:
            pass  # refused when the server was full
    need(ended >= 8, f"only {ended} of the mute ones were told")
    while time.monotonic() - began < 0.6:
        time.sleep(0.05)  # longer than the time: who has made a request stays
        good.quiet()
    need(_info(good)["handshake_timeouts"] == ended, "they are counted")
    _says(env, "disconnected, it made no request within handshake_timeout")


def _raw_if_open(env):
    """A connection that says nothing and was not refused."""
    c = env.raw()
    time.sleep(0.01)
    c.pump()
    if c.ended or c.buf:
        c.close()
        return None
    return c


@case(once=True, brokerd="has no such time", fresh={"config": ["request_timeout: 400ms"]})
def slow_loris_is_sent_away(env):
    """A byte now and then does not help; who is between two requests, or waits, has time."""
    c, other = env.pair()
    request = encode("PING", "x" * 100)
    began = time.monotonic()
    try:
        for i in range(len(request)):
            c.send_raw(request[i:i + 1])
            other.quiet()
            time.sleep(0.02)
            c.pump()
            if c.buf or c.ended:
                break
    except Eof:
        pass
    c.check(c.read("the end of the time"), Error("ERR request timeout: the end of a request did not come in time"),
            "a slow request")
    c.eof("the end of a slow one", reset=True)
    need(time.monotonic() - began >= 0.3, "it had its time")
    other.quiet()
    need(_info(other)["request_timeouts"] == 1, "it is counted")


@case(proto=2, brokerd="has its time in whole seconds", fresh={"config": ["idle_timeout: 400ms"]})
def idle_clients_go_and_subscribers_stay(env):
    idle, busy = env.pair()
    subs = env.spread(1)
    for s in subs:
        s.subscribe("idle")
    began = time.monotonic()
    while not idle.ended:
        need(time.monotonic() - began < 10, "the idle one does not go")
        busy.quiet()
        time.sleep(0.02)
        idle.pump()
    idle.eof("the end of an idle client, without a word")
    need(time.monotonic() - began >= 0.3, "it had its time")
    busy.publish("idle", "x", len(subs))
    for s in subs:
        s.message("idle", "x")
    need(_info(busy)["idle_timeouts"] == 1, "it is counted")


@case(brokerd="has no rate", fresh={"config": ["publish_rate: 100", "publish_bytes: 1MiB"]})
def publishers_over_their_rate_wait(env):
    """Nothing is lost, the order stays, and others are not hurt."""
    s, p = env.pair()
    other = env.connect()
    s.subscribe("rate")
    began = time.monotonic()
    p.send_raw(b"".join(encode("PUBLISH", "rate", str(i)) for i in range(160)) + encode("PING", "end"))
    p.expect_bytes(b":1\r\n" * 100, "the first second's worth")
    other.publish("rate", "other", 1)
    p.expect_bytes(b":1\r\n" * 60 + b"$3\r\nend\r\n", "the others")
    took = time.monotonic() - began
    need(took >= 0.59, f"60 messages more than there may be in a second took {took:.2f} s")
    got = [s.read("a message")[2] for _ in range(161)]
    got.remove(b"other")
    need(got == [b"%d" % i for i in range(160)], "all messages in order")
    big = b"b" * (3 << 19)
    other.publish("rate", big, 1)  # more than the bucket holds, and it passes once that is full
    s.message("rate", big)
    began = time.monotonic()
    other.publish("rate", "behind it", 1)
    took = time.monotonic() - began
    need(took >= 0.4, f"the message behind a large one waited for {took:.2f} s only")
    s.message("rate", "behind it")
    need(_info(other)["rate_limit_paused"] >= 2, "pauses are counted")


@case(brokerd="has no such limits", fresh={"config": ["max_subscriptions: 6", "max_patterns: 2", "max_channels: 5",
                                                     "max_message_bytes: 100"]})
def what_is_over_a_limit_is_an_error(env):
    clients = env.spread(1)
    c, other = clients[0], env.connect(3)
    c.psubscribe("p1", "p2")
    for what, text in ((("PSUBSCRIBE", "p2", "p3"), "ERR max number of patterns per client reached"),
                       (("SUBSCRIBE", *"abcde"), "ERR max number of subscriptions per client reached")):
        c.expect_error(text, *what)
    c.subscribe("a", "b", "c", "d")
    c.expect_error("ERR max number of subscriptions per client reached", "SSUBSCRIBE", "a")
    other.subscribe("a")
    other.expect_error("ERR max number of channels reached", "SUBSCRIBE", "e", "f")
    other.subscribe("e")
    for k in clients[1:]:
        env.until("every shard knows", lambda k=k: len(k.do("PUBSUB", "CHANNELS")) == 5)
        k.expect_error("ERR max number of channels reached", "SUBSCRIBE", "f")
        k.subscribe("e")
    other.expect_error("ERR the message is larger than the limit of 100 bytes", "PUBLISH", "a", "x" * 101)
    other.publish("e", "x" * 100, len(clients))
    other.message("e", "x" * 100)
    c.quiet()
    c.unsubscribe("d")
    other.subscribe("f")
    info = _info(other)
    for name, n in (("pattern_limit_refused", 1), ("subscription_limit_refused", 2),
                    ("channel_limit_refused", len(clients)), ("message_limit_refused", 1)):
        need(info[name] == n, f"{name} is {info[name]}")


@case(once=True, brokerd="has another shape of request", fresh={"config": ["max_query_bytes: 100KiB"]})
def input_that_waits_is_bounded(env):
    c, other = env.pair()
    good = env.connect()
    good.expect(b"x" * 60000, "ECHO", b"x" * 60000)
    c.ok("MULTI")
    c.expect("QUEUED", "ECHO", b"x" * 60000)
    other.ok("MULTI")
    other.expect("QUEUED", "ECHO", b"x" * 60000)
    other.send_raw(encode("EXEC"))
    other.check(other.read("the transaction"), [b"x" * 60000], "a transaction below the limit")
    try:
        c.send_raw(b"*2\r\n$4\r\nECHO\r\n$60000\r\n" + b"x" * 60000)  # and its end is missing
    except Eof:
        pass
    c.gone("the end of one whose input waits")
    good.quiet()
    info = _info(other)
    need(info["query_limit_closed"] == 1 and info["client_query_buffer_limit_disconnections"] == 1, "it is counted")
    _says(env, "disconnected, its waiting requests passed max_query_bytes")
