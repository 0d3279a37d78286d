# SPDX-License-Identifier: MIT
"""Clients that others wrote: redis-cli, redis-benchmark, python3-redis, hiredis."""

import re
import subprocess
import threading

from program import Program, built
from resp import DEADLINE, Failure, encode, frame
from suite import Missing, case, need, scale


def _cli(env, *words, stdin=subprocess.DEVNULL):
    flags = ["-3"] if env.proto == 3 else []
    return Program("redis-cli", *flags, "-s", env.server.path, *words, stdin=stdin)


def _cli_says(env, *words):
    with _cli(env, *words) as program:
        return program.end()


# ---------------------------------------------------------------- redis-cli

@case()
def redis_cli_subscribes_and_publishes(env):
    with _cli(env, "subscribe", "news", "sport") as s, _cli(env, "psubscribe", "n*") as ps:
        s.expect("subscribe", "news", "1", "subscribe", "sport", "2")
        ps.expect("psubscribe", "n*", "1")
        need(_cli_says(env, "publish", "news", "hello world") == "2\n", "redis-cli publish news")
        s.expect("message", "news", "hello world")
        ps.expect("pmessage", "n*", "news", "hello world")
        need(_cli_says(env, "publish", "sport", "x") == "1\n", "redis-cli publish sport")
        s.expect("message", "sport", "x")
        need(_cli_says(env, "publish", "else", "x") == "0\n", "redis-cli publish else")
        need(sorted(_cli_says(env, "pubsub", "channels").split()) == ["news", "sport"], "pubsub channels")
        need(_cli_says(env, "pubsub", "numsub", "news").split() == ["news", "1"], "pubsub numsub")
        need(_cli_says(env, "pubsub", "numpat") == "1\n", "pubsub numpat")


@case()
def redis_cli_asks_and_is_answered(env):
    need(_cli_says(env, "ping") == "PONG\n", "ping")
    need(_cli_says(env, "echo", "a b") == "a b\n", "echo")
    need(_cli_says(env, "-n", "0", "ping") == "PONG\n", "select 0")
    need("proto" in _cli_says(env, "hello"), "hello")
    need(int(_cli_says(env, "client", "id")) > 0, "client id")
    need("unknown command 'nosuch'" in _cli_says(env, "nosuch"), "an unknown command")
    need(int(_cli_says(env, "command", "count")) >= 10, "command count")
    need("publish" in _cli_says(env, "command", "docs", "publish"), "command docs")
    need(_cli_says(env, "info", "clients").startswith("# Clients\r\nconnected_clients:"), "info")


@case()
def redis_cli_reads_commands_from_a_pipe(env):
    with _cli(env, stdin=subprocess.PIPE) as program:
        program.say("ping")
        program.expect("PONG")
        program.say("publish none hello")
        program.expect("0")
        program.say("client setname cli")
        program.expect("OK")
        program.say("client getname")
        program.expect("cli")
        program.process.stdin.close()
        program.process.stdin = None
        program.end()


@case(single=True)
def redis_cli_pipes_a_mass_of_publishes(env):
    s = env.connect().subscribe("mass")
    count = 5000
    with _cli(env, "--pipe", stdin=subprocess.PIPE) as program:
        program.process.stdin.write(b"".join(encode("PUBLISH", "mass", i) for i in range(count)))
        program.process.stdin.close()
        program.process.stdin = None
        text = program.end()
    need(f"errors: 0, replies: {count}" in text, f"redis-cli --pipe says {text}")
    s.expect_bytes(b"".join(frame(2, "message", "mass", str(i)) for i in range(count)), "messages")


@case(once=True)
def redis_benchmark_runs(env):
    s = env.connect().subscribe("ch")
    count = 2000
    with Program("redis-benchmark", "-s", env.server.path, "-n", str(count), "-q", "publish", "ch", "msg") as program:
        text = program.end()
    need(re.search(r"([\d.]+|inf) requests per second", text), f"redis-benchmark says {text}")
    for _ in range(count):
        s.message("ch", "msg")
    s.quiet()
    with Program("redis-benchmark", "-s", env.server.path, "-n", str(count), "-P", "16", "-c", "10", "-q",
                 "publish", "ch", "msg") as program:
        text = program.end()
    need(re.search(r"([\d.]+|inf) requests per second", text), f"redis-benchmark says {text}")
    for _ in range(count):
        s.message("ch", "msg")
    s.quiet()


# ---------------------------------------------------------------- python3-redis

def _redis():
    try:
        import redis  # pylint: disable=import-outside-toplevel
        return redis
    except ImportError:
        raise Missing("python3-redis") from None


def _connect(env, **options):
    options.setdefault("socket_timeout", DEADLINE)
    return _redis().Redis(unix_socket_path=env.server.path, **options)


def _next(pubsub, **expected):
    got = pubsub.get_message(timeout=DEADLINE)
    need(got is not None, f"no message within {DEADLINE} s; expected {expected}")
    for key, value in expected.items():
        need(got[key] == value, f"{key}: {got}, expected {expected}")


@case(proto=2)
def python_redis_publishes_and_subscribes(env):
    r, p = _connect(env), _connect(env)
    need(p.ping() is True and p.echo("x") == b"x", "ping and echo")
    with r.pubsub() as ps:
        ps.subscribe("py", "py2")
        _next(ps, type="subscribe", channel=b"py", data=1)
        _next(ps, type="subscribe", channel=b"py2", data=2)
        ps.psubscribe("p*")
        _next(ps, type="psubscribe", channel=b"p*", data=3)
        need(p.publish("py", "hello") == 2, "receivers")
        _next(ps, type="message", channel=b"py", data=b"hello", pattern=None)
        _next(ps, type="pmessage", channel=b"py", data=b"hello", pattern=b"p*")
        need(p.pubsub_channels() and p.pubsub_numsub("py") == [(b"py", 1)] and p.pubsub_numpat() == 1, "PUBSUB")
        ps.ping("alive")
        _next(ps, type="pong", data=b"alive")
        ps.unsubscribe("py", "py2")
        _next(ps, type="unsubscribe", channel=b"py", data=2)
        _next(ps, type="unsubscribe", channel=b"py2", data=1)
        ps.punsubscribe()
        _next(ps, type="punsubscribe", channel=b"p*", data=0)
        need(p.publish("py", "gone") == 0, "receivers after unsubscribe")
    need(p.client_id() > 0 and p.client_setname("py") and p.client_getname() == "py", "CLIENT")
    r.connection_pool.disconnect()
    p.connection_pool.disconnect()


@case(proto=2)
def python_redis_pings_for_its_health(env):
    """With health_check_interval, it sends PING while subscribed and accepts only its answer."""
    r = _connect(env, health_check_interval=0.01, client_name="healthy")
    p = _connect(env)
    with r.pubsub() as ps:
        ps.subscribe("health")
        _next(ps, type="subscribe", channel=b"health")
        for i in range(30):
            ps.connection.next_health_check = 0
            ps.check_health()
            need(p.publish("health", i) == 1, "receivers")
            message = ps.get_message(timeout=DEADLINE)
            while message is None:
                message = ps.get_message(timeout=DEADLINE)
            need(message["data"] == b"%d" % i, f"{message}")
    r.connection_pool.disconnect()
    p.connection_pool.disconnect()


@case(proto=2)
def python_redis_thread_receives_and_ends(env):
    r, p = _connect(env), _connect(env)
    got, done = [], threading.Event()
    count = scale(200, 5000)

    def handler(message):
        got.append(message["data"])
        if len(got) == count:
            done.set()

    ps = r.pubsub()
    ps.subscribe(**{"threaded": handler})
    _next(ps, type="subscribe", channel=b"threaded", data=1)
    thread = ps.run_in_thread(sleep_time=0.01, daemon=True)
    pipe = p.pipeline(transaction=False)
    for i in range(count):
        pipe.publish("threaded", i)
    need(pipe.execute() == [1] * count, "receivers")
    need(done.wait(DEADLINE), f"{len(got)} of {count} messages came")
    need(got == [b"%d" % i for i in range(count)], "order")
    thread.stop()
    thread.join(DEADLINE)
    need(not thread.is_alive(), "the thread ends")
    env.until("no subscriber", lambda: p.pubsub_numsub("threaded")[0][1] == 0)
    r.connection_pool.disconnect()
    p.connection_pool.disconnect()


@case(proto=2)
def python_redis_reads_info(env):
    r = _connect(env)
    info = r.info()
    need(info["process_id"] == env.server.pid and info["connected_clients"] == 1, f"{info}")
    need(info["maxclients"] > 0 and info["multiplexing_api"] == env.server.multiplexing_api, f"{info}")
    need(info["pubsub_channels"] == 0 and info["pubsub_patterns"] == 0, f"{info}")
    need(info["total_connections_received"] > 0 and info["total_net_input_bytes"] > 0, f"{info}")
    need("uptime_in_seconds" in r.info("server") and "maxclients" not in r.info("server"), "INFO server")
    need(set(r.info("stats")) < set(info) and set(r.info("all")) >= set(info), "INFO stats, INFO all")
    need(r.info("nosuch") == {}, "INFO nosuch")
    if not env.reference:
        need(info["brokerd_version"] and info["shards"] == env.shards and info["reactor"] == env.server.reactor, f"{info}")
        need(isinstance(info["reactor_reason"], str), f"{info}")
    r.connection_pool.disconnect()


@case(proto=2)
def python_redis_names_its_errors(env):
    redis = _redis()
    p = _connect(env)
    for words in (("NOSUCH",), ("PUBLISH", "x"), ("CLIENT", "NOSUCH")):
        try:
            p.execute_command(*words)
        except redis.ResponseError:
            continue
        raise Failure(f"{words}: no error")
    need(p.ping() is True, "still there")
    p.connection_pool.disconnect()
    other = _connect(env, db=1)
    try:
        other.ping()
    except redis.ResponseError as error:
        need("DB index is out of range" in str(error), str(error))
    else:
        raise Failure("database 1 exists")
    other.connection_pool.disconnect()


# ---------------------------------------------------------------- hiredis

@case(proto=2)
def hiredis_publishes_and_subscribes(env):
    with Program(built("hiredis-pubsub"), env.server.path) as run:
        text = run.end()
    need("ok" in text.split(), f"it says {text}")
