#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
CPU per delivery over the number of subscribers: measures it, keeps the figures as DIR/cpu-per-delivery.dat, and has
gnuplot draw them as DIR/cpu-per-delivery.svg. Both say what machine they are of. See tests/bench/README.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time

from contest import CONTESTANTS, add_options, alternate_kinds, column, introduce, prepare, quartiles

HERE = os.path.dirname(os.path.abspath(__file__))
SUBSCRIBERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
WORDS = "--subs %d --size 16 --pipeline 64"
WHAT = "server CPU in ns per delivered message, of 16 bytes, in windows of 64"
LICENCE = "SPDX-License-Identifier: MIT"


def first_line(*command):
    """Return: the first line that a program prints; "unknown" without it."""
    try:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    except OSError:
        out = ""
    return out.split("\n")[0] or "unknown"


def cpu_model():
    with open("/proc/cpuinfo") as file:
        text = file.read()
    model = re.search(r"^(?:model name|Model)\s*: (.*)$", text, re.M)
    return (model.group(1) if model else platform.machine()) + (" (virtual)" if "hypervisor" in text else "")


def redis_version(options):
    version = re.search(r"v=([0-9.]+)", first_line(options.redis, "--version"))
    return version.group(1) if version else "unknown"


def machine(options):
    """What the figures hold for; nothing that names the machine. Return: lines."""
    return [
        "CPU: %s, %d online" % (cpu_model(), os.sysconf("SC_NPROCESSORS_ONLN")),
        "kernel: %s %s" % (os.uname().sysname, os.uname().release),
        "compiler: %s %s" % (first_line(*options.cc.split(), "--version"), options.cflags),
        "servers: brokerd %s" % first_line(options.brokerd, "--version").split()[-1]
        + (", redis-server %s" % redis_version(options) if "redis" in options.kinds else ""),
        "runs: medians, with quartiles, of %d alternations of %g s of server CPU%s" % (
            options.alternations, options.cpu, ", with real-time priority" if options.fifo else ""),
        "date: %s" % time.strftime("%Y-%m-%d", time.gmtime()),
    ]


def row(subscribers, values):
    """values: kind -> a value of each alternation. Return: a line of the data."""
    cells = ["%4d" % subscribers]
    for kind in CONTESTANTS:
        low, middle, high = quartiles(values[kind]) if kind in values else (None,) * 3
        cells += ["%6s" % "-" if value is None else "%6.*f" % (1 if value >= 10 else 3, value)
                  for value in (middle, low, high)]
    return " ".join(cells)


def measure(options, path):
    """Two blocks with the same columns: the figures, and their ratios to the first contestant's."""
    base = options.kinds[0]
    ratios = []
    with open(path, "w") as file:
        for line in [LICENCE, WHAT] + machine(options):
            print("# " + line, file=file)
        print("# columns: subscribers; median, lower and upper quartile of " + ", ".join(CONTESTANTS), file=file)
        for subscribers in options.subs:
            results = alternate_kinds(options, options.kinds, WORDS % subscribers)
            ns = {kind: column(results, kind) for kind in results}
            line = row(subscribers, ns)
            print(line, file=file, flush=True)
            print(line, flush=True)
            ratios.append(row(subscribers, {kind: [a / b for a, b in zip(ns[kind], ns[base])] for kind in ns}))
        print("\n\n# over: %s\n# the same columns, of ratios formed within an alternation" % base, file=file)
        print("\n".join(ratios), file=file)


def head(path, *names):
    """Return: those lines "# name: value" of the data."""
    with open(path) as file:
        return [line[2:].rstrip("\n") for line in file if line.startswith(tuple("# %s:" % name for name in names))]


def quoted(text):
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def draw(path, picture):
    caption = head(path, "CPU", "kernel", "compiler", "servers", "runs", "date")
    over = head(path, "over")
    if not caption or not over:
        sys.exit("%s is not whole" % path)
    variables = "data = %s; caption = %s; over = %s" % (
        quoted(path), quoted("\n".join(caption)), quoted(over[0].replace(":", "")))
    out = subprocess.run(["gnuplot", "-e", variables, os.path.join(HERE, "plot.gp")], stdout=subprocess.PIPE)
    if out.returncode or b"</svg>" not in out.stdout:
        sys.exit("gnuplot could not draw %s" % path)
    first, body = out.stdout.decode().split("\n", 1)
    body = re.sub(r"<title>.*?</title>", "<title>CPU per delivery</title>", body, count=1)
    with open(picture, "w") as file:
        file.write("%s\n<!-- %s -->\n%s" % (first, LICENCE, body))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--plots", default=os.path.join(HERE, "plots"), metavar="DIR", help="where both files go")
    parser.add_argument("--subs", type=int, nargs="+", default=SUBSCRIBERS, metavar="N", help="the points")
    parser.add_argument("--cc", default="cc", help="the compiler that built brokerd")
    parser.add_argument("--cflags", default="", metavar="=FLAGS", help="what it was given")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw the data that is there")
    options = parser.parse_args()
    if not shutil.which("gnuplot"):
        parser.error("gnuplot is missing (Debian: gnuplot-nox)")
    os.makedirs(options.plots, exist_ok=True)
    data, picture = (os.path.join(options.plots, "cpu-per-delivery." + end) for end in ("dat", "svg"))
    if not options.draw:
        prepare(options)
        introduce(options)
        measure(options, data)
    draw(data, picture)
    print("%s\n%s" % (data, picture))


if __name__ == "__main__":
    main()
