# SPDX-License-Identifier: MIT
"""Start and stop: who serves, who may connect, what is left behind."""

import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import time

from resp import DEADLINE, Client, Eof, Failure, encode, frame
from suite import Missing, Skip, case, need, scale

ONLY = "redis-server has no lock, and removes whatever is at its path"


def _run(server, *words, seconds=10):
    """Runs the broker to its end. Returns (exit code, output)."""
    try:
        done = subprocess.run([server.binary, *words], capture_output=True, text=True, timeout=seconds, check=False,
                              cwd=server.dir, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failure(f"{words}: still running after {seconds} s") from None
    need("Sanitizer" not in done.stderr and "Assertion" not in done.stderr, done.stderr)
    return done.returncode, done.stdout + done.stderr


@case(single=True, brokerd="its mode is set otherwise")
def socket_has_its_mode_from_the_first_moment(env):
    """Known failure 44: 0600 unless configured; never wider for an instant, never changed once it listens."""
    for mode, expected in ((None, 0o600), ("0600", 0o600), ("0660", 0o660), ("0666", 0o666), ("0000", 0)):
        server = env.server_like(mode=mode)
        if expected == 0 and os.geteuid() != 0:
            continue
        old = os.umask(0)
        try:
            server.start()
        finally:
            os.umask(old)
        info = os.stat(server.path)
        need(stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == expected,
             f"mode {mode}: the socket has {stat.S_IMODE(info.st_mode):o}")
        server.stop()
    if env.server.sanitized():
        return
    if not shutil.which("strace"):
        raise Missing("strace")
    trace = os.path.join(env.server.dir, "trace")
    server = env.server_like(wrap=["strace", "-f", "-qq", "-o", trace, "-e",
                                   "trace=bind,listen,chmod,fchmod,fchmodat,umask,rename,renameat,renameat2"])
    server.start()
    server.stop()
    with open(trace, encoding="utf-8", errors="replace") as file:
        calls = [m.group(1) for m in re.finditer(r"^\d+\s+(\w+)\(", file.read(), re.M)]
    need("listen" in calls, f"no listen in {calls}")
    last = len(calls) - 1 - calls[::-1].index("listen")
    need(not {"chmod", "fchmodat", "fchmod"} & set(calls[last:]), f"the mode changes once it listens: {calls}")


@case(single=True, brokerd=ONLY)
def second_broker_is_refused_and_the_first_unhurt(env):
    """Known failure 45."""
    first = env.server_like()
    first.start()
    c = Client(first.path)
    for _ in range(3):
        code, text = _run(first, "-c", os.path.join(first.dir, "broker.yaml"), seconds=5)
        need(code != 0, f"a second broker on the same socket ended with 0: {text}")
        need(first.path in text, f"the refusal does not name the socket: {text}")
        c.quiet()
        Client(first.path).close()
    c.close()
    first.stop()


@case(once=True, brokerd=ONLY)
def stale_socket_is_replaced(env):
    """Known failure 45: kill -9 and an instant restart; clients must reach the new one."""
    server = env.server_like()
    server.start()
    for _ in range(scale(5, 200)):
        held = Client(server.path)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(DEADLINE)
        need(os.path.exists(server.path), "the dead broker left its socket")
        server.start()
        c = Client(server.path)
        c.quiet()
        c.close()
        held.gone("the end of a client of the dead broker")
        held.close()
    server.stop()


@case(single=True, brokerd=ONLY)
def of_two_starters_one_serves(env):
    """Known failure 45: two starts at once, again and again."""
    base = env.server_like()
    for turn in range(scale(4, 200)):
        two = [env.server_like(keep_dir=base.dir) for _ in range(2)]
        for server in two:
            server.spawn()

        def loser():
            return [s for s in two if s.process.poll() is not None]

        lost = env.until(f"turn {turn}: one of two starters gives up", loser)
        need(len(lost) == 1 and lost[0].process.returncode != 0, f"turn {turn}: {base.output()}")
        winner = two[0] if lost[0] is two[1] else two[1]
        c = env.until("the winner serves", lambda: _answers(winner.path))
        c.quiet()
        c.close()
        winner.stop()


def _answers(path):
    try:
        return Client(path)
    except (Eof, OSError):
        return None


@case(single=True, brokerd=ONLY)
def what_is_no_socket_is_left_alone(env):
    """Known failure 45: a file or a directory at the path is refused, and stays."""
    server = env.server_like()
    config = server.write_config()
    with open(server.path, "w", encoding="utf-8") as file:
        file.write("precious")
    code, text = _run(server, "-c", config)
    need(code != 0 and server.path in text, f"exit code {code}: {text}")
    with open(server.path, encoding="utf-8") as file:
        need(file.read() == "precious", "the file changed")
    os.unlink(server.path)
    os.mkdir(server.path)
    code, text = _run(server, "-c", config)
    need(code != 0 and server.path in text and os.path.isdir(server.path), f"exit code {code}: {text}")
    os.rmdir(server.path)


@case(single=True, brokerd=ONLY)
def only_its_own_socket_is_removed(env):
    """Known failure 45: what somebody else put at the path meanwhile stays."""
    server = env.server_like()
    server.start()
    os.unlink(server.path)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    other.bind(server.path)
    inode = os.stat(server.path).st_ino
    server.signal(signal.SIGTERM)
    need(server.wait(DEADLINE, "SIGTERM") == 0, f"exit code: {server.output()}")
    need(os.path.exists(server.path) and os.stat(server.path).st_ino == inode, "the other's socket was removed")
    other.close()


@case(single=True, brokerd="it says so in its own way")
def path_too_long_is_refused(env):
    """Known failure 46: 107 bytes fit, 108 and 109 do not."""
    for length in (107, 108, 109, 300):
        server = env.server_like()
        room = length - len(server.dir) - 1
        parts = []
        while room > 200:
            parts.append("d" * 100)
            room -= 101
        folder = os.path.join(server.dir, *parts)
        os.makedirs(folder, exist_ok=True)
        server.path = os.path.join(folder, "s" * room)
        need(len(server.path) == length, "the case itself")
        if length == 107:
            server.start()
            server.stop()
            continue
        code, text = _run(server, "-c", server.write_config())
        need(code != 0 and "107" in text, f"{length} bytes: exit code {code}: {text}")
        need(not [f for f in os.listdir(folder) if f.startswith("s")], f"{length} bytes: something was bound")


@case(single=True, brokerd="has no such listener")
def abstract_listener_serves(env):
    name = f"brokerd-e2e-{os.getpid()}-{id(env):x}"
    server = env.server_like(path="'@" + name + "'")
    server.spawn()

    def connect():
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(DEADLINE)
            sock.connect("\0" + name)
            return sock
        except OSError:
            sock.close()
            need(server.alive(), f"ended: {server.output()}")
            return None

    sock = env.until("the abstract listener", connect)
    sock.sendall(b"PING\r\n")
    need(sock.recv(100) == b"+PONG\r\n", "PONG")
    sock.close()
    server.signal(signal.SIGTERM)
    need(server.wait(DEADLINE, "SIGTERM") == 0, f"exit code: {server.output()}")


@case(once=True, brokerd="has no such option")
def several_listeners_are_one_broker(env):
    server = env.server_like()
    second = os.path.join(server.dir, "second")
    text = server.config_text() + f"  - path: {second}\n    mode: 0660\n"
    server.config_text = lambda: text
    server.start()
    a, b = Client(server.path), Client(second)
    a.subscribe("both")
    b.publish("both", "x", 1)
    a.message("both", "x")
    a.close()
    b.close()
    server.stop()
    need(not os.path.exists(second), "the second socket is still there")


@case(once=True, brokerd="has no libev")
def environment_does_not_choose_the_backend(env):
    """Known failure 54."""
    if env.server.reactor != "libev":
        raise Skip("libev only")
    for flags in ("1", "2", "64", "128", "4294967295"):
        server = env.server_like(env={"LIBEV_FLAGS": flags})
        server.start()
        links = server.fd_links()
        need(sum("eventpoll" in link for link in links) >= server.shards, f"LIBEV_FLAGS={flags}: {links}")
        need(not any("io_uring" in link for link in links), f"LIBEV_FLAGS={flags}: {links}")
        server.stop()


@case(once=True)
def it_does_not_fork(env):
    """Known failure 55: the process that was started is the one that serves, without children."""
    need(env.server.alive(), "the started process serves")
    children = []
    for task in os.listdir(f"/proc/{env.server.pid}/task"):
        with open(f"/proc/{env.server.pid}/task/{task}/children", encoding="utf-8") as file:
            children += file.read().split()
    need(not children, f"children {children}")


@case(single=True, brokerd="reads no YAML")
def hostile_yaml_is_refused(env):
    """Known failure 56: aliases, depth, size; and bad configurations end the start with 78."""
    server = env.server_like()
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8))
    texts = (bomb, "[" * 100000, "a: " + "{a: " * 50000, "- " * 50000, "\x00\x01\x02", "shards: [", "shards: 1\n" * 2,
             "shards: &x 1\nspin: *x\n", "%TAG ! tag:x\n---\nshards: !x 1\n", "shards: 1\n---\nshards: 2\n",
             "x" * (1 << 20), "", "listeners: []\n", "shards: 4zz\n", "max_cleints: 1\n")
    name = os.path.join(server.dir, "bad.yaml")
    for text in texts:
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        code, out = _run(server, "--check", "-c", name)
        if code == 0 and text in ("", "listeners: []\n"):
            continue
        need(code == 1, f"--check of {text[:60]!r}: exit code {code}: {out[:500]}")
        need(len(out.splitlines()) <= 90, f"--check of {text[:60]!r} says {len(out.splitlines())} lines")
        code, out = _run(server, "-c", name)
        need(code == 78, f"start with {text[:60]!r}: exit code {code}: {out[:500]}")
    code, out = _run(server, "-c", os.path.join(server.dir, "nosuch.yaml"))
    need(code == 78 and "No such file" in out, f"a missing file: exit code {code}: {out}")
    code, out = _run(server, "-c", server.dir)
    need(code == 78 and "director" in out.lower(), f"a directory: exit code {code}: {out}")


@case(single=True, brokerd="has no such option")
def check_touches_nothing(env):
    server = env.server_like()
    config = server.write_config()
    before = sorted(os.listdir(server.dir))
    code, out = _run(server, "--check", "-c", config)
    need(code == 0, f"exit code {code}: {out}")
    need(sorted(os.listdir(server.dir)) == before, f"--check left {os.listdir(server.dir)}")
    code, out = _run(server, "--dump-config", "-c", config)
    need(code == 0 and "shards:" in out and server.path in out, f"exit code {code}: {out}")
    with open(os.path.join(server.dir, "dumped.yaml"), "w", encoding="utf-8") as file:
        file.write(out)
    again = _run(server, "--dump-config", "-c", os.path.join(server.dir, "dumped.yaml"))
    need(again == (0, out), f"the dump of a dump differs: {again}")


@case(once=True)
def signals_end_it_in_good_order(env):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = env.server_like()
        server.start()
        clients = [Client(server.path) for _ in range(4)]
        for c in clients:
            c.subscribe("stop")
        began = time.monotonic()
        server.signal(number)
        code = server.wait(DEADLINE, f"signal {number}")
        took = time.monotonic() - began
        need(code == 0, f"exit code {code}: {server.output()}")
        need(took < 1 * (10 if server.sanitized() else 1), f"took {took:.2f} s")
        need(not os.path.exists(server.path), "the socket file is left")
        for c in clients:
            c.eof("the end of the broker", reset=True)
            c.close()
        server.check_output()


@case(once=True, brokerd="drops what it has not written")
def stop_delivers_what_was_acknowledged(env):
    """SIGTERM under load: to those who read, and exit 0 within a second."""
    for turn in range(scale(2, 50)):
        server = env.server_like()
        server.start()
        other = env.fork(server)
        subs = other.spread(1)
        pubs = other.spread(1)
        stuck = other.connect().subscribe("term")
        for s in subs:
            s.subscribe("term")
        value = b"v" * 50
        count = scale(6000, 20000)
        data = [b"".join(encode("PUBLISH", "term", b"%d %d " % (n, i) + value) for i in range(count))
                for n in range(len(pubs))]
        views = [memoryview(d) for d in data]
        poll = select.poll()
        for c in subs + pubs:
            poll.register(c.sock, select.POLLIN)
        began = None
        open_ = set(c.fileno() for c in subs + pubs)
        limit = time.monotonic() + 2 * DEADLINE
        while open_:
            need(time.monotonic() < limit, "not all connections ended")
            for n, p in enumerate(pubs):
                if views[n] and not p.ended:
                    try:
                        views[n] = views[n][p.sock.send(views[n][:65536]):]
                    except BlockingIOError:
                        pass
                    except (BrokenPipeError, ConnectionResetError):
                        views[n] = memoryview(b"")
            for c in subs + pubs:
                c.pump()
                if c.ended and c.fileno() in open_:
                    open_.discard(c.fileno())
            if began is None and sum(len(p.buf) for p in pubs) > 2000 * (turn + 1):
                server.signal(signal.SIGTERM)
                began = time.monotonic()
        code = server.wait(DEADLINE, "SIGTERM under load")
        took = time.monotonic() - began
        need(code == 0, f"exit code {code}: {server.output()}")
        need(took < 1.2 * (10 if server.sanitized() else 1), f"the end took {took:.2f} s")
        _check_delivered(subs, pubs, value)
        server.check_output()
        for c in subs + pubs + [stuck]:
            c.close()


def _check_delivered(subs, pubs, value):
    """Each publisher's acknowledged messages came to each subscriber, in order."""
    for s in subs:
        due = [0] * len(pubs)
        for n, i in re.findall(rb"\r\n(\d+) (\d+) " + value + rb"\r\n", bytes(s.buf)):
            need(int(i) == due[int(n)], f"{s.name}: message {int(i)} of publisher {int(n)}, {due[int(n)]} was due")
            due[int(n)] += 1
        for n, p in enumerate(pubs):
            acks = bytes(p.buf).count(b"\r\n")
            need(due[n] >= acks, f"{s.name}: {acks} messages of publisher {n} were acknowledged, {due[n]} came")


@case(once=True, brokerd="waits for more")
def second_signal_ends_it_at_once(env):
    server = env.server_like()
    server.start()
    other = env.fork(server)
    s, p = other.pair()
    s.subscribe("twice")
    p.send_raw(encode("PUBLISH", "twice", b"x" * 100000) * 50)
    p.expect_bytes(b":1\r\n" * 50, "replies")
    server.signal(signal.SIGTERM)
    env.until("the stop has begun", lambda: not os.path.exists(server.path))
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    code = server.wait(DEADLINE, "two SIGTERM")
    took = time.monotonic() - began
    need(code != 0, "an end with output left is not reported as complete")
    need(took < (10 if server.sanitized() else 0.3), f"the end took {took:.2f} s after the second signal")
    s.close()
    p.close()


@case(once=True, brokerd="logs otherwise")
def service_without_trouble_logs_nothing(env):
    """What is said is said at start and stop."""
    server = env.server_like()
    server.start()
    before = server.output()
    other = env.fork(server)
    s, p = other.pair()
    s.subscribe("log")
    for i in range(20):
        p.publish("log", i, 1)
    p.expect_bytes(b"", "nothing")
    s.expect_bytes(b"".join(frame(env.proto, "message", "log", str(i)) for i in range(20)), "messages")
    s.close()
    p.close()
    Client(server.path).close()
    need(server.output() == before, f"it logged {server.output()[len(before):]!r}")
    server.stop()


@case(single=True, brokerd="is not brokerd")
def version_and_help_are_there(env):
    for word in ("--version", "--help"):
        code, out = _run(env.server, word)
        need(code == 0 and "brokerd" in out, f"{word}: exit code {code}: {out}")
    code, out = _run(env.server, "--nosuch")
    need(code not in (0, 78), f"--nosuch: exit code {code}: {out}")
    if not out:
        raise Skip("nothing to read")
