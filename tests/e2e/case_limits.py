# SPDX-License-Identifier: MIT
"""Out of clients, out of descriptors, out of backlog, and system calls that fail."""

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
