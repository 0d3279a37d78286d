# SPDX-License-Identifier: MIT
"""
python3-redis as its users use it: threads, listen(), get_message() with time-outs, run_in_thread(), pipelines, health
checks, and a broker that restarts. Its asyncio half is case_python_asyncio; simpler things are case_foreign's.
"""

import threading
import time
from contextlib import contextmanager

from program import restart, restart_and_return
from resp import DEADLINE, Failure
from suite import Missing, case, need, scale

try:
    import redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry
except ImportError:
    redis = None


@contextmanager
def _connect(env, **options):
    """A client whose connections are gone at the end."""
    if redis is None:
        raise Missing("python3-redis")
    client = redis.Redis(unix_socket_path=env.server.path, **{"socket_timeout": DEADLINE, **options})
    try:
        yield client
    finally:
        client.connection_pool.disconnect()


@contextmanager
def _thread(pubsub, **options):
    """run_in_thread(), whose thread is gone at the end."""
    thread = pubsub.run_in_thread(daemon=True, **options)
    try:
        yield thread
    finally:
        thread.stop()
        thread.join(DEADLINE)
    need(not thread.is_alive(), "the thread ends")


def _until_message(pubsub, what="a message"):
    """get_message() until it returns one that is not an acknowledgement."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=DEADLINE)
        if message is not None:
            return message
    raise Failure(f"not within {DEADLINE} s: {what}")


def _subscribed(pubsub, n):
    """Takes n acknowledgements."""
    for _ in range(n):
        message = pubsub.get_message(timeout=DEADLINE)
        need(message is not None and message["type"] in ("subscribe", "psubscribe"), f"an acknowledgement: {message}")


class Worker(threading.Thread):
    """A thread whose failure is the case's failure."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function = function
        self.args = args
        self.error = None
        self.start()

    def run(self):
        try:
            self.function(*self.args)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self):
        self.join(DEADLINE * 2)
        need(not self.is_alive(), f"{self.function.__name__} is still running")
        if self.error:
            raise Failure(f"{self.function.__name__}: {self.error!r}") from self.error


# ---------------------------------------------------------------- threads

@case(proto=2)
def python_redis_listens_in_threads(env):
    """A publisher thread and two subscriber threads per shard, all by one client and its pool of connections."""
    count = scale(2000, 50000)
    n = 2 * env.shards
    with _connect(env) as client:
        ready = threading.Barrier(n + 1)

        def listen(pattern):
            with client.pubsub() as pubsub:
                pubsub.psubscribe("thr*") if pattern else pubsub.subscribe("threads")
                expected = 0
                for message in pubsub.listen():
                    if message["type"] in ("subscribe", "psubscribe"):
                        ready.wait(DEADLINE)
                        continue
                    need(message["data"] == b"%d" % expected, f"{message}, expected {expected}")
                    expected += 1
                    if expected == count:
                        return

        def publish():
            ready.wait(DEADLINE)
            for i in range(count):
                need(client.publish("threads", i) == n, "receivers")

        workers = [Worker(listen, i % 2) for i in range(n)] + [Worker(publish)]
        for worker in workers:
            worker.finish()


@case(proto=2)
def python_redis_waits_for_messages(env):
    """get_message() returns None at its time-out, at once without one, and the message when it comes."""
    with _connect(env) as client, client.pubsub() as pubsub:
        pubsub.subscribe("timely")
        _subscribed(pubsub, 1)
        need(pubsub.get_message() is None, "a message out of nowhere")
        began = time.monotonic()
        need(pubsub.get_message(timeout=0.05) is None, "a message out of nowhere")
        need(0.04 < time.monotonic() - began < DEADLINE / 2, "the time-out's length")
        worker = Worker(client.publish, "timely", "x")
        message = pubsub.get_message(timeout=DEADLINE)
        need(message and message["data"] == b"x", f"{message}")
        worker.finish()


@case(proto=2)
def python_redis_decodes_and_dispatches(env):
    """decode_responses, handlers per channel and per pattern, acknowledgements ignored."""
    with _connect(env, decode_responses=True) as client:
        got = []
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(**{"ä": lambda message: got.append(("channel", message["data"]))})
        pubsub.psubscribe(**{"?": lambda message: got.append(("pattern", message["channel"]))})
        for _ in range(2):
            need(pubsub.get_message(timeout=DEADLINE) is None, "an acknowledgement, which is ignored")
        need((client.pubsub_numsub("ä"), client.pubsub_numpat()) == ([("ä", 1)], 1), "both subscriptions")
        need(client.publish("ä", "ö") == 1, "? is one byte, and this name is two")
        need(client.publish("b", "x") == 1, "receivers of b")
        until = time.monotonic() + DEADLINE
        while len(got) < 2 and time.monotonic() < until:
            need(pubsub.get_message(timeout=DEADLINE / 10) is None, "handled messages are not returned")
        need(got == [("channel", "ö"), ("pattern", "b")], f"{got}")
        pubsub.close()


@case(proto=2)
def python_redis_handles_in_a_thread_and_its_errors(env):
    """run_in_thread() with a handler that fails: the exception handler decides, the thread goes on."""
    with _connect(env) as client:
        got, errors, done = [], [], threading.Event()

        def handler(message):
            if message["data"] == b"bad":
                raise ValueError("bad")
            got.append(message["data"])
            done.set()

        pubsub = client.pubsub()
        pubsub.subscribe(**{"threaded": handler})
        _subscribed(pubsub, 1)
        with _thread(pubsub, sleep_time=0.05, exception_handler=lambda error, *_: errors.append(repr(error))):
            client.publish("threaded", "bad")
            client.publish("threaded", "good")
            need(done.wait(DEADLINE), "the message behind the bad one")
            need((got, errors) == ([b"good"], ["ValueError('bad')"]), f"{got} {errors}")


@case(proto=2)
def python_redis_checks_health_before_commands(env):
    """health_check_interval on a connection that is not subscribed: PING before a command that comes late."""
    with _connect(env, health_check_interval=0.001, single_connection_client=True) as client:
        for i in range(50):
            time.sleep(0.0015)  # the interval passes: the next command is preceded by a PING
            need(client.echo(f"{i}") == b"%d" % i, "ECHO behind a health check")


# ---------------------------------------------------------------- pipelines, transactions, CLIENT

@case(proto=2)
def python_redis_runs_transactions(env):
    """pipeline() is MULTI and EXEC unless told otherwise."""
    with _connect(env) as client, client.pubsub() as pubsub:
        pubsub.subscribe("tx")
        _subscribed(pubsub, 1)
        with client.pipeline() as pipe:
            need(pipe.publish("tx", "a").ping().publish("none", "b").execute() == [1, True, 0], "EXEC")
        need(_until_message(pubsub)["data"] == b"a", "the message of the transaction")
        with client.pipeline() as pipe:
            try:
                pipe.publish("tx", "c").execute_command("NOSUCH").execute()
            except redis.ResponseError as error:
                need("unknown command" in str(error), f"{error}")
            else:
                raise Failure("EXEC after an unknown command")
        need(client.transaction(lambda pipe: (pipe.multi(), pipe.publish("tx", "d")), "key") == [1], "WATCH, MULTI, EXEC")
        need(_until_message(pubsub)["data"] == b"d", "nothing of the aborted transaction")


@case(proto=2)
def python_redis_finds_itself_in_the_list(env):
    with _connect(env, client_name="app") as client, client.pubsub() as pubsub:
        pubsub.subscribe("x")
        _subscribed(pubsub, 1)
        own = [line for line in client.client_list() if line["name"] == "app"]
        need(sorted(line["sub"] for line in own) == ["0", "1"], f"{own}")
        need(client.client_list(_type="pubsub")[0]["sub"] == "1", "CLIENT LIST TYPE pubsub")
        need(client.client_info()["name"] == "app", "CLIENT INFO")
        need(client.config_get("maxclients").get("maxclients"), "CONFIG GET")
        need(client.dbsize() == 0 and client.time()[0] > 0, "DBSIZE and TIME")


@case(proto=2)
def python_redis_comes_back_after_client_kill(env):
    """The subscriber is told of the end by an exception, and the next get_message() subscribes again."""
    with _connect(env, client_name="victim") as client, _connect(env) as admin, client.pubsub() as pubsub:
        pubsub.subscribe("x")
        _subscribed(pubsub, 1)
        victim = [line["id"] for line in admin.client_list() if line["name"] == "victim"][0]
        need(admin.client_kill_filter(_id=victim) == 1, "CLIENT KILL")
        _told_of_the_end(pubsub)
        _subscribed(pubsub, 1)
        need(admin.publish("x", "after") == 1, "receivers")
        need(_until_message(pubsub)["data"] == b"after", "the message after the end")


# ---------------------------------------------------------------- a restart

def _told_of_the_end(pubsub):
    try:
        message = pubsub.get_message(timeout=DEADLINE)
    except redis.ConnectionError:
        return
    raise Failure(f"no ConnectionError but {message}")


@case(proto=2, fresh=True)
def python_redis_comes_back_after_a_restart(env):
    """A ConnectionError tells of the end; the next call connects and subscribes again by itself."""
    with _connect(env) as client, client.pubsub() as pubsub:
        pubsub.subscribe("one", "two")
        pubsub.psubscribe("o*")
        _subscribed(pubsub, 3)
        need(client.publish("one", "before") == 2, "receivers")
        need([_until_message(pubsub)["data"] for _ in range(2)] == [b"before"] * 2, "messages before the restart")
        env.server.stop()
        _told_of_the_end(pubsub)
        _told_of_the_end(pubsub)  # nobody is there
        env.server.start()
        _subscribed(pubsub, 3)
        need(client.publish("one", "after") == 2 and client.publish("two", "after") == 1, "receivers")
        got = [_until_message(pubsub) for _ in range(3)]
        need([m["channel"] for m in got] == [b"one", b"one", b"two"] and {m["data"] for m in got} == {b"after"}, f"{got}")


@case(proto=2, fresh=True)
def python_redis_retries_through_a_restart(env):
    """A thread that passes over ConnectionErrors is subscribed again as soon as the broker is back; commands retry."""
    retry = redis and Retry(ConstantBackoff(0.01), int(DEADLINE * 100))
    got = []
    with _connect(env, retry=retry) as client:
        pubsub = client.pubsub()
        pubsub.subscribe(**{"one": lambda message: got.append(("channel", message["data"]))})
        pubsub.psubscribe(**{"o*": lambda message: got.append(("pattern", message["data"]))})
        _subscribed(pubsub, 2)

        def on_error(error, *_):
            if not isinstance(error, redis.ConnectionError):
                raise error

        def probe():
            """Nobody sees the acknowledgements in that thread: probes tell when it has both."""
            return p.publish("one", "probe") and {("channel", b"probe"), ("pattern", b"probe")} <= set(got)

        with _thread(pubsub, sleep_time=0.05, exception_handler=on_error):
            p = restart_and_return(env)
            env.until("a probe by the channel and the pattern", probe)
            need(p.publish("one", "after") == 2, "receivers")
            env.until("both messages", lambda: len(got) > 1 and [data for _, data in got[-2:]] == [b"after"] * 2)
            need(client.ping() is True, "the pool's other connections come back as well")


@case(proto=2, fresh=True)
def python_redis_notices_a_restart_by_its_health_check(env):
    """A pooled connection that died is found out by the PING before the next command."""
    retry = redis and Retry(ConstantBackoff(0.01), 100)
    with _connect(env, health_check_interval=30, retry=retry) as client:
        need(client.ping() is True, "PING before the restart")
        restart(env)
        for connection in client.connection_pool._available_connections:  # pylint: disable=protected-access
            connection.next_health_check = 1
        need(client.publish("none", "x") == 0, "PUBLISH after the restart")
