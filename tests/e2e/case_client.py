# SPDX-License-Identifier: MIT
"""CLIENT: what a connection says about itself, about the others, and what it does to them."""

import multiprocessing
import os
import resource
import time

from resp import DEADLINE, Client, Eof, Error, Failure, encode
from suite import Skip, case, need


@case()
def client_reply_silences_replies_only(env):
    c, other = env.pair()
    c.send("CLIENT", "REPLY", "OFF")
    c.send("PING")
    c.send("NoSuch")
    c.send("PUBLISH", "nobody", "x")
    c.send("CLIENT", "REPLY", "nosuch")
    c.subscribe("silent")
    c.psubscribe("sil*")
    c.send("PING")
    other.publish("silent", "x", 2)
    c.message("silent", "x")
    c.pmessage("sil*", "silent", "x")
    c.punsubscribe("sil*").unsubscribe("silent")
    c.send("INFO")
    c.ok("CLIENT", "REPLY", "ON")
    c.quiet()
    c.expect_error("ERR syntax error", "CLIENT", "REPLY", "nosuch")
    c.expect_error("ERR wrong number of arguments for 'client|reply' command", "CLIENT", "REPLY")


@case()
def client_reply_skips_one(env):
    c = env.connect()
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("PING")
    c.expect(b"x", "ECHO", "x")
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("INFO", "server")
    c.expect(b"y", "ECHO", "y")
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("NoSuch")
    c.send("CLIENT", "REPLY", "SKIP")
    c.subscribe("skipped")
    c.unsubscribe("skipped")
    c.quiet()


@case()
def reset_brings_replies_back(env):
    c = env.connect()
    c.send("CLIENT", "REPLY", "OFF")
    c.send("PING")
    c.expect("RESET", "RESET")
    c.proto = 2
    c.quiet()


FIELDS = ("id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl "
          "oll omem tot-mem events cmd user redir resp").split()
SINCE_72 = ["lib-name", "lib-ver"]
OWN = ["pid", "uid", "gid", "lost", "shard", "pub", "pub-bytes", "dlv", "sent"]


def _rows(text):
    """The lines of CLIENT LIST as dictionaries, in their order."""
    need(isinstance(text, bytes), f"{text!r}")
    need(not text or text.endswith(b"\n"), f"{text!r}")
    return [dict(word.split("=", 1) for word in line.split(" ")) for line in text.decode().splitlines()]


def _id(client):
    return str(client.do("CLIENT", "ID"))


def _ids(client, *args):
    return [row["id"] for row in _rows(client.do("CLIENT", "LIST", *args))]


def _own(client):
    return _rows(client.do("CLIENT", "INFO"))[0]


@case()
def client_info_has_the_fields_of_redis(env):
    c = env.connect()
    c.ok("CLIENT", "SETNAME", "me")
    row = _own(c)
    need(list(row) == FIELDS + ([] if env.reference and env.version < (7, 2) else SINCE_72) +
         ([] if env.reference else OWN), f"{list(row)}")
    expected = {"id": _id(c), "addr": env.server.path + ":0", "laddr": env.server.path + ":0", "name": "me",
                "idle": "0", "flags": "U", "db": "0", "sub": "0", "psub": "0", "ssub": "0",
                "multi": "-1", "multi-mem": "0", "oll": "0", "events": "r", "cmd": "client|info",
                "user": "default", "redir": "-1", "resp": str(env.proto)}
    need({name: row[name] for name in expected} == expected, f"{row}")
    need(int(row["fd"]) > 2 and int(row["tot-mem"]) > 0, f"{row}")
    c.ok("CLIENT", "NO-EVICT", "ON")
    need(_own(c)["flags"] == "Ue", "the flag of NO-EVICT")
    c.ok("CLIENT", "NO-EVICT", "OFF")
    need(_own(c)["flags"] == "U", "no flag of NO-EVICT")
    c.send("CLIENT", "LIST", "TYPE", "master")
    c.expect_bytes(b"=4\r\ntxt:\r\n" if env.proto == 3 else b"$0\r\n\r\n", "no lines")


@case(brokerd="has fields of its own, and those of 7.2")
def client_info_tells_of_peer_and_library(env):
    c = env.connect()
    c.ok("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    c.ok("CLIENT", "SETINFO", "LIB-VER", "5.0.1")
    c.ok("CLIENT", "NO-TOUCH", "on")
    row = _own(c)
    need([row["lib-name"], row["lib-ver"]] == ["redis-py", "5.0.1"], f"{row}")
    need([row["pid"], row["uid"], row["gid"]] == [str(n) for n in (os.getpid(), os.geteuid(), os.getegid())], f"{row}")
    need(row["flags"] == "UT", f"{row}")


@case()
def client_list_shows_all_shards_in_order(env):
    clients = env.spread(3)
    ids = [_id(c) for c in clients]
    for i, c in enumerate(clients):
        c.ok("CLIENT", "SETNAME", f"c{i}")
    for c in clients[::2]:
        c.subscribe("one", "two")
        c.psubscribe("o*")
    asker = env.connect()
    me = _id(asker)
    rows = _rows(asker.do("CLIENT", "LIST"))
    need([row["id"] for row in rows] == ids + [me], f"{rows}")
    need([row["name"] for row in rows] == [f"c{i}" for i in range(len(clients))] + [""], f"{rows}")
    need([row["flags"] for row in rows] == (["PU", "U"] * len(clients))[:len(clients)] + ["U"], f"{rows}")
    need([row["sub"] + row["psub"] for row in rows] == (["21", "00"] * len(clients))[:len(clients)] + ["00"], f"{rows}")
    need([row["cmd"] for row in rows[::2]][:len(clients[::2])] == ["psubscribe"] * len(clients[::2]), f"{rows}")
    need([row["cmd"] for row in rows[1::2]][0] == "client|setname", f"{rows}")
    need(_ids(asker, "TYPE", "pubsub") == ids[::2], "TYPE pubsub")
    need(_ids(asker, "TYPE", "NORMAL") == ids[1::2] + [me], "TYPE normal")
    for kind in ("master", "replica", "slave"):
        need(_ids(asker, "TYPE", kind) == [], f"TYPE {kind}")
    wish = [ids[-1], me, "999999", "0", "-7", ids[0], ids[-1]]
    need(_ids(asker, "ID", *wish) == [ids[-1], me, ids[0], ids[-1]], "ID")
    asker.expect_error("ERR syntax error", "CLIENT", "LIST", "ID")
    asker.expect_error("ERR syntax error", "CLIENT", "LIST", "nosuch")
    asker.expect_error("ERR Invalid client ID", "CLIENT", "LIST", "ID", "1", "x")
    asker.expect_error("ERR Unknown client type 'nosuch'", "CLIENT", "LIST", "TYPE", "nosuch")


@case()
def client_kill_ends_those_who_fit(env):
    clients = env.spread(2)
    asker = env.connect()
    victim, other = clients[0], clients[1]
    victim.subscribe("victim")
    victim.psubscribe("v*")
    asker.publish("victim", "x", 2)
    victim.message("victim", "x")
    victim.pmessage("v*", "victim", "x")
    asker.expect(1, "CLIENT", "KILL", "TYPE", "pubsub")
    victim.eof("the end of the killed subscriber", reset=True)
    env.until_numsub(asker, "victim", 0)
    env.until("no pattern", lambda: asker.do("PUBSUB", "NUMPAT") == 0)
    need(other.do("PING") == "PONG", "another one")
    asker.expect(1, "CLIENT", "KILL", "ID", _id(other))
    other.eof("the end of the one named", reset=True)
    asker.expect(0, "CLIENT", "KILL", "ID", _id(asker))
    asker.expect(0, "CLIENT", "KILL", "TYPE", "replica", "SKIPME", "no")
    asker.expect(0, "CLIENT", "KILL", "ADDR", "nosuch:0")
    asker.expect(len(clients) - 2, "CLIENT", "KILL", "ADDR", env.server.path + ":0", "USER", "default")
    for c in clients[2:]:
        c.eof("the end of everybody", reset=True)
    need(_ids(asker) == [_id(asker)], "one is left")
    asker.quiet()


@case()
def client_that_kills_itself_hears_of_it(env):
    c, other = env.pair()
    me = _id(c)
    c.send_raw(encode("CLIENT", "KILL", "ID", me, "SKIPME", "no") + encode("PING"))
    c.check(c.read("the reply"), 1, "the number of killed")
    c.eof("the end of the one that killed itself", reset=True)
    env.until("it is gone", lambda: me not in _ids(other))


@case()
def client_kill_refuses_what_it_does_not_know(env):
    c = env.connect()
    for args, text in (
            (["ID", "x"], "client-id should be greater than 0"),
            (["ID", "0"], "client-id should be greater than 0"),
            (["TYPE", "nosuch"], "Unknown client type 'nosuch'"),
            (["USER", "nosuch"], "No such user 'nosuch'"),
            (["SKIPME", "perhaps"], "syntax error"),
            (["NOSUCH", "x"], "syntax error"),
            (["ID", "1", "TYPE"], "syntax error")):
        c.expect_error("ERR " + text, "CLIENT", "KILL", *args)
    c.expect_error("ERR wrong number of arguments for 'client|kill' command", "CLIENT", "KILL")
    c.quiet()


@case(brokerd="all clients have one address, MAXAGE is of 7.4, and there are no keys")
def client_kill_by_address_names_the_id(env):
    c, other = env.pair()
    for address in (env.server.path + ":0", "nosuch"):
        reply = c.do("CLIENT", "KILL", address)
        need(isinstance(reply, Error) and "CLIENT KILL ID" in reply, f"{reply}")
    c.expect(0, "CLIENT", "KILL", "MAXAGE", "1000")
    c.expect_error("ERR maxage should be greater than 0", "CLIENT", "KILL", "MAXAGE", "0")
    c.expect_error("ERR maxage is not an integer or out of range", "CLIENT", "KILL", "MAXAGE", "x")
    for args in (["PAUSE", "1"], ["UNPAUSE"], ["UNBLOCK", "1"], ["TRACKING", "on"], ["CACHING", "yes"]):
        reply = c.do("CLIENT", *args)
        need(isinstance(reply, Error) and "brokerd has no keys" in reply, f"{args}: {reply}")
    other.quiet()


@case()
def client_tracking_is_off(env):
    c = env.connect()
    c.expect(-1, "CLIENT", "GETREDIR")
    c.send("CLIENT", "TRACKINGINFO")
    head, flags = (b"%3", b"~1") if env.proto == 3 else (b"*6", b"*1")
    c.expect_bytes(head + b"\r\n$5\r\nflags\r\n" + flags + b"\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n"
                   b"$8\r\nprefixes\r\n*0\r\n", "TRACKINGINFO")
    c.expect_error("ERR syntax error", "CLIENT", "NO-EVICT", "nosuch")


class _Child:
    """A process of another user with one connection; it does what it is told and answers what it read."""

    def __init__(self, path, uid):
        self.pipe = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=self._serve, args=(path, uid))
        self.process.start()

    def _serve(self, path, uid):
        os.setgid(uid)
        os.setuid(uid)
        client = Client(path, name=f"user {uid}")
        while True:
            args = self.pipe[1].recv()
            if not args:
                return
            try:
                reply = client.do(*args)
                self.pipe[1].send(("error" if isinstance(reply, Error) else "value", reply))
            except Eof:
                self.pipe[1].send(("end", None))

    def do(self, *args):
        self.pipe[0].send(args)
        if not self.pipe[0].poll(DEADLINE):
            raise Failure(f"no answer from the other user to {args}")
        return self.pipe[0].recv()

    def end(self):
        self.pipe[0].send(())
        self.process.join(DEADLINE)
        if self.process.is_alive():
            self.process.kill()
            raise Failure("the other user's process does not end")


@case(brokerd="knows nothing of users of the system", fresh={"mode": "0666"}, once=True)
def clients_reach_their_own_user_only(env):
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")
    os.chmod(env.server.dir, 0o711)
    mine = env.spread()
    others = [_Child(env.server.path, 65534) for _ in range(2)]
    try:
        _two_users(mine, others)
    finally:
        for child in others:
            child.end()


def _two_users(mine, others):
    root = mine[0]
    ids = [str(child.do("CLIENT", "ID")[1]) for child in others]
    first, second = others
    kind, text = first.do("CLIENT", "LIST")
    rows = _rows(text)
    need(sorted(row["id"] for row in rows) == sorted(ids), f"sees its own user's: {rows}")
    need({(row["uid"], row["gid"]) for row in rows} == {("65534", "65534")}, f"{rows}")
    need({row["pid"] for row in rows} == {str(child.process.pid) for child in others}, f"{rows}")
    need(first.do("CLIENT", "LIST", "ID", _id(root)) == ("value", b""), "sees nothing of root's by its id")
    need(first.do("CLIENT", "KILL", "ID", _id(root)) == ("value", 0), "kills nothing of root's")
    kind, text = first.do("BROKER", "STATUS")
    need(kind == "error" and text.startswith("NOPERM"), f"no administrator: {kind} {text}")
    need(first.do("CLIENT", "INFO")[0] == "value", "CLIENT INFO is open")
    need(set(ids) < set(_ids(root)), "root sees all")
    need(first.do("CLIENT", "KILL", "USER", "default") == ("value", 1), "kills the other of its user")
    need(second.do("PING") == ("end", None), "the killed one")
    for c in mine:
        c.quiet()
    root.expect(1, "CLIENT", "KILL", "ID", ids[0])
    need(first.do("PING") == ("end", None), "killed by root")


@case(once=True, brokerd="has fields of its own", fresh={"max_clients": 6000})
def client_list_of_thousands_is_whole_and_quick(env):
    n = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n + 200:
        raise Skip(f"a limit of {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 200), hard))
    try:
        _thousands(env, n)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _thousands(env, n):
    crowd = [env.raw() for _ in range(n)]
    asker = env.connect()
    env.until("all are adopted", lambda: len(_ids(asker)) == n + 1)
    began = time.monotonic()
    rows = _rows(asker.do("CLIENT", "LIST"))
    took = time.monotonic() - began
    ids = [int(row["id"]) for row in rows]
    need(len(set(ids)) == n + 1 and ids == sorted(ids), "each once, in order")
    need({tuple(row) for row in rows} == {tuple(FIELDS + SINCE_72 + OWN)}, "all fields of all")
    need(len({row["fd"] for row in rows}) == n + 1, "each has its own descriptor")
    need(took < (10 if env.server.sanitized() else 1), f"took {took:.3f} s")
    asker.expect(n, "CLIENT", "KILL", "TYPE", "normal")
    for c in crowd:
        c.eof("the end of the crowd", reset=True)
    need(len(_ids(asker)) == 1, "one is left")
