#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""brokerctl metrics: what promtool says of it, that every figure of the status is there, and the file that it writes."""

import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import unittest

from ctlcase import BROKERCTL, CONNECT, DEADLINE, FAILED, OK, Case

# What BROKER STATUS has and is no figure.
NO_FIGURES = {"broker.version", "broker.pid", "broker.reactor", "broker.reactor_reason", "shard.id", "shard.reactor", "shard.cpu", "shard.time_us"}

SAMPLE = re.compile(r'(brokerd_[a-z_]+)(?:\{([a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*)\})? (\d+(?:\.\d+)?)$')


def samples(text):
    """Return: name and labels -> value."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, line
        key = match[1] + (f"{{{match[2]}}}" if match[2] else "")
        assert key not in found, key
        found[key] = float(match[3]) if "." in match[3] else int(match[3])
    return found


class Metrics(Case):
    def metrics(self, *args):
        status, out, err = self.ctl("metrics", *args)
        self.assertEqual((status, err), (OK, ""))
        return out.decode()

    def raw(self):
        return dict(line.split(" ", 1) for line in self.ctl("status", "--raw")[1].decode().splitlines())


class Figures(Metrics):
    def setUp(self):
        super().setUp()
        self.start_brokerd()

    def test_promtool_has_no_complaint(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is missing")
        done = subprocess.run(["promtool", "check", "metrics"], input=self.metrics().encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b""))

    def test_every_figure_of_the_status_is_there(self):
        """A new counter of BROKER STATUS needs a row in the table of src/ctl/metrics.c."""
        source = (pathlib.Path(__file__).resolve().parents[2] / "src/ctl/metrics.c").read_text()
        rows = set(re.findall(r'\{ "(\w+)", METRIC_(BROKER|SUM|SHARD),', source))
        self.assertGreater(len(rows), 40)
        for name in self.raw():
            place, field = name.split(".", 1)
            if place == "shard":
                field = field.split(".", 1)[1]
            if f"{place}.{field}" in NO_FIGURES:
                continue
            scopes = {scope for row, scope in rows if row == field}
            self.assertTrue(scopes & ({"BROKER"} if place == "broker" else {"SUM", "SHARD"}), name)

    def test_a_known_load_is_shown(self):
        process, lines, _ = self.start_sub("news", "-n", "5")
        for i in range(5):
            self.assertEqual(self.ctl("pub", "news", "x" * i)[0], OK)
        self.assertEqual(process.wait(DEADLINE), OK)
        lines.rest()
        found, raw = samples(self.metrics()), self.raw()
        self.assertEqual(found["brokerd_messages_published_total"], 5)
        self.assertEqual(found["brokerd_messages_delivered_total"], 5)
        self.assertEqual(found["brokerd_shards"], 3)
        self.assertEqual(found["brokerd_clients"], 1)
        self.assertEqual(found['brokerd_connections_rejected_total{limit="max_clients"}'], 0)
        for name, field in (("messages_published_total", "messages_in"), ("messages_delivered_total", "messages_out")):
            for shard in range(3):
                self.assertEqual(found[f'brokerd_shard_{name}{{shard="{shard}"}}'], int(raw[f"shard.{shard}.{field}"]))
        self.assertEqual(sum(found[f'brokerd_shard_messages_published_total{{shard="{i}"}}'] for i in range(3)), 5)

    def test_times_are_in_seconds(self):
        found, raw = samples(self.metrics()), self.raw()
        for name, field in (("cpu", "cpu_ns"), ("sleep", "park_ns")):
            self.assertAlmostEqual(found[f'brokerd_shard_{name}_seconds_total{{shard="1"}}'],
                                   int(raw[f"shard.1.{field}"]) / 1e9, delta=DEADLINE)
        self.assertLess(0, found['brokerd_shard_cpu_seconds_total{shard="1"}'])

    def test_a_metric_is_told_once_before_its_samples(self):
        said, name = set(), None
        lines = self.metrics().splitlines()
        for line, after in zip(lines, lines[1:] + ["# HELP"]):
            if line.startswith("# HELP "):
                name = line.split()[2]
                self.assertNotIn(name, said)
                said.add(name)
                self.assertRegex(after, rf"^# TYPE {name} (counter|gauge)$")
            elif line.startswith("# TYPE "):
                self.assertEqual(line.split()[3] == "counter", name.endswith("_total"))
                self.assertTrue(after.startswith((name + " ", name + "{")), after)
            else:
                self.assertTrue(line.startswith((name + " ", name + "{")), line)

    def test_no_label_comes_from_a_client(self):
        before = set(samples(self.metrics()))
        self.start_sub("channel-of-mine")
        self.assertEqual(set(samples(self.metrics())), before)
        self.assertLess(len(before), 300)


class Strange(Metrics):
    def test_what_the_broker_does_not_give_is_not_there(self):
        self.start_fake("old")
        text = self.metrics()
        self.assertEqual(text.splitlines()[2], 'brokerd_build_info{version="0.0.1?[31m",reactor=""} 1')
        found = samples("\n".join(text.splitlines()[3:]))
        self.assertEqual(found, {'brokerd_shard_clients{shard="5"}': 1})

    def test_sums_are_of_all_shards(self):
        self.start_fake("broker")
        found = samples("\n".join(line for line in self.metrics().splitlines() if "build_info" not in line))
        self.assertEqual(found["brokerd_messages_delivered_total"], 3 * 98765432100)
        self.assertEqual(found["brokerd_clients"], 950)
        self.assertEqual(found['brokerd_shard_clients{shard="2"}'], 6)
        self.assertEqual(found["brokerd_accept_paused"], 1)

    def test_another_answer_is_told(self):
        self.start_fake("odd")
        self.assert_fails(self.ctl("metrics"), FAILED, "does not fit the question")


class Files(Metrics):
    def setUp(self):
        super().setUp()
        self.out = os.path.join(self.dir, "out")
        os.mkdir(self.out)
        self.file = os.path.join(self.out, "brokerd.prom")

    def write(self, *args, **options):
        return self.ctl("metrics", "-o", self.file, *args, **options)

    def test_the_file_is_new_each_time_and_readable_by_all(self):
        self.start_fake("broker")
        self.cleanup.callback(os.umask, os.umask(0o077))
        inodes = set()
        keep = []
        for _ in range(3):
            self.assert_quiet(self.write())
            status = os.stat(self.file)
            self.assertEqual(status.st_mode & 0o7777, 0o644)
            keep.append(open(self.file, "rb"))  # so that the number of the file is not used again
            self.cleanup.callback(keep[-1].close)
            inodes.add(status.st_ino)
            self.assertEqual(os.listdir(self.out), ["brokerd.prom"])
        self.assertEqual(len(inodes), 3)
        self.assertEqual(keep[-1].read().decode(), self.metrics())
        self.assertEqual(self.metrics("--output=-"), self.metrics())

    def test_it_is_synchronised_before_it_has_the_name(self):
        if not shutil.which("strace"):
            self.skipTest("strace is missing")
        self.start_fake("broker")
        log = os.path.join(self.dir, "strace")
        if self.ctl("-e", "trace=fsync,fchmod,rename,renameat,renameat2", "-o", log, "true", program="strace",
                    socket_path=False)[0]:
            self.skipTest("strace does not work here")
        words = ["-e", "trace=fsync,fchmod,rename,renameat,renameat2", "-o", log, BROKERCTL, "-s", self.path]
        no_leaks = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}  # it cannot be traced
        self.assert_quiet(self.ctl(*words, "metrics", "-o", self.file, program="strace", socket_path=False, env=no_leaks))
        calls = re.findall(r"(?m)^(fsync|fchmod|rename)", pathlib.Path(log).read_text())
        self.assertEqual(calls, ["fchmod", "fsync", "rename", "fsync"])


    def test_a_missing_directory_is_named(self):
        self.start_fake("broker")
        self.file = os.path.join(self.out, "no", "brokerd.prom")
        self.assert_fails(self.write(), FAILED, f"cannot write {self.file}: No such file or directory",
                          f"there is no directory {self.out}/no\n")

    def test_a_closed_directory_says_who_one_is(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        self.start_fake("broker")
        os.chmod(self.out, 0o500)
        self.assert_fails(self.write(), FAILED, "Permission denied", f"you are uid {os.geteuid()}")

    def test_a_failure_leaves_the_old_file_and_nothing_else(self):
        self.start_fake("broker")
        pathlib.Path(self.file).write_text("old\n")

        def small():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

        self.assert_fails(self.write(preexec_fn=small), FAILED, f"cannot write {self.file}: File too large")
        self.assertEqual(pathlib.Path(self.file).read_text(), "old\n")
        self.assertEqual(os.listdir(self.out), ["brokerd.prom"])

    def test_a_directory_in_its_place_is_left_alone(self):
        self.start_fake("broker")
        os.mkdir(self.file)
        self.assert_fails(self.write(), FAILED, f"cannot write {self.file}: Is a directory")
        self.assertEqual(os.listdir(self.out), ["brokerd.prom"])

    def test_without_a_broker_the_old_file_stays(self):
        pathlib.Path(self.file).write_text("old\n")
        self.assert_fails(self.write(), CONNECT, "cannot connect")
        self.assertEqual(os.listdir(self.out), ["brokerd.prom"])
        self.assertEqual(pathlib.Path(self.file).read_text(), "old\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
