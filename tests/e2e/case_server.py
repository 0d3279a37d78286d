# SPDX-License-Identifier: MIT
"""What the server tells about itself: INFO's counters."""

import re
import time

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
    options = _config(c, "*_*", "listeners", "shards", "reactor", "log")
    for name in (b"max_clients", b"max_request_bytes", b"ring_capacity", b"backlog_bytes", b"log", b"shards"):
        need(name in options, f"{name} in {options}")
    need(env.server.path.encode() in options[b"listeners"].split(), f"{options}")
    need(options[b"shards"] == b"%d" % env.shards and options[b"reactor"] == env.server.reactor.encode(), f"{options}")


@case(brokerd="its configuration can be changed")
def config_cannot_be_changed(env):
    c = env.connect()
    for args in (("maxclients", "5"), ("MAXCLIENTS", "5", "nosuch", "1")):
        c.expect_error("ERR CONFIG SET failed (possibly related to argument 'maxclients') - can't set immutable "
                       "config: brokerd reads its configuration from its file, at the start and at SIGHUP",
                       "CONFIG", "SET", *args)
    c.expect_error("ERR Rewriting config file: brokerd does not write its configuration, which changes by its file "
                   "only", "CONFIG", "REWRITE")


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


# ---------------------------------------------------------------- answers in these bytes

def _bytes(env, table):
    c = env.connect()
    for line, expected in table:
        c.send_raw(line.encode() + b"\r\n")
        c.expect_bytes(expected if isinstance(expected, bytes) else expected.encode() + b"\r\n", line)
    c.quiet()


ARITY = "-ERR wrong number of arguments for '%s' command"


@case()
def auth_answers_as_without_a_password(env):
    _bytes(env, (
        ("AUTH", ARITY % "auth"),
        ("AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure "
                   "your configuration is correct?"),
        ("AUTH default x", "+OK"),
        ("auth default ''", "+OK"),
        ("AUTH Default x", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("AUTH foo x", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("AUTH a b c", "-ERR syntax error"),
        ("HELLO 2 AUTH foo x", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("ACL WHOAMI", b"$7\r\ndefault\r\n")))


@case()
def acl_shows_the_one_user(env):
    three = env.proto == 3
    _bytes(env, (
        ("ACL USERS", b"*1\r\n$7\r\ndefault\r\n"),
        ("ACL LIST", b"*1\r\n$34\r\nuser default on nopass ~* &* +@all\r\n"),
        ("ACL GETUSER default",
         (b"%6" if three else b"*12") + b"\r\n$5\r\nflags\r\n" + (b"~2" if three else b"*2") +
         b"\r\n$2\r\non\r\n$6\r\nnopass\r\n$9\r\npasswords\r\n*0\r\n$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n"
         b"$2\r\n~*\r\n$8\r\nchannels\r\n$2\r\n&*\r\n$9\r\nselectors\r\n*0\r\n"),
        ("ACL GETUSER nobody", "_" if three else "$-1"),
        ("ACL GETUSER", ARITY % "acl|getuser"),
        ("ACL CAT nosuch", "-ERR Unknown category 'nosuch'"),
        ("ACL CAT a b", "-ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP."),
        ("ACL LOG RESET", "+OK"),
        ("ACL LOG", "*0"),
        ("ACL LOG 5", "*0"),
        ("ACL LOG x", "-ERR value is not an integer or out of range"),
        ("ACL LOAD x", ARITY % "acl|load"),
        ("ACL SETUSER", ARITY % "acl|setuser"),
        ("ACL", ARITY % "acl"),
        ("ACL FOO", "-ERR unknown subcommand 'FOO'. Try ACL HELP.")))
    c = env.connect()
    need({b"pubsub", b"connection", b"admin", b"transaction"} <= set(c.do("ACL", "CAT")), "categories")
    pubsub = c.do("ACL", "CAT", "pubsub")
    need({b"publish", b"subscribe", b"pubsub|numsub"} <= set(pubsub) and b"ping" not in pubsub, f"{pubsub}")


@case(brokerd="has users to manage")
def acl_manages_nobody(env):
    c = env.connect()
    for args in (("SETUSER", "x"), ("DELUSER", "x"), ("LOAD",), ("SAVE",)):
        c.expect_error("ERR brokerd has no users and passwords to manage: passwords are in a file, and who may "
                       "administer depends on the uid of the client's process", "ACL", *args)


@case()
def logs_and_latencies_are_empty(env):
    if env.reference:  # what the cases before left
        env.connect().ok("SLOWLOG", "RESET")
    _bytes(env, (
        ("SLOWLOG LEN", ":0"),
        ("SLOWLOG GET", "*0"),
        ("slowlog get 5", "*0"),
        ("SLOWLOG GET -1", "*0"),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET 1 2", "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP."),
        ("SLOWLOG RESET", "+OK"),
        ("SLOWLOG", ARITY % "slowlog"),
        ("SLOWLOG FOO", "-ERR unknown subcommand 'FOO'. Try SLOWLOG HELP."),
        ("LATENCY LATEST", "*0"),
        ("LATENCY HISTORY command", "*0"),
        ("LATENCY HISTORY", ARITY % "latency|history"),
        ("LATENCY RESET", ":0"),
        ("LATENCY RESET a b", ":0"),
        ("LATENCY GRAPH x", "-ERR No samples available for event 'x'"),
        ("LATENCY HISTOGRAM nosuch", "%0" if env.proto == 3 else "*0"),
        ("LATENCY", ARITY % "latency")))
    doctor = env.connect().do("LATENCY", "DOCTOR")
    need(isinstance(doctor, bytes) and doctor, f"LATENCY DOCTOR: {doctor!r}")


@case()
def role_and_time_are_told(env):
    _bytes(env, (("ROLE", b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"), ("ROLE x", ARITY % "role"),
                 ("TIME x", ARITY % "time")))
    before = time.time()
    seconds, us = env.connect().do("TIME")
    need(before - 0.001 <= int(seconds) + int(us) / 1e6 <= time.time() and 0 <= int(us) < 1000000, f"{seconds} {us}")


@case()
def a_database_is_there_and_empty(env):
    none = b"*2\r\n$1\r\n0\r\n*0\r\n"
    _bytes(env, (
        ("FLUSHALL", "+OK"), ("FLUSHALL ASYNC", "+OK"), ("flushdb sync", "+OK"), ("FLUSHDB", "+OK"),
        ("FLUSHALL x", "-ERR syntax error"), ("FLUSHDB SYNC ASYNC", "-ERR syntax error"),
        ("DBSIZE", ":0"), ("DBSIZE x", ARITY % "dbsize"),
        ("KEYS *", "*0"), ("KEYS", ARITY % "keys"),
        ("SCAN 0", none), ("SCAN 5 MATCH x COUNT 10 TYPE string", none), ("scan '' type x", none), ("SCAN -1", none),
        ("SCAN +1", none), ("SCAN x", "-ERR invalid cursor"), ("SCAN 1a", "-ERR invalid cursor"),
        ("SCAN ' 1'", "-ERR invalid cursor"), ("SCAN 99999999999999999999", "-ERR invalid cursor"),
        ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range"), ("SCAN 0 COUNT 0", "-ERR syntax error"),
        ("SCAN 0 COUNT", "-ERR syntax error"), ("SCAN 0 FOO x", "-ERR syntax error"), ("SCAN", ARITY % "scan"),
        ("FUNCTION FLUSH", "+OK"), ("FUNCTION FLUSH async", "+OK"),
        ("FUNCTION FLUSH x", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        ("FUNCTION FLUSH SYNC x", "-ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP."),
        ("FUNCTION LIST", "*0"), ("FUNCTION LIST LIBRARYNAME x WITHCODE", "*0"),
        ("FUNCTION LIST WITHCODE WITHCODE", "-ERR Unknown argument WITHCODE"),
        ("FUNCTION LIST x", "-ERR Unknown argument x"),
        ("FUNCTION LIST LIBRARYNAME", "-ERR library name argument was not given"),
        ("FUNCTION", ARITY % "function"), ("FUNCTION FOO", "-ERR unknown subcommand 'FOO'. Try FUNCTION HELP.")))


@case(brokerd="has keys")
def commands_with_keys_are_refused_by_name(env):
    c = env.connect()
    for words, reason in (("GET x", "has no keys"), ("set x y", "has no keys"), ("DEL x", "has no keys"),
                          ("HSET x y z", "has no keys"), ("XADD x", "has no keys"), ("EVAL x 0", "runs no scripts"),
                          ("SAVE", "stores nothing"), ("CLUSTER SLOTS", "no cluster"), ("PSYNC ? -1", "has no replicas"),
                          ("MODULE LIST", "loads no modules")):
        name, *args = words.split()
        quoted = "".join(f"'{arg}' " for arg in args)
        c.expect_error(f"ERR unknown command '{name}', with args beginning with: {quoted}(brokerd is a "
                       f"publish/subscribe broker and {reason})",
                       name, *args)


# ---------------------------------------------------------------- COMMAND

@case()
def command_list_filters(env):
    c = env.connect()
    every = c.do("COMMAND", "LIST")
    need({b"publish", b"client|id", b"command|list"} <= set(every), f"{every}")
    need(set(c.do("COMMAND", "LIST", "FILTERBY", "PATTERN", "p*b*")) >= {b"publish", b"pubsub", b"psubscribe"}, "p*b*")
    need(c.do("COMMAND", "LIST", "filterby", "pattern", "client|i?") == [b"client|id"], "client|i?")
    need(c.do("COMMAND", "LIST", "FILTERBY", "MODULE", "x") == [], "no module")
    need(c.do("COMMAND", "LIST", "FILTERBY", "ACLCAT", "nosuch") == [], "no category")
    need(sorted(c.do("COMMAND", "LIST", "FILTERBY", "ACLCAT", "pubsub")) == sorted(c.do("ACL", "CAT", "pubsub")),
         "a category")
    for args in (("x",), ("FILTERBY",), ("FILTERBY", "PATTERN"), ("FILTERBY", "FOO", "x"),
                 ("FILTERBY", "PATTERN", "x", "y")):
        c.expect_error("ERR syntax error", "COMMAND", "LIST", *args)


@case()
def command_getkeys_finds_none(env):
    c = env.connect()
    for word in ("GETKEYS", "GETKEYSANDFLAGS"):
        c.expect_error("ERR The command has no key arguments", "COMMAND", word, "PUBLISH", "a", "b")
        c.expect_error("ERR The command has no key arguments", "COMMAND", word, "client", "id")
        c.expect_error("ERR Invalid command specified", "COMMAND", word, "nosuch", "a")
        c.expect_error("ERR Invalid command specified", "COMMAND", word, "client", "nosuch")
        c.expect_error(f"ERR wrong number of arguments for 'command|{word.lower()}' command", "COMMAND", word)


@case()
def command_info_knows_subcommands(env):
    c = env.connect()
    publish, getname, none, config = c.do("COMMAND", "INFO", "publish", "CLIENT|getname", "client|nosuch", "config|get")
    need(none is None, f"{none}")
    need(publish == [b"publish", 3, ["pubsub", "loading", "stale", "fast"], 0, 0, 0, ["@pubsub", "@fast"], [], [], []]
         or set(publish[6]) == {"@pubsub", "@fast"}, f"{publish}")
    need(getname[:2] == [b"client|getname", 2] and "@connection" in getname[6], f"{getname}")
    need(config[1] == -3 and "admin" in config[2] and {"@admin", "@slow", "@dangerous"} == set(config[6]), f"{config}")
    c.send("COMMAND", "INFO", "nosuch")
    c.expect_bytes(b"*1\r\n_\r\n" if env.proto == 3 else b"*1\r\n$-1\r\n", "an unknown command")
    docs = c.do("COMMAND", "DOCS", "client|id")
    need((list(docs) if isinstance(docs, dict) else docs[:1]) == [b"client|id"], f"{docs}")
