# SPDX-License-Identifier: MIT
"""What the server tells about itself: INFO's counters."""

import re

from resp import Error, encode
from suite import case, need


def info(client, *sections):
    """All fields of these sections."""
    text = client.do("INFO", *sections)
    need(isinstance(text, bytes), f"INFO {sections} replied {text!r}")
    return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)


def _calls(client, name):
    """calls, rejected_calls and failed_calls of a command."""
    text = info(client, "commandstats").get("cmdstat_" + name)
    if text is None:
        return [0, 0, 0]
    need(re.fullmatch(r"calls=\d+,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=\d+,failed_calls=\d+", text),
         f"{name}: {text}")
    numbers = re.findall(r"=([\d.]+)", text)
    return [int(numbers[0]), int(numbers[3]), int(numbers[4])]


# ---------------------------------------------------------------- INFO

@case()
def info_counts_calls_of_each_command(env):
    asker, clients = env.connect(), env.spread()
    names = ("ping", "publish", "select", "client|getname", "client|setname", "subscribe")
    before = {name: _calls(asker, name) for name in names}
    for c in clients:
        c.expect("PONG", "PING")
        c.publish("nobody", "x", 0)
        c.publish("nobody", "y", 0)
        c.expect(None, "CLIENT", "GETNAME")
        c.expect_error("ERR DB index is out of range", "SELECT", "99")
        c.expect_error("ERR wrong number of arguments for 'client|setname' command", "CLIENT", "SETNAME")
        c.subscribe("x", "y")
    n = len(clients)
    for name, calls, rejected, failed in (("ping", 1, 0, 0), ("publish", 2, 0, 0), ("select", 1, 0, 1),
                                          ("client|getname", 1, 0, 0), ("client|setname", 0, 1, 0),
                                          ("subscribe", 1, 0, 0)):
        now = _calls(asker, name)
        got = [a - b for a, b in zip(now, before[name])]
        need(got == [n * calls, n * rejected, n * failed], f"{name}: {before[name]} {now}")


@case()
def info_counts_errors_by_their_code(env):
    asker = env.connect()
    errors = ("ERR", "NOPROTO", "WRONGPASS")

    def count():
        fields = info(asker, "errorstats", "stats")
        return [int(fields.get("errorstat_" + name, "count=0")[6:]) for name in errors] + \
            [int(fields["total_error_replies"])]

    before = count()
    for c in env.spread():
        c.send_raw(encode("NOSUCH") + encode("PUBLISH", "a") + encode("CLIENT", "NOSUCH") + encode("HELLO", "4") +
                   encode("HELLO", "2", "AUTH", "nosuch", "x") + encode("PING"))
        for _ in range(5):
            need(isinstance(c.read("an error"), Error), "an error")
        c.check(c.read("PONG"), "PONG", "PING")
    bad = env.raw()
    bad.send_raw(b"*x\r\n")
    need(isinstance(bad.read("the protocol error"), Error), "a protocol error")
    n = env.shards
    after = count()
    need([a - b for a, b in zip(after, before)] == [3 * n + 1, n, n, 5 * n + 1], f"{before} {after}")


@case()
def info_counts_bytes_in_both_directions(env):
    c, asker = env.pair()
    asker.quiet()
    text = asker.do("INFO", "stats")
    before = dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)
    sent = encode("ECHO", "x" * 100000)
    c.send_raw(sent)
    c.expect_bytes(b"$100000\r\n" + b"x" * 100000 + b"\r\n", "ECHO")
    after = info(asker, "stats")
    head = len(b"=%d\r\ntxt:" % (len(text) + 4) if env.proto == 3 else b"$%d\r\n" % len(text))
    grown = int(after["total_net_output_bytes"]) - int(before["total_net_output_bytes"])
    need(grown == 100000 + 11 + head + len(text) + 2, f"output: {grown}")
    grown = int(after["total_net_input_bytes"]) - int(before["total_net_input_bytes"])
    # redis-server counts the question before it answers it, and brokerd as well
    need(grown == len(sent) + len(encode("INFO", "stats")), f"input: {grown}")


@case()
def info_tells_about_memory_and_cpu(env):
    c = env.connect()
    fields = info(c, "memory", "cpu")
    rss = env.server.memory()
    need(abs(int(fields["used_memory_rss"]) - rss) < 32 << 20, f"{fields}; the kernel says {rss}")
    if not env.server.sanitized():
        need(0 < int(fields["used_memory"]) < 1 << 30, f"{fields}")
        need(re.fullmatch(r"[\d.]+[BKMG]", fields["used_memory_human"]), f"{fields}")
    need(fields["maxmemory"] == "0" and fields["maxmemory_human"] == "0B", f"{fields}")
    need(fields["maxmemory_policy"] == "noeviction", f"{fields}")
    need(int(fields["total_system_memory"]) > int(fields["used_memory_rss"]), f"{fields}")
    for name in ("used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"):
        need(re.fullmatch(r"\d+\.\d{6}", fields[name]), f"{name}: {fields[name]}")
    need(float(fields["used_cpu_sys"]) + float(fields["used_cpu_user"]) > 0, f"{fields}")
