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


# ---------------------------------------------------------------- CONFIG

def _config(client, *patterns):
    reply = client.do("CONFIG", "GET", *patterns)
    need(not isinstance(reply, Error), f"CONFIG GET {patterns}: {reply!r}")
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2]))


@case()
def config_get_shows_settings(env):
    c = env.connect()
    need(_config(c, "save") == {b"save": b""}, "save")
    need(_config(c, "MaxClients", "maxclients")[b"MaxClients"].isdigit(), "a name as it was spelled")
    need(_config(c, "nosuch") == {} and _config(c, "") == {}, "no setting")
    some = _config(c, "maxmemor?", "appendonl[x-z]", "UNIX*")
    need(some == {b"maxmemory": b"0", b"appendonly": b"no", b"unixsocket": env.server.path.encode(),
                  b"unixsocketperm": some.get(b"unixsocketperm")}, f"{some}")
    every = _config(c, "*")
    for name in (b"maxclients", b"maxmemory", b"proto-max-bulk-len", b"client-output-buffer-limit", b"timeout",
                 b"databases", b"save", b"appendonly", b"unixsocket", b"unixsocketperm", b"port",
                 b"slowlog-max-len", b"notify-keyspace-events"):
        need(name in every, f"{name} in {every}")
    need(every[b"maxclients"].decode() == info(c, "clients")["maxclients"], "maxclients")
    c.expect_error("ERR wrong number of arguments for 'config|get' command", "CONFIG", "GET")
    c.expect_error("ERR wrong number of arguments for 'config' command", "CONFIG")
    c.expect_error("ERR unknown subcommand 'FOO'. Try CONFIG HELP.", "CONFIG", "FOO")
    c.expect_error("ERR wrong number of arguments for 'config|help' command", "CONFIG", "HELP", "x")
    text = c.do("CONFIG", "HELP")
    need(text[0] == "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", f"{text}")
    need(text[-2:] == ["HELP", "    Prints this help."], f"{text}")


@case(brokerd="has options of its own")
def config_get_shows_options_of_the_file(env):
    c = env.connect()
    options = _config(c, "*_*", "listeners", "shards", "reactor")
    for name in (b"max_clients", b"max_request_bytes", b"ring_capacity", b"backlog_bytes", b"log_level", b"shards"):
        need(name in options, f"{name} in {options}")
    need(env.server.path.encode() in options[b"listeners"].split(), f"{options}")
    need(options[b"shards"] == b"%d" % env.shards and options[b"reactor"] == env.server.reactor.encode(), f"{options}")


@case(brokerd="its configuration can be changed")
def config_cannot_be_changed(env):
    c = env.connect()
    for args in (("maxclients", "5"), ("MAXCLIENTS", "5", "nosuch", "1")):
        c.expect_error("ERR CONFIG SET failed (possibly related to argument 'maxclients') - can't set immutable "
                       "config: brokerd reads its configuration from its file, at the start", "CONFIG", "SET", *args)
    c.expect_error("ERR Rewriting config file: brokerd does not write its configuration, which nothing changes",
                   "CONFIG", "REWRITE")


@case()
def config_set_names_what_it_does_not_know(env):
    c = env.connect()
    c.expect_error("ERR Unknown option or number of arguments for CONFIG SET - 'a'", "CONFIG", "SET", "a", "b")
    c.expect_error("ERR syntax error", "CONFIG", "SET", "maxclients", "5", "x")
    c.expect_error("ERR wrong number of arguments for 'config|set' command", "CONFIG", "SET", "maxclients")
    c.expect_error("ERR wrong number of arguments for 'config|rewrite' command", "CONFIG", "REWRITE", "x")


@case()
def config_resetstat_begins_to_count_anew(env):
    asker, clients = env.connect(), env.spread()
    for c in clients:
        c.publish("nobody", "x", 0)
        c.send("NOSUCH")
        need(isinstance(c.read("an error"), Error), "an error")
    asker.expect_error("ERR wrong number of arguments for 'config|resetstat' command", "CONFIG", "RESETSTAT", "x")
    asker.ok("CONFIG", "RESETSTAT")
    fields = info(asker, "everything")
    need("errorstat_ERR" not in fields, f"{fields}")
    need(_calls(asker, "publish") == [0, 0, 0] and _calls(asker, "config|resetstat") == [1, 0, 0], f"{fields}")
    need(int(fields["total_commands_processed"]) == 1 and fields["total_error_replies"] == "0", f"{fields}")
    need(int(fields["total_connections_received"]) == 0, f"{fields}")
    need(int(fields["connected_clients"]) == len(clients) + 1, f"{fields}")
    need(0 < int(fields["total_net_input_bytes"]) < 500, f"{fields}")
    need(int(fields["total_net_output_bytes"]) < 10000, f"{fields}")
    for c in clients:
        c.publish("nobody", "x", 0)
    need(_calls(asker, "publish") == [len(clients), 0, 0], "calls after the reset")
    env.connect().quiet()
    need(info(asker, "stats")["total_connections_received"] == "1", "connections after the reset")
