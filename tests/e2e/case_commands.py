# SPDX-License-Identifier: MIT
"""What each command replies when it is used as it should be."""

from resp import Error, Push, encode
from suite import Skip, case, need


@case()
def ping_and_echo_answer(env):
    c = env.connect()
    c.expect("PONG", "PING")
    c.expect(b"hello", "PING", "hello")
    c.expect(b"", "PING", "")
    c.expect(b"a\r\n\0b", "ECHO", b"a\r\n\0b")
    c.expect(b"", "ECHO", "")


@case()
def command_names_ignore_case(env):
    c = env.connect()
    c.expect("PONG", "pInG")
    c.expect(b"X", "eChO", "X")
    c.expect(0, "pUbLiSh", "nobody", "x")
    c.expect(0, "pubsub", "numPAT")
    c.expect(None, "cLiEnT", "getNAME")
    c.expect([], "PubSub", "chaNNels")
    c.send("sUbScRiBe", "Ch")
    c.expect_push(b"subscribe", b"Ch", 1)


@case()
def select_knows_database_zero_only(env):
    c = env.connect()
    c.ok("SELECT", "0")
    c.expect_error("ERR DB index is out of range", "SELECT", "1")
    c.expect_error("ERR DB index is out of range", "SELECT", "-1")
    c.expect_error("ERR value is not an integer or out of range", "SELECT", "abc")


@case()
def quit_says_ok_and_closes(env):
    c = env.connect()
    c.send_raw(b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n")
    c.check(c.read("the reply to QUIT"), "OK", "QUIT")
    c.eof("the end after QUIT", reset=True)


@case()
def quit_with_subscriptions_ends_them(env):
    c, other = env.pair()
    c.subscribe("q")
    c.psubscribe("q*")
    c.ok("QUIT")
    c.eof("the end after QUIT")
    env.until_numsub(other, "q", 0)
    env.until("no pattern", lambda: other.do("PUBSUB", "NUMPAT") == 0)


@case()
def client_id_is_a_number_of_its_own(env):
    clients = env.spread(2)
    ids = [c.do("CLIENT", "ID") for c in clients]
    need(all(isinstance(i, int) and i > 0 for i in ids), f"ids {ids}")
    need(len(set(ids)) == len(ids), f"ids repeat: {ids}")
    need([c.do("CLIENT", "ID") for c in clients] == ids, "an id changed")


@case()
def client_name_is_kept(env):
    c = env.connect()
    c.expect(None, "CLIENT", "GETNAME")
    c.ok("CLIENT", "SETNAME", "me")
    c.expect(b"me", "CLIENT", "GETNAME")
    c.ok("CLIENT", "SETNAME", "")
    c.expect(None, "CLIENT", "GETNAME")
    bad = "ERR Client names cannot contain spaces, newlines or special characters."
    c.expect_error(bad, "CLIENT", "SETNAME", "a b")
    c.expect_error(bad, "CLIENT", "SETNAME", "a\n")
    c.expect(None, "CLIENT", "GETNAME")


@case(brokerd="CLIENT SETINFO came with Redis 7.2")
def client_setinfo_is_accepted(env):
    c = env.connect()
    c.ok("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    c.ok("CLIENT", "SETINFO", "lib-ver", "5.0.1")
    c.ok("CLIENT", "SETINFO", "lib-ver", "")
    c.expect_error("ERR Unrecognized option 'foo'", "CLIENT", "SETINFO", "foo", "x")
    c.expect_error("ERR lib-name cannot contain spaces, newlines or special characters.",
                   "CLIENT", "SETINFO", "lib-name", "a b")
    c.expect_error("ERR wrong number of arguments for 'client|setinfo' command", "CLIENT", "SETINFO", "lib-name")


def _hello(client, *args):
    reply = client.do("HELLO", *args)
    if isinstance(reply, list) and not isinstance(reply, Push):
        reply = dict(zip(reply[0::2], reply[1::2]))
    need(isinstance(reply, dict), f"HELLO {args} replied {reply!r}")
    return reply


@case()
def hello_describes_the_server(env):
    c = env.connect()
    reply = _hello(c)
    need({b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"} <= set(reply), f"keys: {reply}")
    need(reply[b"proto"] == env.proto, f"proto: {reply}")
    need(reply[b"mode"] == b"standalone" and reply[b"role"] == b"master" and reply[b"modules"] == [], f"{reply}")
    c.expect(reply[b"id"], "CLIENT", "ID")


@case()
def hello_changes_the_protocol_there_and_back(env):
    c = env.raw()
    need(isinstance(c.do("HELLO"), list), "without HELLO a connection speaks RESP2")
    need(isinstance(c.do("HELLO", "3"), dict), "HELLO 3 replies in RESP3")
    c.send_raw(b"*2\r\n$6\r\nCLIENT\r\n$7\r\nGETNAME\r\n")
    c.expect_bytes(b"_\r\n", "a RESP3 null")
    need(isinstance(c.do("HELLO", "2"), list), "HELLO 2 replies in RESP2")
    c.send_raw(b"*2\r\n$6\r\nCLIENT\r\n$7\r\nGETNAME\r\n")
    c.expect_bytes(b"$-1\r\n", "a RESP2 null")


@case()
def hello_sets_a_name(env):
    c = env.connect()
    need(_hello(c, 3, "SETNAME", "me")[b"proto"] == 3, "proto 3")
    c.expect(b"me", "CLIENT", "GETNAME")
    need(_hello(c, 2, "setname", "you")[b"proto"] == 2, "proto 2")
    c.expect(b"you", "CLIENT", "GETNAME")


@case()
def hello_refuses_what_it_does_not_know(env):
    c = env.connect()
    c.expect_error("NOPROTO unsupported protocol version", "HELLO", "1")
    c.expect_error("NOPROTO unsupported protocol version", "HELLO", "4")
    c.expect_error("ERR Protocol version is not an integer or out of range", "HELLO", "abc")
    c.expect_error("ERR Syntax error in HELLO option 'FOO'", "HELLO", "3", "FOO")
    c.expect_error("ERR Syntax error in HELLO option 'SETNAME'", "HELLO", "2", "SETNAME")
    c.expect_error("ERR Client names cannot contain spaces, newlines or special characters.",
                   "HELLO", "2", "SETNAME", "a b")
    need(_hello(c)[b"proto"] == env.proto, "a refused HELLO changed the protocol")


@case()
def reset_forgets_everything_at_once(env):
    c, other = env.pair()
    c.ok("CLIENT", "SETNAME", "me")
    c.subscribe("r1", "r2")
    c.psubscribe("r*")
    c.expect("RESET", "RESET")
    c.channels.clear()
    c.patterns.clear()
    c.proto = 2
    other.publish("r1", "x", 0)
    other.publish("r2", "x", 0)
    c.expect(None, "CLIENT", "GETNAME")
    need(_hello(c)[b"proto"] == 2, "RESET goes back to RESP2")
    c.quiet()
    c.publish("r1", "x", 0)
    c.expect("RESET", "RESET")


@case()
def command_lists_what_there_is(env):
    c = env.connect()
    rows = c.do("COMMAND")
    names = {row[0] for row in rows}
    for name in (b"publish", b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"pubsub", b"ping",
                 b"echo", b"hello", b"info", b"quit", b"reset", b"select", b"client", b"command"):
        need(name in names or (name == b"quit" and env.own_message_first), f"COMMAND lacks {name}")
    c.expect(len(rows), "COMMAND", "COUNT")
    publish = [row for row in rows if row[0] == b"publish"][0]
    need(publish[1] == 3, f"arity of publish: {publish}")
    need("pubsub" in publish[2], f"flags of publish: {publish}")


@case()
def command_info_and_docs_serve_clients(env):
    c = env.connect()
    rows = c.do("COMMAND", "INFO", "ping", "nosuch", "PUBLISH")
    need(len(rows) == 3 and rows[0][0] == b"ping" and rows[1] is None and rows[2][0] == b"publish", f"{rows}")
    docs = c.do("COMMAND", "DOCS", "publish", "nosuch")
    if isinstance(docs, list):
        need(len(docs) == 2 and docs[0] == b"publish", f"COMMAND DOCS in RESP2 is a flat map: {docs}")
    else:
        need(env.proto == 3 and list(docs) == [b"publish"], f"COMMAND DOCS in RESP3 is a map: {docs}")
    need(c.do("COMMAND", "DOCS", "nosuch") in ([], {}), "COMMAND DOCS of nothing")
    need(not isinstance(c.do("COMMAND", "DOCS"), Error), "COMMAND DOCS of everything")
    c.quiet()


def _info(client, *sections):
    """The titles in the order in which they came, and all fields."""
    text = client.do("INFO", *sections)
    need(isinstance(text, bytes) and text.endswith(b"\r\n"), f"INFO {sections} replied {text!r}")
    titles, fields = [], {}
    for block in text.decode()[:-2].split("\r\n\r\n"):
        title, *lines = block.split("\r\n")
        need(title.startswith("# "), f"INFO {sections}: a section begins with {title!r}")
        titles.append(title[2:])
        fields.update(line.split(":", 1) for line in lines)
    return titles, fields


@case()
def info_is_text_in_sections(env):
    c = env.connect()
    for name in ("server", "CLIENTS", "Stats"):
        need(_info(c, name)[0] == [name.capitalize()], f"INFO {name}")
    need(_info(c, "stats", "clients", "nosuch", "STATS")[0] == ["Clients", "Stats"], "INFO of several sections")
    whole = _info(c)[0]
    need([t for t in whole if t in ("Server", "Clients", "Stats")] == ["Server", "Clients", "Stats"], f"{whole}")
    for name in ("default", "ALL", "everything"):
        titles = _info(c, "clients", name)[0]
        need(titles[:len(whole)] == whole or set(whole) <= set(titles), f"INFO clients {name}: {titles}")
    _, server = _info(c, "server")
    need(int(server["process_id"]) == env.server.pid, f"{server}")
    need(server["multiplexing_api"] == env.server.multiplexing_api, f"{server}")
    need(int(server["uptime_in_days"]) == int(server["uptime_in_seconds"]) // 86400, f"{server}")


@case()
def info_has_these_bytes(env):
    c = env.connect()
    nothing = b"=4\r\ntxt:\r\n" if env.proto == 3 else b"$0\r\n\r\n"
    c.send("INFO", "nosuch")
    c.expect_bytes(nothing, "an unknown section")
    c.send("INFO", "")
    c.expect_bytes(nothing, "a section without a name")
    c.send("INFO", *["nosuch"] * 1000)
    c.expect_bytes(nothing, "many unknown sections")
    text = c.do("INFO", "clients")
    head = b"=%d\r\ntxt:" % (len(text) + 4) if env.proto == 3 else b"$%d\r\n" % len(text)
    c.send("INFO", "clients")
    c.expect_bytes(head + text + b"\r\n", "the section clients")
    c.quiet()


@case()
def info_counts_what_clients_do(env):
    clients = env.spread(2)
    asker = env.connect()
    need(int(_info(asker, "clients")[1]["connected_clients"]) == len(clients) + 1, "connected_clients")
    before = _info(asker, "stats")[1]
    for c in clients:
        c.subscribe("one", "two")
        c.psubscribe("o*")
    clients[0].subscribe("three")
    clients[-1].psubscribe("t*")
    for asker in [asker, *env.spread()]:
        after = _info(asker, "stats")[1]
        need(after["pubsub_channels"] == "3" and after["pubsub_patterns"] == "2", f"{after}")
    need(int(after["total_connections_received"]) == int(before["total_connections_received"]) + env.shards,
         f"{before} {after}")
    need(int(after["total_commands_processed"]) - int(before["total_commands_processed"]) >= 2 * len(clients) + 3,
         f"{before} {after}")
    sent = len(clients) * (len(encode("SUBSCRIBE", "one", "two")) + len(encode("PSUBSCRIBE", "o*")))
    need(int(after["total_net_input_bytes"]) - int(before["total_net_input_bytes"]) > sent, f"{before} {after}")
    need(after["rejected_connections"] == before["rejected_connections"], f"{before} {after}")


@case(brokerd="has sections of its own")
def info_tells_about_the_broker(env):
    clients = env.spread()
    asker = env.connect()
    titles, fields = _info(asker)
    need(titles == ["Server", "Clients", "Memory", "Stats", "CPU", "Errorstats", "Broker"], f"{titles}")
    need(_info(asker, "broker", "default", "server")[0] == titles, "INFO default")
    titles.insert(titles.index("Errorstats"), "Commandstats")
    need(_info(asker, "broker", "everything", "server")[0] == titles, "INFO everything")
    need("redis_version" not in fields, "it is not Redis")
    need(fields["brokerd_version"].encode() == _hello(asker)[b"version"], f"{fields}")
    need(int(fields["maxclients"]) > 0, f"{fields}")
    need(int(fields["shards"]) == env.shards and fields["reactor"] == env.server.reactor, f"{fields}")
    for c in clients:
        c.subscribe("broker")
    asker.publish("broker", "x", len(clients))
    for c in clients:
        c.message("broker", "x")
    _, after = _info(asker, "broker")
    first = ["shards", "reactor", "reactor_reason", "messages_in", "messages_out", "mesh_sent", "wakes_sent",
             "output_bytes", "output_limit_closed", "protocol_errors"]
    need(list(after)[:len(first)] == first, f"{after}")  # more follow, in no promised order
    need(int(after["messages_in"]) == int(fields["messages_in"]) + 1, f"{fields} {after}")
    need(int(after["messages_out"]) == int(fields["messages_out"]) + len(clients), f"{fields} {after}")
    need(int(after["mesh_sent"]) >= int(fields["mesh_sent"]) + env.shards - 1, f"{fields} {after}")
    bad = env.raw()
    bad.send_raw(b"*1\r\n:\r\n")
    need(isinstance(bad.read("the error"), Error), "a protocol error")
    errors = int(_info(asker, "broker")[1]["protocol_errors"])
    need(errors == int(after["protocol_errors"]) + 1, f"{errors} {after}")


@case()
def subscribe_acknowledges_each_channel(env):
    c = env.connect()
    c.send("SUBSCRIBE", "a", "b", "a")
    c.expect_push(b"subscribe", b"a", 1)
    c.expect_push(b"subscribe", b"b", 2)
    c.expect_push(b"subscribe", b"a", 2)
    c.send("PSUBSCRIBE", "a*", "a*", "b?")
    c.expect_push(b"psubscribe", b"a*", 3)
    c.expect_push(b"psubscribe", b"a*", 3)
    c.expect_push(b"psubscribe", b"b?", 4)
    c.send("UNSUBSCRIBE", "a", "nosuch", "a")
    c.expect_push(b"unsubscribe", b"a", 3)
    c.expect_push(b"unsubscribe", b"nosuch", 3)
    c.expect_push(b"unsubscribe", b"a", 3)
    c.send("PUNSUBSCRIBE", "nosuch*", "a*")
    c.expect_push(b"punsubscribe", b"nosuch*", 3)
    c.expect_push(b"punsubscribe", b"a*", 2)


@case()
def acknowledgements_have_these_bytes(env):
    c = env.connect()
    mark = b">" if env.proto == 3 else b"*"
    null = b"_\r\n" if env.proto == 3 else b"$-1\r\n"
    c.send("SUBSCRIBE", "ch")
    c.expect_bytes(mark + b"3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n", "subscribe")
    c.send("PSUBSCRIBE", "p*")
    c.expect_bytes(mark + b"3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n", "psubscribe")
    c.send("UNSUBSCRIBE")
    c.expect_bytes(mark + b"3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:1\r\n", "unsubscribe")
    c.send("UNSUBSCRIBE")
    c.expect_bytes(mark + b"3\r\n$11\r\nunsubscribe\r\n" + null + b":1\r\n", "unsubscribe of nothing")
    c.send("PUNSUBSCRIBE")
    c.expect_bytes(mark + b"3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n", "punsubscribe")
    c.send("PUNSUBSCRIBE")
    c.expect_bytes(mark + b"3\r\n$12\r\npunsubscribe\r\n" + null + b":0\r\n", "punsubscribe of nothing")


@case()
def unsubscribe_without_names_ends_all_of_its_kind(env):
    c, other = env.pair()
    c.subscribe("u1", "u2", "u3").psubscribe("u*", "v*")
    c.send("UNSUBSCRIBE")
    got = [c.read("an acknowledgement") for _ in range(3)]
    need(sorted(g[1] for g in got) == [b"u1", b"u2", b"u3"], f"{got}")
    need([g[2] for g in got] == [4, 3, 2] and {g[0] for g in got} == {b"unsubscribe"}, f"{got}")
    other.publish("u1", "x", 1)
    c.pmessage("u*", "u1", "x")
    c.send("PUNSUBSCRIBE")
    got = [c.read("an acknowledgement") for _ in range(2)]
    need(sorted(g[1] for g in got) == [b"u*", b"v*"] and [g[2] for g in got] == [1, 0], f"{got}")
    other.publish("u1", "x", 0)
    c.patterns.clear()
    c.channels.clear()
    c.quiet()


@case()
def pubsub_counts_across_shards(env):
    clients = env.spread(2)
    for c in clients:
        c.subscribe("news", "all")
        c.psubscribe("n*")
    clients[0].subscribe("only one")
    clients[0].psubscribe("z*")
    asker = env.connect()
    n = len(clients)
    for _ in range(env.shards):
        need(sorted(asker.do("PUBSUB", "CHANNELS")) == [b"all", b"news", b"only one"], "PUBSUB CHANNELS")
        need(asker.do("PUBSUB", "CHANNELS", "n*") == [b"news"], "PUBSUB CHANNELS n*")
        need(asker.do("PUBSUB", "CHANNELS", "[^n]??") == [b"all"], "PUBSUB CHANNELS [^n]??")
        need(asker.do("PUBSUB", "CHANNELS", "nosuch") == [], "PUBSUB CHANNELS nosuch")
        asker.expect([b"news", n, b"nosuch", 0, b"only one", 1, b"news", n],
                     "PUBSUB", "NUMSUB", "news", "nosuch", "only one", "news")
        asker.expect([], "PUBSUB", "NUMSUB")
        asker.expect(2, "PUBSUB", "NUMPAT")
        asker = env.connect()


@case(proto=2)
def subscribed_resp2_client_is_restricted(env):
    c, other = env.pair()
    c.subscribe("s")
    text = ("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
            "this context")
    c.expect_error(text % "publish", "PUBLISH", "s", "x")
    c.expect_error(text % "echo", "ECHO", "x")
    c.expect_error(text % "client|id", "CLIENT", "ID")
    c.expect_error(text % "pubsub|numpat", "PUBSUB", "NUMPAT")
    c.expect_error(text % "hello", "HELLO", "3")
    c.expect_error(text % "select", "SELECT", "0")
    c.expect_error(text % "info", "INFO")
    c.expect_error(text % "info", "INFO", "nosuch")
    c.expect_error("ERR unknown command 'NoSuch', with args beginning with: ", "NoSuch")
    c.expect_error("ERR wrong number of arguments for 'publish' command", "PUBLISH", "s")
    c.expect([b"pong", b""], "PING")
    c.expect([b"pong", b"hi"], "ping", "hi")
    c.psubscribe("t*")
    c.unsubscribe("s")
    c.expect([b"pong", b""], "PING")
    c.punsubscribe("t*")
    c.expect("PONG", "PING")
    c.expect(b"free", "ECHO", "free")
    other.publish("s", "x", 0)


@case(proto=3)
def subscribed_resp3_client_may_do_anything(env):
    c = env.connect()
    c.subscribe("s")
    c.expect("PONG", "PING")
    c.expect(b"hi", "PING", "hi")
    c.expect(b"x", "ECHO", "x")
    c.psubscribe("p*")
    c.expect(1, "PUBSUB", "NUMPAT")
    need(_info(c, "server")[0] == ["Server"], "INFO")
    c.ok("SELECT", "0")
    c.publish("elsewhere", "x", 0)


@case()
def subscribed_client_changes_protocol(env):
    """HELLO 2 while subscribed: deliveries change their first byte."""
    if env.proto == 2:
        raise Skip("a subscribed RESP2 client may not say HELLO")
    c, other = env.pair()
    c.subscribe("sp")
    other.publish("sp", "three", 1)
    c.message("sp", "three")
    need(_hello(c, 2)[b"proto"] == 2, "HELLO 2")
    c.proto = 2
    other.publish("sp", "two", 1)
    c.message("sp", "two")
