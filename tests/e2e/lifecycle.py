# SPDX-License-Identifier: MIT
"""
The broker as a process: command line, exit codes, what a start makes and leaves, what a stop takes away.

What clients see of a running broker is the business of suite.py beside this. Nothing waits by a bare sleep:
wait_until() polls for what no reply announces, with a deadline and a text that says what was waited for.
"""

import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BROKERD = os.path.abspath(os.environ.get("BROKERD", "src/brokerd"))
REACTOR = os.environ.get("BROKERD_REACTOR", "libev")
STRICT = os.environ.get("BROKERD_E2E_STRICT") == "1"
DEADLINE = 20
ALARM = re.compile(r"AddressSanitizer|ThreadSanitizer|LeakSanitizer|runtime error:|Assertion")
with open(BROKERD, "rb") as _file:
    _text = _file.read()
SANITIZED = b"__asan_init" in _text or b"__tsan_init" in _text
STOP_SECONDS = 10 if SANITIZED else 1
NOBODY = 65534


def wait_until(what, condition):
    limit = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"not within {DEADLINE} s: {what}")
        time.sleep(0.002)


def read(name):
    with open(name, encoding="utf-8", errors="replace") as file:
        return file.read()


def child_of(pid):
    return int(read(f"/proc/{pid}/task/{pid}/children").split()[0])


def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE)
    sock.connect(path)
    return sock


def ask(sock, request=b"PING\r\n"):
    """The first reply, or b'' when the connection ended."""
    try:
        sock.sendall(request)
        return sock.recv(4096)
    except (ConnectionResetError, BrokenPipeError):
        return b""


class Broker(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="brokerd-life.")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.path = self.at("x.sock")
        self.process = None

    def at(self, name):
        return os.path.join(self.dir, name)

    def config(self, *lines, listeners=None, name="broker.yaml"):
        """Writes a configuration. Returns its name."""
        text = list(lines) + ["listeners:"]
        if not any(line.startswith("reactor:") for line in lines):
            text.insert(0, f"reactor: {REACTOR}")
        for path in listeners or [self.path]:
            text.append(f"  - path: \"{path}\"")
        with open(self.at(name), "w", encoding="utf-8") as file:
            file.write("\n".join(text) + "\n")
        return self.at(name)

    def run_to_end(self, *words, wrap=(), code=None, **options):
        """Runs the broker until it ends by itself. Returns what it wrote to stdout and stderr."""
        done = subprocess.run([*wrap, BROKERD, *words], capture_output=True, text=True, timeout=DEADLINE,
                              check=False, stdin=subprocess.DEVNULL, cwd=self.dir, **options)
        self.assertIsNone(ALARM.search(done.stderr), done.stderr)
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def spawn(self, config, wrap=(), **options):
        with open(self.at("log"), "wb") as log:
            self.process = subprocess.Popen([*wrap, BROKERD, "-c", config], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.dir, **options)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        return self.process

    def log(self):
        return read(self.at("log"))

    def ready(self):
        self.assertIsNone(self.process.poll(), self.log())
        return " ready\n" in self.log()

    def start(self, config, **options):
        process = self.spawn(config, **options)
        wait_until("the broker is ready", self.ready)
        return process

    def expect_end(self, code, seconds=STOP_SECONDS):
        began = time.monotonic()
        try:
            got = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.fail(f"it does not end: {self.log()}")
        took = time.monotonic() - began
        self.assertEqual(got, code, self.log())
        self.assertIsNone(ALARM.search(self.log()), self.log())
        self.assertLess(took, seconds, self.log())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.expect_end(0)
        self.expect_no_traces()

    def expect_no_traces(self):
        """The socket files and the lock files are gone."""
        left = [n for n in os.listdir(self.dir) if n.endswith((".sock", ".lock"))]
        self.assertEqual(left, [])

    def expect_pong(self):
        with connect(self.path) as sock:
            self.assertEqual(ask(sock), b"+PONG\r\n")

    def tasks(self, what, pid=None):
        """A file of each thread's directory in /proc, by thread name."""
        found = {}
        base = f"/proc/{pid or self.process.pid}/task"
        for task in os.listdir(base):
            found[read(f"{base}/{task}/comm").strip()] = read(f"{base}/{task}/{what}")
        return found

    def need_strace(self):
        if SANITIZED:
            self.skipTest("a sanitizer makes system calls of its own")
        if shutil.which("strace"):
            return
        if STRICT:
            self.fail("strace is not installed")
        self.skipTest("strace is not installed")

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")


class CommandLine(Broker):
    def test_a_good_file_checks_with_0_and_a_bad_one_with_1_and_starts_with_78(self):
        good = self.config("shards: 3")
        bad = self.config("shards: 99", name="bad.yaml")
        self.run_to_end("--check", "-c", good, code=0)
        self.run_to_end("--check", f"--config={good}", code=0)
        _, err = self.run_to_end("--check", "-c", bad, code=1)
        self.assertIn("bad.yaml:2:", err)
        _, err = self.run_to_end("-c", bad, code=78)
        self.assertIn("bad.yaml:2:", err)
        self.run_to_end("--dump-config", "-c", bad, code=1)
        self.expect_no_traces()

    def test_a_file_that_cannot_be_read_is_named_with_the_reason(self):
        for name, reason in ((self.at("none.yaml"), "No such file or directory"), (self.dir, "directory")):
            for words, code in (((), 78), (("--check",), 1), (("--dump-config",), 1)):
                _, err = self.run_to_end("-c", name, *words, code=code)
                self.assertIn(name, err)
                self.assertIn(reason, err)

    def test_wrong_usage_ends_with_2_and_a_hint(self):
        config = self.config()
        for words in (["--nosuch"], ["-x"], ["-c"], ["--config"], [config], ["-c", config, "extra"],
                      ["--check", "--dump-config", "-c", config], ["-c", config, "-c", config], ["--check=1"],
                      ["--version", "--help"], ["--version", "extra"]):
            out, err = self.run_to_end(*words, code=2)
            self.assertIn("Try 'brokerd --help'", err, words)
            self.assertEqual(out, "", words)
        self.expect_no_traces()

    def test_version_and_help_go_to_stdout_and_end_with_0(self):
        out, err = self.run_to_end("--version", code=0)
        self.assertRegex(out, r"^brokerd [0-9]+\.[0-9]+\.[0-9]+\n$")
        out, err2 = self.run_to_end("--help", code=0)
        for word in ("--config", "--check", "--dump-config", "--version", "78", "broker.yaml"):
            self.assertIn(word, out)
        self.assertEqual((err, err2), ("", ""))

    def test_output_that_cannot_be_written_is_no_success(self):
        config = self.config()
        for words in (["--version"], ["--help"], ["--dump-config", "-c", config], ["--check", "-c", config]):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([BROKERD, *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=DEADLINE, check=False)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("No space left", done.stderr)

    def test_the_default_file_is_named_in_the_help_and_used_without_c(self):
        out, _ = self.run_to_end("--help", code=0)
        name = re.search(r"default: (/\S+/brokerd/broker\.yaml)\)", out).group(1)
        if os.path.exists(name):
            self.skipTest(f"{name} exists here")
        for words, code in ((["--check"], 1), (["--dump-config"], 1), ([], 78)):
            _, err = self.run_to_end(*words, code=code)
            self.assertIn(name, err)

    def test_the_dump_of_a_dump_is_the_same(self):
        config = self.config("shards: 2", "cpus: none", "max_clients: 5", f"admin: {self.at('a.sock')}")
        out, _ = self.run_to_end("--dump-config", "-c", config, code=0)
        with open(self.at("dump.yaml"), "w", encoding="utf-8") as file:
            file.write(out)
        self.run_to_end("--check", "-c", self.at("dump.yaml"), code=0)
        again, _ = self.run_to_end("--dump-config", "-c", self.at("dump.yaml"), code=0)
        self.assertEqual(out, again)

    def test_check_makes_binds_and_writes_nothing(self):
        self.need_strace()
        config = self.config("shards: 3", f"admin: {self.at('a.sock')}")
        self.run_to_end("--check", "-c", config, code=0, wrap=["strace", "-f", "-qq", "-o", self.at("trace")])
        trace = read(self.at("trace"))
        self.assertIn("broker.yaml", trace)
        for line in trace.splitlines():
            call = line.split(None, 1)[1]
            self.assertNotRegex(call, r"^(bind|listen|socketpair|mkdir|mknod|unlink|rename|f?chmod|l?f?chown|fchmodat"
                                      r"|fchownat|link|symlink|f?truncate|flock|clone|fork|epoll_create|eventfd"
                                      r"|setrlimit|sched_setaffinity)")
            if call.startswith(("open(", "openat(")):
                self.assertRegex(call, r"O_RDONLY")
                self.assertNotRegex(call, r"O_CREAT|O_WRONLY|O_RDWR|O_TRUNC")
            if call.startswith(("write", "pwrite")):
                self.assertRegex(call, r"^writev?\([12],")
        self.assertEqual(sorted(os.listdir(self.dir)), ["broker.yaml", "trace"])

    def test_check_does_not_mind_a_running_broker_nor_hurt_it(self):
        config = self.config("shards: 1")
        self.start(config)
        self.run_to_end("--check", "-c", config, code=0)
        self.expect_pong()
        self.stop()


class Start(Broker):
    def test_the_start_says_what_serves(self):
        self.start(self.config("shards: 2", "cpus: none", f"admin: {self.at('a.sock')}"))
        log = self.log()
        for text in ("brokerd ", "2 shards", f"on {REACTOR}", f"reactor {REACTOR}", "not pinned", f"listening on {self.path}\n",
                     f"listening on {self.at('a.sock')} for administration", " ready\n"):
            self.assertIn(text, log)
        if os.geteuid() == 0:
            log = re.sub(r".* warning: it runs as root; .*\n", "", log)
        self.assertNotRegex(log, "(?i)warning|error")
        self.stop()

    def test_a_missing_directory_is_named_with_the_reason(self):
        path = self.at("none/x.sock")
        _, err = self.run_to_end("-c", self.config(listeners=[path]), code=1)
        self.assertIn(path, err)
        self.assertIn("No such file or directory", err)

    def test_a_directory_without_permission_is_named_with_the_reason(self):
        self.need_root()
        config = self.config()
        os.chmod(config, 0o644)
        os.chmod(self.dir, 0o755)
        binary = self.at("brokerd")
        shutil.copy(BROKERD, binary)  # the build directory may be closed to others
        done = subprocess.run([binary, "-c", config], capture_output=True, text=True, timeout=DEADLINE, check=False,
                              user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(self.path, done.stderr)
        self.assertIn("Permission denied", done.stderr)

    def test_a_refused_listener_takes_the_others_back(self):
        with open(self.at("file"), "w", encoding="utf-8") as file:
            file.write("precious")
        _, err = self.run_to_end("-c", self.config(listeners=[self.path, self.at("file")]), code=1)
        self.assertIn(self.at("file"), err)
        self.assertIn("not a socket", err)
        self.assertEqual(read(self.at("file")), "precious")
        self.expect_no_traces()

    def test_the_pid_of_the_broker_that_serves_is_said(self):
        config = self.config("shards: 1")
        first = self.start(config)
        _, err = self.run_to_end("-c", config, code=1)
        self.assertIn(f"(pid {first.pid})", err)
        self.assertIn(self.path, err)
        self.expect_pong()
        self.stop()

    def test_lock_then_bind_then_owner_then_listen(self):
        """Known failure 44."""
        self.need_root()
        self.need_strace()
        with open(self.at("broker.yaml"), "w", encoding="utf-8") as file:
            file.write(f"shards: 1\nreactor: {REACTOR}\nlisteners:\n  - path: {self.path}\n    mode: 0660\n"
                       "    owner: nobody\n")
        tracer = self.start(self.at("broker.yaml"), wrap=["strace", "-f", "-qq", "-o", self.at("trace")])
        info = os.stat(self.path)
        self.assertEqual((info.st_mode & 0o7777, info.st_uid), (0o660, NOBODY))
        os.kill(child_of(tracer.pid), signal.SIGTERM)
        self.expect_end(0, DEADLINE)
        calls = re.findall(r"^\d+\s+(flock|bind|lchown|fchownat|chmod|fchmodat|clone3?|listen|accept4)\(",
                           read(self.at("trace")), re.M)
        self.assertEqual(calls[:2], ["flock", "bind"], calls)
        self.assertIn(calls[2], ("lchown", "fchownat"), calls)
        if REACTOR == "io_uring":
            self.assertRegex(calls.pop(3), "clone", calls)  # its self-test
        self.assertRegex(calls[3], "clone", calls)
        self.assertEqual(calls[4:], ["listen"], calls)

    def test_another_user_never_gets_in_while_it_starts(self):
        """Known failure 44: a second user connects in a loop."""
        self.need_root()
        os.chmod(self.dir, 0o755)
        config = self.config("shards: 1")
        ready, say = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            self._knock(say)
        os.close(say)
        try:
            self.assertEqual(os.read(ready, 1), b"!")  # it knocks, and takes the signal
            for _ in range(3 if SANITIZED else 10):
                self.start(config)
                self.stop()
        finally:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        with os.fdopen(ready) as told:
            self.assertRegex(told.read(), r"^\d+ knocks, \d\d+ refused by permission, 0 let in$")

    def _knock(self, say):
        stop, n, n_denied, n_in = [], 0, 0, 0
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        os.write(say, b"!")
        while not stop:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                n += 1
                try:
                    sock.connect(self.path)
                    n_in += 1
                except PermissionError:
                    n_denied += 1
                except OSError:
                    pass
        os.write(say, f"{n} knocks, {n_denied} refused by permission, {n_in} let in".encode())
        os._exit(0)

    def test_a_start_that_fails_anywhere_leaves_nothing(self):
        """Each system call of the main thread's start fails in turn."""
        self.need_strace()
        config = self.config("shards: 2", f"admin: {self.at('a.sock')}")
        calls = {"socket": (2, "EMFILE"), "bind": (2, "ENOSPC"), "listen": (2, "EADDRINUSE"),
                 "eventfd2": (3, "EMFILE"), "epoll_create1": (1, "EMFILE"), "signalfd4": (1, "EMFILE"),
                 "clone3": (2, "EAGAIN")}
        if REACTOR == "io_uring":
            calls.update(clone3=(3, "EAGAIN"), io_uring_setup=(7, "EPERM"), socketpair=(3, "EMFILE"),
                         pipe2=(1, "EMFILE"))
        for call, (n, error) in calls.items():
            for when in range(1, n + 1):
                with self.subTest(call=call, when=when):
                    inject = ["-e", f"inject={call}:error={error}:when={when}"]
                    if call == "epoll_create1":  # libev tries the older call next
                        inject += ["-e", f"inject=epoll_create:error={error}"]
                    _, err = self.run_to_end("-c", config, code=1,
                                             wrap=["strace", "-f", "-qq", "-o", "/dev/null", *inject])
                    self.assertIn(" error: ", err)
                    self.expect_no_traces()

    def test_shards_are_pinned_where_a_cpu_is_to_spare(self):
        mask = sorted(os.sched_getaffinity(0))
        if len(mask) < 2:
            self.skipTest("one CPU only")
        two = set(mask[:2])

        def allowed():
            return {name: re.search(r"Cpus_allowed_list:\s+(\S+)", text).group(1)
                    for name, text in self.tasks("status").items()}

        self.start(self.config("shards: 1", "cpus: auto"), preexec_fn=lambda: os.sched_setaffinity(0, two))
        both = allowed()["brokerd"]
        self.assertEqual(allowed()["brokerd-0"], str(max(two)))
        self.assertNotEqual(both, str(max(two)))
        self.assertIn(f"pinned to CPU {max(two)}", self.log())
        self.stop()
        self.start(self.config("shards: 2", "cpus: auto"), preexec_fn=lambda: os.sched_setaffinity(0, two))
        self.assertIn("not pinned", self.log())
        self.assertEqual(set(allowed().values()), {both})
        self.stop()

    def test_a_listed_cpu_outside_the_mask_fails_the_start(self):
        mask = sorted(os.sched_getaffinity(0))
        if len(mask) < 2:
            self.skipTest("one CPU only")
        config = self.config("shards: 2", f"cpus: [{mask[0]}, {mask[1]}]")
        _, err = self.run_to_end("-c", config, code=1, preexec_fn=lambda: os.sched_setaffinity(0, {mask[0]}))
        self.assertIn(f"CPU {mask[1]}", err)
        self.expect_no_traces()
        self.start(config)
        self.assertIn(f"pinned to CPU {mask[0]},{mask[1]}", self.log())
        self.stop()

    def test_as_many_clients_as_fit_are_served_and_one_more_is_told(self):
        """Known failure 16: the limit of descriptors decides; shards, admin clients and all."""
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (150, 200))

        self.start(self.config("shards: 3", "max_clients: 500", f"admin: {self.at('a.sock')}"), preexec_fn=limit)
        found = re.search(r"max_clients: 500 does not fit.*limit of 200 descriptors; (\d+) clients do", self.log())
        self.assertIsNotNone(found, self.log())
        n = int(found.group(1))
        self.assertGreater(n, 50)
        socks = [connect(self.at("a.sock")) for _ in range(64)]
        for sock in socks:
            self.assertEqual(ask(sock), b"+PONG\r\n")
        for i in range(n):
            socks.append(connect(self.path))
            self.assertEqual(ask(socks[-1]), b"+PONG\r\n", f"client {i} of {n}")
        for _ in range(3):
            with connect(self.path) as sock:
                self.assertEqual(sock.recv(100), b"-ERR max number of clients reached\r\n")
        socks.pop().close()

        def again():
            with connect(self.path) as sock:
                return ask(sock) == b"+PONG\r\n"

        wait_until("a client that leaves makes room", again)
        self.assertNotIn("accepting pauses", self.log())
        for sock in socks:
            sock.close()
        self.stop()

    def test_every_client_that_leaves_makes_room(self):
        """However it leaves: one that is counted for ever would keep the next ones out in the end."""
        self.start(self.config("shards: 2", "max_clients: 3"))

        def enter(request):
            sock = connect(self.path)
            reply = ask(sock, request)
            if not reply.startswith(b"-ERR max number"):
                return sock
            sock.close()
            return None

        for i in range(60):
            request = (b"PING\r\n", b"QUIT\r\n", b"*1\r\n$-7\r\n", b"SUBSCRIBE a\r\n")[i % 4]
            socks = [wait_until("there is room", lambda: enter(request)) for _ in range(3)]
            if i % 3 == 0:
                socks[0].shutdown(socket.SHUT_WR)
            for sock in socks:
                sock.close()
        wait_until("all are gone", lambda: enter(b"PING\r\n")).close()
        self.stop()

    def test_a_limit_that_leaves_nothing_for_clients_fails_the_start(self):
        _, err = self.run_to_end("-c", self.config("shards: 3"), code=1,
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)))
        self.assertIn("20 descriptors", err)
        self.expect_no_traces()


class Signals(Broker):
    def test_sigpipe_is_ignored_and_shards_take_no_signals(self):
        """Known failure 50."""
        self.start(self.config("shards: 2"), restore_signals=True)
        status = self.tasks("status")
        pipe, term = 1 << (signal.SIGPIPE - 1), 1 << (signal.SIGTERM - 1)
        for name, text in status.items():
            ignored = int(re.search(r"SigIgn:\s+(\w+)", text).group(1), 16)
            blocked = int(re.search(r"SigBlk:\s+(\w+)", text).group(1), 16)
            self.assertTrue(ignored & pipe, name)
            self.assertTrue(blocked & term, name)
        self.assertLessEqual({"brokerd", "brokerd-0", "brokerd-1"}, set(status))
        for _ in range(200):
            with connect(self.path) as sock:
                sock.sendall(b"PING\r\n" * 50)
        self.expect_pong()
        self.stop()

    def test_a_sighup_during_the_start_is_a_reload_once_it_serves(self):
        self.need_strace()  # it delays the start
        config = self.config("shards: 1")
        tracer = self.spawn(config, wrap=["strace", "-f", "-qq", "-o", self.at("trace"), "-e", "trace=listen",
                                          "-e", "inject=listen:delay_enter=300000"])
        wait_until("it has bound", lambda: os.path.exists(self.path))
        os.kill(child_of(tracer.pid), signal.SIGHUP)
        wait_until("it reloads", lambda: "reloaded" in self.log())
        self.assertRegex(self.log(), r" ready\n.*: nothing changed\n")
        self.expect_pong()
        os.kill(child_of(tracer.pid), signal.SIGTERM)
        self.expect_end(0, DEADLINE)

    def test_the_file_of_the_start_is_read_again_by_an_absolute_name(self):
        self.config("shards: 1")
        self.start("broker.yaml")
        self.config("shards: 1", "max_clients: 7")
        self.process.send_signal(signal.SIGHUP)
        wait_until("it reloads", lambda: f"reloaded {self.at('broker.yaml')}: 1 change (max_clients)" in self.log())
        self.stop()

    def test_a_configuration_from_a_pipe_serves_and_is_not_read_again(self):
        with open(self.config("shards: 1"), "rb") as file, open(self.at("log"), "wb") as log:
            self.process = subprocess.Popen([BROKERD, "-c", "/dev/stdin"], stdin=subprocess.PIPE, stdout=log, stderr=log,
                                            cwd=self.dir)
            self.process.stdin.write(file.read())
            self.process.stdin.close()
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        wait_until("the broker is ready", self.ready)
        self.process.send_signal(signal.SIGHUP)
        wait_until("it refuses", lambda: "reload refused: 1 error in /dev/stdin" in self.log())
        self.assertIn("not a plain file", self.log())
        self.expect_pong()
        self.stop()

    def test_a_stop_during_the_start_is_a_stop(self):
        config = self.config("shards: 2")
        for i in range(6 if SANITIZED else 20):
            process = self.spawn(config)
            if i % 2:
                wait_until("it starts", lambda: os.path.exists(self.path) or self.log())
            else:
                select.select([], [], [], i * 0.0007)  # a different moment each time
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE)
            # before main() has seen to signals, the default action is all there is
            self.assertIn(process.returncode, (0,) if i % 2 else (0, -signal.SIGTERM), self.log())
            self.expect_no_traces()

    def test_a_client_that_does_not_read_delays_a_stop_by_a_bound(self):
        self.start(self.config("shards: 2"))
        deaf = connect(self.path)
        self.assertIn(b"subscribe", ask(deaf, b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"))
        with connect(self.path) as sock:
            message = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$1000000\r\n" + b"x" * 1000000 + b"\r\n"
            for _ in range(3):
                self.assertEqual(ask(sock, message), b":1\r\n")
        self.stop()
        deaf.close()

    def test_a_restart_may_follow_a_kill_at_once(self):
        """Known failure 45. The next one starts before the killed one was waited for."""
        config = self.config("shards: 1", f"admin: {self.at('a.sock')}")
        for _ in range(3 if SANITIZED else 15):
            before = self.start(config)
            before.kill()
            after = self.start(config)
            self.assertEqual(before.wait(DEADLINE), -signal.SIGKILL)
            self.expect_pong()
            after.kill()
            after.wait(DEADLINE)
        self.start(config)
        self.stop()


class Idle(Broker):
    def switches(self, pid):
        return {name: re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M).group(1)
                for name, text in self.tasks("status", pid).items()}

    def settle(self, pid):
        """Waits until all threads sleep. Returns their context switches so far."""
        def settled():
            one = self.switches(pid)
            time.sleep(0.05)
            return one if one == self.switches(pid) else None

        return wait_until("all threads sleep", settled)

    def test_nobody_wakes_up_when_nothing_happens(self):
        if SANITIZED:
            self.skipTest("a sanitizer has a thread of its own")
        self.start(self.config("shards: 3", f"admin: {self.at('a.sock')}"))
        clients = [connect(self.path) for _ in range(6)]
        for sock in clients:
            self.assertEqual(ask(sock, b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n")[:2], b"*3")
        before = self.settle(self.process.pid)
        time.sleep(1)  # the measured time
        self.assertEqual(self.switches(self.process.pid), before)
        for sock in clients:
            sock.close()
        self.stop()

    def test_an_idle_thread_sleeps_without_a_time_out(self):
        """A wake once a minute, which libev does unless it is told better, would not show above."""
        self.need_strace()
        trace = self.at("trace")
        tracer = self.start(self.config("shards: 2"), wrap=["strace", "-f", "-qq", "-o", trace, "-e",
                                                            "trace=epoll_wait,epoll_pwait,io_uring_enter"])
        pid = child_of(tracer.pid)
        self.settle(pid)
        threads = self.tasks("comm", pid)
        self.assertEqual(len(threads), 3)
        os.kill(pid, signal.SIGTERM)
        self.expect_end(0, DEADLINE)
        longest = {}
        for tid, timeout in re.findall(r"^(\d+)\s.*epoll_p?wait.*, 64, (-?\d+)[,)]", read(trace), re.M):
            longest[tid] = max(longest.get(tid, 0), int(timeout) % (1 << 32))  # -1: without end
        for tid, sleeps in re.findall(r"^(\d+)\s.*io_uring_enter\(\d+, \d+, 1, (.*)", read(trace), re.M):
            if tid != str(pid):  # whose are the self-test's
                longest[tid] = max(longest.get(tid, 0), 0 if "EXT_ARG" in sleeps else 1 << 32)
        self.assertEqual(len(longest), 3)
        self.assertGreater(min(longest.values()), 24 * 3600 * 1000)


@unittest.skipUnless(REACTOR == "io_uring", "of io_uring")
class IoUring(Broker):
    def said(self):
        """What the log says of the reactor; one line."""
        lines = re.findall(r" info: reactor (.*)", self.log())
        self.assertEqual(len(lines), 1, self.log())
        return lines[0]

    def inject(self, *what):
        words = ["strace", "-f", "-qq", "-o", "/dev/null"]
        for fault in what:
            words += ["-e", f"inject={fault}"]
        return words

    def end_wrapped(self, tracer):
        os.kill(child_of(tracer.pid), signal.SIGTERM)
        self.expect_end(0, DEADLINE)

    def test_auto_says_what_it_chose_and_why(self):
        self.start(self.config("shards: 2", "reactor: auto"))
        self.assertRegex(self.said(), r"^(libev|io_uring \(\w+ receives\)): auto: io_uring works, .* \d+ % of ")
        self.assertIn(f"on {self.said().split()[0].strip(':')},", self.log())
        self.expect_pong()
        self.stop()

    def test_each_step_of_the_ladder_can_be_forced(self):
        for receive in ("multishot", "single"):
            self.start(self.config("shards: 2", f"io_uring_receive: {receive}"))
            self.assertEqual(self.said(), f"io_uring ({receive} receives): as configured")
            self.expect_pong()
            self.stop()

    def test_without_io_uring_auto_falls_back_and_io_uring_refuses(self):
        """Known failure 26."""
        self.need_strace()
        for fault, words in (("io_uring_setup:error=EPERM", "not permitted (EPERM)"),
                             ("io_uring_setup:error=ENOSYS", "not in this kernel, or hidden by a seccomp filter (ENOSYS)"),
                             ("io_uring_setup:error=ENOMEM", "not enough memory (ENOMEM)"),
                             ("io_uring_register:error=EINVAL", "io_uring buffer ring: this kernel is too old for it (EINVAL)"),
                             ("io_uring_register:error=EACCES:when=3+", "io_uring restrictions: Permission denied")):
            with self.subTest(fault=fault):
                tracer = self.start(self.config("shards: 2", "reactor: auto"), wrap=self.inject(fault))
                self.assertIn("libev: auto: io_uring does not work here: ", self.said())
                self.assertIn(words, self.said())
                self.expect_pong()
                self.end_wrapped(tracer)
                _, err = self.run_to_end("-c", self.config(), code=1, wrap=self.inject(fault))
                self.assertRegex(err, r"^\S+ \S+ error: reactor: io_uring does not work here: .*\n$")
                self.assertIn(words, err)
                self.expect_no_traces()

    def test_with_little_memory_rings_are_made_smaller(self):
        self.need_strace()
        tracer = self.start(self.config("shards: 1"), wrap=self.inject("io_uring_setup:error=ENOMEM:when=1..3"))
        self.assertIn("as configured", self.said())
        self.expect_pong()
        self.end_wrapped(tracer)

    def test_a_user_without_locked_memory_is_told_or_served(self):
        """The kernel's own limit: some count rings against it, some do not."""
        self.need_root()
        binary = self.at("brokerd")
        shutil.copy(BROKERD, binary)
        os.chmod(self.dir, 0o777)

        def as_nobody():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))

        for reactor in ("auto", "io_uring"):
            config = self.config("shards: 1", f"reactor: {reactor}")
            os.chmod(config, 0o644)
            with open(self.at("log"), "wb") as log:
                self.process = subprocess.Popen([binary, "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd=self.dir, preexec_fn=as_nobody, user=NOBODY, group=NOBODY,
                                                extra_groups=[])
            self.addCleanup(self.process.wait)
            self.addCleanup(self.process.kill)
            wait_until("it serves or ends", lambda: " ready\n" in self.log() or self.process.poll() is not None)
            if " ready\n" in self.log():
                self.expect_pong()
                self.stop()
            else:
                self.assertEqual(reactor, "io_uring", self.log())
                self.assertEqual(self.process.wait(), 1)
                self.assertIn("the limit of locked memory is 0 KiB", self.log())

    def test_no_thread_is_added_and_none_has_other_rights(self):
        """Known failure 28: no kernel thread of the ring's, and all are the same user."""
        self.start(self.config("shards: 2"))
        self.expect_pong()
        threads = self.tasks("status")
        self.assertEqual(sorted(threads), ["brokerd", "brokerd-0", "brokerd-1"])
        self.assertEqual(len({re.search(r"^Uid:.*$", text, re.M).group() for text in threads.values()}), 1)
        self.stop()


SECRETS = {"alice": "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01",
           "bob": "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
           "default": "$6$rounds=1000$a$EO06KpA4dY4rcQyxbgyqAqCfX6Y3jTFNZTMtMMJ8fEeaLpk5OTEYAPw6mn4jNvHAKYGbluaXVE9"
                      "prhfmyceQW0"}  # of the password "secret"


class WithSecrets(Broker):
    def secrets(self, text=None, mode=0o600):
        name = self.at("secrets")
        with open(name, "w", encoding="utf-8") as file:
            file.write(text if text is not None else "".join(f"{n}:{h}\n" for n, h in SECRETS.items()))
        os.chmod(name, mode)
        return name

    def config_with(self, *lines, authentication="none", name="broker.yaml"):
        """Writes a configuration with secrets. Returns its name."""
        return self.config(f"secrets: {self.at('secrets')}", *lines, listeners=[f"{self.path}\"\n    mode: 0666\n    "
                           f"authentication: \"{authentication}"], name=name)


class Secrets(WithSecrets):
    def test_a_file_that_others_could_read_ends_the_start_with_78(self):
        self.secrets(mode=0o640)
        config = self.config_with()
        _, err = self.run_to_end("-c", config, code=78)
        self.assertIn(f"{self.at('secrets')}: error: has the mode 0640; others could read it: chmod it to 0600", err)
        _, err = self.run_to_end("--check", "-c", config, code=1)
        self.assertIn("chmod it to 0600", err)
        os.unlink(self.at("secrets"))
        _, err = self.run_to_end("-c", config, code=78)
        self.assertIn("No such file or directory", err)
        self.expect_no_traces()

    def test_a_bad_line_ends_the_start_and_is_named(self):
        self.secrets("# people\nalice:" + SECRETS["alice"] + "\nbob:plain\ncarl\n")
        config = self.config_with()
        for words, code in (((), 78), (("--check",), 1)):
            _, err = self.run_to_end("-c", config, *words, code=code)
            self.assertIn(f"{self.at('secrets')}:3: error: the hash of \"bob\" is no hash of a password; make one", err)
            self.assertIn(f"{self.at('secrets')}:4: error: there is no colon", err)
            self.assertNotIn(SECRETS["alice"], err)
        self.secrets()
        self.run_to_end("--check", "-c", config, code=0)

    def test_the_file_belongs_to_root_or_to_the_broker(self):
        self.need_root()
        os.chown(self.secrets(), NOBODY, NOBODY)
        _, err = self.run_to_end("-c", self.config_with(), code=78)
        self.assertIn(f"is owned by uid {NOBODY}; it has to be owned by uid 0 or 0: chown it", err)
        self.run_to_end("--check", "-c", self.config_with("user: nobody"), code=0)

    def test_clients_authenticate(self):
        self.secrets()
        self.start(self.config_with("shards: 2", authentication="required"))
        wait_until("all threads have their names", lambda: sorted(self.tasks("comm")) ==
                   ["brokerd", "brokerd-0", "brokerd-1", "brokerd-auth"])
        for name, password, reply in (("alice", "secret", b"+OK\r\n"), ("bob", "secret", b"+OK\r\n"),
                                      ("alice", "wrong", b"-WRONGPASS "), ("eve", "secret", b"-WRONGPASS ")):
            with connect(self.path) as sock:
                self.assertEqual(ask(sock), b"-NOAUTH Authentication required.\r\n")
                self.assertIn(reply, ask(sock, f"AUTH {name} {password}\r\n".encode()))
                got = ask(sock, b"ACL WHOAMI\r\n")
                self.assertEqual(got[:1], b"-" if b"WRONG" in reply else b"$")
        with connect(self.path) as sock:
            ask(sock, b"AUTH secret\r\n")
            self.assertIn(b"\r\nacl_access_denied_auth:2\r\n", ask(sock, b"INFO stats\r\n"))
            self.assertEqual(ask(sock, b"CONFIG RESETSTAT\r\n"), b"+OK\r\n")
            self.assertIn(b"\r\nacl_access_denied_auth:0\r\n", ask(sock, b"INFO stats\r\n"))
        self.assertIn('wrong password for "alice"; 1 wrong ones by this uid', self.log())
        self.stop()

    def test_a_name_that_is_nobodys_stays_out_of_the_log(self):
        """It could be a password in the wrong place."""
        self.secrets()
        self.start(self.config_with())
        with connect(self.path) as sock:
            self.assertIn(b"-WRONGPASS ", ask(sock, b"AUTH Tr0ub4dor alice\r\n"))
        self.assertIn("wrong password for a user that there is not; 1 wrong ones by this uid", self.log())
        self.assertNotIn("Tr0ub4dor", self.log())
        self.stop()

    def test_python3_redis_authenticates(self):
        try:
            import redis  # pylint: disable=import-outside-toplevel
        except ImportError:
            if STRICT:
                self.fail("python3-redis is not installed")
            self.skipTest("python3-redis is not installed")
        self.secrets()
        self.start(self.config_with("shards: 2", authentication="required"))
        for options, who in (({"password": "secret"}, "default"), ({"username": "bob", "password": "secret"}, "bob")):
            with redis.Redis(unix_socket_path=self.path, decode_responses=True, **options) as client:
                self.assertEqual(client.acl_whoami(), who)
                with client.pubsub() as subscriber:
                    subscriber.subscribe("news")
                    self.assertEqual(subscriber.get_message(timeout=DEADLINE)["type"], "subscribe")
                    self.assertEqual(client.publish("news", "x"), 1)
                    self.assertEqual(subscriber.get_message(timeout=DEADLINE)["data"], "x")
        with self.assertRaisesRegex(redis.exceptions.RedisError, "WRONGPASS|invalid username-password"):
            redis.Redis(unix_socket_path=self.path, password="wrong").ping()
        with self.assertRaisesRegex(redis.exceptions.RedisError, "Authentication required"):
            redis.Redis(unix_socket_path=self.path).ping()
        self.stop()

    def test_too_many_at_once_are_turned_away_and_nobody_waits_for_ever(self):
        self.secrets("slow:$6$rounds=100000$saltsalt$" + "a" * 86 + "\n")
        self.start(self.config_with("shards: 2"))
        socks = [connect(self.path) for _ in range(60)]
        for sock in socks:
            sock.sendall(b"AUTH slow wrong\r\nPING\r\n")
        others = connect(self.path)
        self.assertEqual(ask(others), b"+PONG\r\n")
        got = []
        for sock in socks:
            text = b""
            while not text.endswith(b"+PONG\r\n"):
                text += sock.recv(4096)
            got.append(text)
            sock.close()
        others.close()
        busy = sum(text.startswith(b"-ERR too many passwords are waiting to be verified, try again") for text in got)
        wrong = sum(text.startswith(b"-WRONGPASS") for text in got)
        self.assertEqual(busy + wrong, 60)
        self.assertGreaterEqual(wrong, 16)
        self.assertGreater(busy, 0)
        self.assertLess(len(re.findall("wrong password|was not verified", self.log())), 20)
        self.stop()

    def test_it_stops_in_time_while_passwords_wait(self):
        self.secrets("slow:$6$rounds=100000$saltsalt$" + "a" * 86 + "\n")
        self.start(self.config_with("shards: 2"))
        socks = [connect(self.path) for _ in range(16)]
        for sock in socks:
            sock.sendall(b"AUTH slow " + b"x" * 500 + b"\r\n")
        wait_until("one of them is answered", lambda: select.select(socks, [], [], 0)[0])
        self.stop()
        for sock in socks:
            sock.close()

    def say_and_quit(self, request):
        """Until the broker closes; it may do so before all is said."""
        with connect(self.path) as sock:
            try:
                sock.sendall(request + b"QUIT\r\n")
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass

    def test_nothing_of_a_client_breaks_the_log(self):
        """Every field of every request is hostile; the log stays one printable line for each event."""
        self.secrets()
        self.start(self.config_with("shards: 2", "log: {level: debug}"))
        before = len(self.log().splitlines())
        evils = [b"x\n2026-01-01T00:00:00.000Z brokerd[1] error: forged", b"\x1b[2J\x1b]0;title\x07", b"nul\0nul", b"\r\n",
                 b"%s%n%x", b'quote"\\', bytes(range(256)), b"\xc2\x9b31m\xe2\x80\xae", b"A" * 65536]
        for evil in evils:
            for words in ([evil], [evil, evil], [b"AUTH", evil], [b"AUTH", evil, evil], [b"AUTH", b"alice", evil],
                          [b"HELLO", b"3", b"AUTH", evil, evil], [b"HELLO", evil], [b"HELLO", b"2", evil],
                          [b"HELLO", b"2", b"SETNAME", evil], [b"CLIENT", b"SETNAME", evil], [b"CLIENT", evil],
                          [b"CLIENT", b"SETINFO", evil, evil], [b"CLIENT", b"SETINFO", b"LIB-NAME", evil],
                          [b"CLIENT", b"KILL", b"USER", evil], [b"CLIENT", b"KILL", b"ADDR", evil],
                          [b"PUBLISH", evil, evil], [b"SPUBLISH", evil, evil], [b"PUBSUB", b"NUMSUB", evil],
                          [b"ACL", b"GETUSER", evil], [b"ACL", evil], [b"CONFIG", b"GET", evil], [b"INFO", evil],
                          [b"SUBSCRIBE", evil], [b"PSUBSCRIBE", evil], [b"SSUBSCRIBE", evil], [b"POST", evil]):
                self.say_and_quit(b"*%d\r\n" % len(words) +
                                  b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            self.say_and_quit(evil + b"\r\n")
        with connect(self.path) as named, connect(self.path) as sock:
            for evil in evils[:-1]:
                for words in ([b"CLIENT", b"SETNAME", evil], [b"CLIENT", b"SETINFO", b"LIB-NAME", evil],
                              [b"AUTH", evil, b"secret"]):
                    ask(named, b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            lines = ask(sock, b"CLIENT LIST\r\n").splitlines()[1:-1]
            self.assertEqual(len(lines), 2, lines)
            for line in lines:
                self.assertRegex(line, rb"^id=\d+ addr=\S+ .* name=\S* age=.* user=default redir=-1 resp=2 lib-name=\S* ")
        self.stop()
        with open(self.at("log"), "rb") as file:
            lines = file.read().split(b"\n")
        self.assertEqual(lines.pop(), b"")
        for line in lines:
            self.assertRegex(line, rb"^[0-9]{4}-[0-9-]{5}T[0-9:.]{12}Z brokerd\[%d\] (error|warning|notice|info|debug): "
                             rb"[ -~]{1,600}$" % self.process.pid)
        self.assertNotIn(b"error: forged", b"\n".join(line[40:50] for line in lines))
        self.assertGreater(len(lines), before)


class SecretsReload(WithSecrets):
    def reload(self, what):
        """SIGHUP. Returns the line that says what came of it."""
        before = len(re.findall(r" (?:reloaded|reload refused).*", self.log()))
        self.process.send_signal(signal.SIGHUP)
        lines = wait_until("the reload is logged", lambda: re.findall(r" (?:reloaded|reload refused).*", self.log())[before:])
        self.assertIn(what, lines[0])

    def login(self, name, reply=b"+OK\r\n"):
        sock = connect(self.path)
        self.addCleanup(sock.close)
        self.assertTrue(ask(sock, f"AUTH {name} secret\r\n".encode()).startswith(reply), name)
        return sock

    def expect_ends(self, sock):
        self.assertEqual(sock.recv(100), b"")

    def test_other_secrets(self):
        self.secrets()
        self.start(self.config_with("shards: 2", authentication="required"))
        alice, bob = self.login("alice"), self.login("bob")
        self.reload("nothing changed")
        self.secrets(f"alice:{SECRETS['alice']}\nbob:{SECRETS['default']}\ncarl:{SECRETS['bob']}\n")
        self.reload("1 change (secrets)")
        self.expect_ends(bob)
        self.assertEqual(ask(alice), b"+PONG\r\n")
        carl, bob = self.login("carl"), self.login("bob")
        self.login("default", b"-WRONGPASS")
        for text, mode, why in ((f"alice:{SECRETS['alice']}\nbob:\n", 0o600, ':2: error: the hash of "bob" is no hash'),
                                (f"alice:{SECRETS['alice']}\n", 0o644, "chmod it to 0600"), ("", 0o600, "no secret in it")):
            self.secrets(text, mode)
            self.reload("reload refused: 1 error")
            self.assertIn(why, self.log())
            for sock in (alice, bob, carl):
                self.assertEqual(ask(sock), b"+PONG\r\n")
            self.login("carl")
        os.unlink(self.at("secrets"))
        self.reload("reload refused: 1 error")
        self.login("carl")
        self.stop()

    def test_secrets_come_and_go(self):
        self.start(self.config("shards: 2"))
        self.assertNotIn("brokerd-auth", self.tasks("comm"))
        early = connect(self.path)
        self.assertEqual(ask(early, b"AUTH default x\r\n"), b"+OK\r\n")
        self.secrets()
        self.config_with("shards: 2")
        self.reload("secrets")
        alice = self.login("alice")
        self.assertIn("brokerd-auth", self.tasks("comm"))
        if os.geteuid() == 0:
            self.assertEqual(os.stat(f"/proc/{self.process.pid}/mem").st_uid, 0)
        self.config_with("shards: 2", authentication="required")
        self.reload("listeners")
        self.assertEqual(ask(early), b"+PONG\r\n")
        with connect(self.path) as late:
            self.assertEqual(ask(late), b"-NOAUTH Authentication required.\r\n")
        self.assertEqual(ask(alice), b"+PONG\r\n")
        self.config("shards: 2")
        self.reload("secrets")
        self.expect_ends(alice)
        self.assertEqual(ask(early, b"AUTH default x\r\n"), b"+OK\r\n")
        with connect(self.path) as late:
            self.assertEqual(ask(late, b"AUTH alice secret\r\n")[:10], b"-WRONGPASS")
        early.close()
        self.stop()

    def test_passwords_wait_while_secrets_change(self):
        self.secrets("slow:$6$rounds=100000$saltsalt$" + "a" * 86 + f"\nalice:{SECRETS['alice']}\n")
        self.start(self.config_with("shards: 2"))
        socks = [connect(self.path) for _ in range(12)]
        for number, sock in enumerate(socks):
            sock.sendall(b"AUTH slow x\r\n" if number % 2 else b"AUTH alice secret\r\n")
        for _ in range(4):
            self.secrets(f"alice:{SECRETS['bob']}\n")
            self.reload("1 change (secrets)")
            self.secrets(f"alice:{SECRETS['alice']}\n")
            self.reload("1 change (secrets)")
        for sock in socks:
            self.assertRegex(sock.recv(100), rb"^(\+OK|-WRONGPASS.*)\r\n$|^$")
            sock.close()
        self.login("alice")
        self.stop()


class Privileges(WithSecrets):
    def setUp(self):
        super().setUp()
        self.need_root()
        os.chown(self.dir, NOBODY, NOBODY)

    def expect_user(self, uid):
        for name, text in self.tasks("status").items():
            field = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            self.assertEqual(field["Uid"].split(), [str(uid)] * 4, name)
            self.assertEqual(field["Gid"].split(), [str(NOBODY)] * 4, name)
            self.assertEqual(field["Groups"].split(), [str(NOBODY)], name)
            for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(field[caps], 16), 0, f"{name} {caps}")
            self.assertEqual(field["NoNewPrivs"].strip(), "1", name)

    def test_started_as_root_it_becomes_its_user(self):
        """Known failure 28."""
        self.secrets()
        self.start(self.config_with("shards: 2", "user: nobody", f"admin: {self.at('a.sock')}"))
        self.assertEqual(len(self.tasks("comm")), 4)
        self.expect_user(NOBODY)
        for name in ("x.sock", "x.sock.lock", "a.sock", "a.sock.lock"):
            info = os.stat(self.at(name))
            self.assertEqual((info.st_uid, info.st_gid), (NOBODY, NOBODY), name)
        self.assertEqual(os.stat(f"/proc/{self.process.pid}/mem").st_uid, 0)  # closed to others of its user
        self.assertNotIn("warning", self.log())
        self.expect_pong()
        self.stop()

    def test_who_administers_is_told_by_the_user_that_it_became(self):
        self.start(self.config("user: nobody", listeners=[f"{self.path}\"\n    mode: \"0666"]))
        os.chmod(self.dir, 0o755)

        def asks_as(uid):
            code = (f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{self.path}');"
                    "s.sendall(b'BROKER STATUS\\r\\n'); print(s.recv(9))")
            return subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=True, user=uid, group=uid,
                                  extra_groups=[], timeout=DEADLINE).stdout

        self.assertNotIn("NOPERM", asks_as(NOBODY))
        self.assertNotIn("NOPERM", asks_as(0))
        self.assertIn("NOPERM", asks_as(1))
        self.stop()

    def test_a_reload_is_done_by_the_user_that_it_became(self):
        os.chown(self.secrets(), NOBODY, NOBODY)
        config = self.config_with("user: nobody")
        os.chown(config, NOBODY, NOBODY)
        self.start(config)
        with open(self.at("secrets"), "a", encoding="utf-8") as file:
            file.write(f"carl:{SECRETS['alice']}\n")
        self.process.send_signal(signal.SIGHUP)
        wait_until("it is reloaded", lambda: "1 change (secrets)" in self.log())
        os.chown(self.at("secrets"), 0, 0)
        self.process.send_signal(signal.SIGHUP)
        wait_until("the reload is refused", lambda: "reload refused" in self.log())
        self.assertIn(f"{self.at('secrets')}: error: cannot be opened: Permission denied", self.log())
        with connect(self.path) as sock:
            self.assertEqual(ask(sock, b"AUTH carl secret\r\n"), b"+OK\r\n")
        self.stop()

    def test_owners_that_are_named_stay(self):
        self.start(self.config("user: nobody", listeners=[f"{self.path}\"\n    owner: \"daemon"]))
        info = os.stat(self.path)
        self.assertEqual((info.st_uid, info.st_gid), (1, NOBODY))
        self.stop()

    def test_a_directory_that_the_user_cannot_write_is_refused(self):
        os.chown(self.dir, 0, 0)
        os.chmod(self.dir, 0o755)
        _, err = self.run_to_end("-c", self.config("user: nobody"), code=1)
        self.assertIn(f"could not remove it at the end; give that user the directory {self.dir}\n", err)
        self.expect_no_traces()
        os.chmod(self.dir, 0o1777)
        _, err = self.run_to_end("-c", self.config("user: nobody", listeners=[f"{self.path}\"\n    owner: \"daemon"]),
                                 code=1)
        self.assertIn("could not remove it at the end", err)
        self.expect_no_traces()
        self.start(self.config("user: nobody"))
        self.expect_pong()
        self.stop()

    def test_after_a_kill_the_next_one_takes_over(self):
        for _ in range(2):
            self.start(self.config("user: nobody"))
            self.process.kill()
            self.process.wait()
        os.chmod(self.dir, 0o755)
        self.start(self.config("user: nobody"))
        self.assertIn("replaced the socket", self.log())
        self.expect_pong()
        self.stop()

    def test_only_root_can_become_another(self):
        binary = self.at("brokerd")
        shutil.copy(BROKERD, binary)
        os.chmod(self.dir, 0o755)
        for user, code in (("daemon", 1), ("root", 1)):
            config = self.config(f"user: {user}")
            os.chmod(config, 0o644)
            done = subprocess.run([binary, "-c", config], capture_output=True, text=True, timeout=DEADLINE, check=False,
                                  user=NOBODY, group=NOBODY, extra_groups=[])
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(f"only root can become another user: this is uid {NOBODY}", done.stderr)
        self.expect_no_traces()

    def test_with_secrets_its_memory_is_closed_to_its_own_user(self):
        binary = self.at("brokerd")
        shutil.copy(BROKERD, binary)
        os.chmod(self.dir, 0o755)
        os.chown(self.secrets(), NOBODY, NOBODY)
        for config, owner in ((self.config(), NOBODY), (self.config_with(name="with.yaml"), 0)):
            os.chown(config, NOBODY, NOBODY)
            with open(self.at("log"), "wb") as log:
                self.process = subprocess.Popen([binary, "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd=self.dir, user=NOBODY, group=NOBODY, extra_groups=[])
            self.addCleanup(self.process.wait)
            self.addCleanup(self.process.kill)
            wait_until("the broker is ready", self.ready)
            self.assertEqual(os.stat(f"/proc/{self.process.pid}/mem").st_uid, owner)
            self.stop()

    def test_as_root_it_warns(self):
        self.start(self.config())
        self.assertIn("warning: it runs as root; set the option user", self.log())
        text = self.tasks("status")["brokerd"]
        self.assertRegex(text, r"NoNewPrivs:\t1")
        self.stop()
        self.start(self.config("user: root"))
        self.assertNotIn("warning", self.log())
        self.stop()


def refusal():
    """Why io_uring does not work on this machine; None: it does."""
    case = Broker()
    case.setUp()
    try:
        process = case.spawn(case.config("shards: 1"))
        wait_until("it serves or ends", lambda: " ready\n" in case.log() or process.poll() is not None)
        return next(iter(re.findall(r"error: reactor: (.*)", case.log())), None)
    finally:
        case.doCleanups()


class Log(Broker):
    """The option log: a file, its forms, SIGUSR1, and the errors of a start, which are told on stderr all the same."""

    def file_log(self):
        return read(self.at("broker.log")) if os.path.exists(self.at("broker.log")) else ""

    def start_with(self, *more):
        self.spawn(self.config("log:", f"  target: {self.at('broker.log')}", *[f"  {line}" for line in more]))
        wait_until("the broker is ready", lambda: self.process.poll() is not None or "ready" in self.file_log())
        self.assertIsNone(self.process.poll(), self.log())

    def test_all_of_a_life_goes_to_the_file(self):
        self.start_with()
        self.stop()
        self.assertEqual(self.log(), "")
        lines = self.file_log().splitlines()
        self.assertRegex(lines[0], r"^\S+Z brokerd\[\d+\] info: brokerd \S+: \d+ shard")
        self.assertRegex(lines[-1], r"info: stopped$")
        self.assertEqual(os.stat(self.at("broker.log")).st_mode & 0o137, 0)

    def test_each_line_of_json_and_logfmt_is_one_event(self):
        self.start_with("format: json")
        with connect(self.path) as sock:
            sock.sendall(b"*1\r\n$-5\r\n")
            self.assertIn(b"-ERR", sock.recv(100))
        self.stop()
        events = [json.loads(line) for line in self.file_log().splitlines()]
        self.assertEqual({tuple(event) for event in events}, {("time", "level", "pid", "msg")})
        self.assertIn("ready", [event["msg"] for event in events])
        os.unlink(self.at("broker.log"))
        self.start_with("format: logfmt")
        self.stop()
        for line in self.file_log().splitlines():
            self.assertRegex(line, r'^time=\S+ level=\w+ pid=\d+ msg="(?:[^"\\]|\\.)*"$')

    def test_a_file_that_was_moved_is_opened_anew(self):
        self.start_with()
        for turn in range(3):
            os.rename(self.at("broker.log"), self.at(f"old.{turn}"))
            self.process.send_signal(signal.SIGUSR1)
            wait_until("there is a new file", lambda: "opened anew" in self.file_log())
        self.assertNotIn("opened anew", read(self.at("old.0")))
        self.expect_pong()
        self.stop()
        self.assertIn("stopped", self.file_log())
        self.assertNotIn("stopped", read(self.at("old.2")))

    def test_without_a_file_the_signal_is_nothing(self):
        self.start(self.config())
        self.process.send_signal(signal.SIGUSR1)
        self.expect_pong()
        self.stop()
        self.assertNotIn("anew", self.log())

    def test_a_start_that_fails_says_so_on_stderr(self):
        for name in ("none/broker.log", "."):
            _, err = self.run_to_end("-c", self.config("log:", f"  target: {self.at(name)}"), code=1)
            self.assertIn(f"cannot log to {self.at(name)}: ", err)
            self.expect_no_traces()
        os.mkdir(self.at("x.sock"))
        _, err = self.run_to_end("-c", self.config("log:", f"  target: {self.at('broker.log')}"), code=1)
        self.assertIn("x.sock", err)
        self.assertEqual(self.file_log(), "")

    def test_a_reload_moves_it(self):
        self.start(self.config())
        self.config("log:", f"  target: {self.at('broker.log')}", "  format: json")
        self.process.send_signal(signal.SIGHUP)
        wait_until("the reload is told there", lambda: "1 change (log)" in self.file_log())
        self.stop()
        self.assertNotIn("stopped", self.log())
        self.assertIn('"msg":"stopped"', self.file_log())


if __name__ == "__main__":
    REFUSAL = refusal() if REACTOR == "io_uring" else None
    if REFUSAL:
        print(f"SKIP: {REFUSAL}")
        raise SystemExit(1 if STRICT else 77)
    unittest.main()
