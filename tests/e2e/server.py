# SPDX-License-Identifier: MIT
"""
Servers under test: brokerd, or redis-server as the reference of the suite itself.

A server lives in a fresh directory, is ready when it answers a PING, and must end by SIGTERM with exit code 0
within a second, with its socket file gone and nothing on stderr that a sanitizer or an assertion wrote.
"""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import DEADLINE, Client, Eof, Failure

ALARMS = re.compile(rb"(AddressSanitizer|ThreadSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:"
                    rb"|Assertion|REDIS BUG REPORT|error_origin|stack smashing|corrupted)")
STOP_SECONDS = float(os.environ.get("E2E_STOP_SECONDS", "1"))


class Server:
    """
    Options: shards, max_clients, backlog, mode (of the listener), config (lines of the configuration), env (added to
    the environment), nofile (limit), path (as the configuration names it), wrap (words before the command), keep_dir
    (a directory to serve in).
    """

    reactor = "libev"  # of every broker
    extra = []  # lines of every broker's configuration

    def __init__(self, kind, binary, shards=1, **options):
        self.kind = kind
        self.binary = binary
        self.shards = shards
        self.options = options
        self.own_dir = options.get("keep_dir") is None
        self.dir = options.get("keep_dir") or tempfile.mkdtemp(prefix="brokerd-e2e.")
        self.path = options.get("path") or os.path.join(self.dir, "s")
        self.process = None
        self.started = 0

    @property
    def reference(self):
        return self.kind == "redis"

    @property
    def multiplexing_api(self):
        return "io_uring" if self.reactor == "io_uring" and not self.reference else "epoll"

    # ------------------------------------------------------------ start

    def _redis_command(self):
        get = self.options.get
        words = [self.binary, "--port", "0", "--unixsocket", self.path, "--unixsocketperm", "600", "--save", "",
                 "--appendonly", "no", "--databases", "1", "--dir", self.dir, "--daemonize", "no",
                 "--client-output-buffer-limit", "normal 32mb 0 0 pubsub 32mb 0 0",
                 "--maxclients", str(get("max_clients", 12000)), "--loglevel", "warning"]
        if get("backlog"):
            words += ["--tcp-backlog", str(get("backlog"))]
        return words

    def config_text(self):
        get = self.options.get
        lines = [f"shards: {self.shards}", f"reactor: {self.reactor}"]
        if get("max_clients"):
            lines.append(f"max_clients: {get('max_clients')}")
        if get("max_request_bytes"):
            lines.append(f"max_request_bytes: {get('max_request_bytes')}")
        lines += self.extra + get("config", [])
        lines += ["listeners:", f"  - path: {self.path}"]
        if get("mode"):
            lines.append(f"    mode: {get('mode')}")
        if get("backlog"):
            lines.append(f"    backlog: {get('backlog')}")
        return "\n".join(lines) + "\n"

    def write_config(self):
        name = os.path.join(self.dir, "broker.yaml")
        with open(name, "w", encoding="utf-8") as file:
            file.write(self.config_text())
        return name

    def command(self):
        if self.reference:
            words = self._redis_command()
        else:
            words = [self.binary, "-c", self.write_config()]
        return list(self.options.get("wrap", [])) + words

    def spawn(self):
        """Starts the process; does not wait for it to serve."""
        self.started += 1
        env = dict(os.environ, **self.options.get("env", {}))
        nofile = self.options.get("nofile")

        def limit():
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        with open(os.path.join(self.dir, "out"), "ab") as out:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=env, cwd=self.dir, preexec_fn=limit)
        return self

    def start(self):
        """Starts it and waits for the answer to a PING."""
        self.spawn()
        until = time.monotonic() + DEADLINE
        while True:
            if self.process.poll() is not None:
                raise Failure(f"the server ended at start with {self.process.returncode}: {self.output()}")
            try:
                client = Client(self.path, name="readiness")
                client.close()
                return self
            except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, Eof):
                pass
            if time.monotonic() > until:
                raise Failure(f"the server did not answer a PING within {DEADLINE} s: {self.output()}")
            time.sleep(0.002)  # a socket that does not exist yet cannot be waited for

    def refusal(self):
        """Why io_uring does not work on this machine; None: it does."""
        try:
            self.start().stop()
            return None
        except Failure:
            found = re.search(r"error: reactor: (.*)", self.output())
            if not found:
                raise
            return found.group(1)
        finally:
            self.remove()

    # ------------------------------------------------------------ what it is doing

    @property
    def pid(self):
        """Of the server itself, also when it runs below a wrapper."""
        if not self.options.get("wrap"):
            return self.process.pid
        children = _read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()
        return int(children[0]) if children else self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def output(self):
        try:
            with open(os.path.join(self.dir, "out"), "rb") as file:
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def fd_links(self):
        links = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except FileNotFoundError:
                pass
        return links

    def memory(self, field="VmRSS"):
        """In bytes."""
        return int(re.search(rf"{field}:\s+(\d+) kB", _read(f"/proc/{self.pid}/status")).group(1)) * 1024

    def cpu_seconds(self):
        """Of all threads, from the scheduler."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            total += int(_read(f"/proc/{self.pid}/task/{task}/schedstat").split()[0])
        return total / 1e9

    def switches(self):
        """How often its threads went to sleep."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            text = _read(f"/proc/{self.pid}/task/{task}/status")
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M).group(1))
        return total

    def sanitized(self):
        """Built with a sanitizer: memory figures and times mean little then."""
        with open(self.binary, "rb") as file:
            text = file.read()
        return b"__asan_init" in text or b"__tsan_init" in text

    # ------------------------------------------------------------ end

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, seconds, what):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{what}: still running after {seconds} s") from None

    def stop(self):
        """SIGTERM, and what must hold after it."""
        if not self.alive():
            code = None if self.process is None else self.process.returncode
            raise Failure(f"the server was gone before its SIGTERM, exit code {code}: {self.output()}")
        factor = 10 if self.sanitized() or self.reference else 1
        self.signal(signal.SIGTERM)
        code = self.wait(STOP_SECONDS * factor, "SIGTERM")
        if code != 0:
            raise Failure(f"exit code {code} after SIGTERM: {self.output()}")
        if os.path.exists(self.path):
            raise Failure("the socket file is still there after SIGTERM")
        self.check_output()

    def check_output(self):
        text = self.output().encode()
        if ALARMS.search(text):
            raise Failure(f"alarm in the server's output: {text.decode('utf-8', 'replace')[-6000:]}")

    def kill(self):
        if self.alive():
            pid = self.pid
            os.kill(pid, signal.SIGKILL)
            if pid != self.process.pid:
                try:
                    self.process.wait(2)
                except subprocess.TimeoutExpired:
                    self.process.kill()
            self.process.wait()

    def remove(self):
        self.kill()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)


def reference_version(binary):
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(n) for n in re.search(r"v=(\d+)\.(\d+)\.(\d+)", text).groups())


def raw_connect(path):
    """A connected blocking socket with the usual deadline."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE)
    sock.connect(path)
    return sock


def _read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()
