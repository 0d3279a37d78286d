# SPDX-License-Identifier: MIT
"""Debian's prometheus-redis-exporter: what it makes of INFO agrees with INFO."""

import contextlib
import http.client
import os
import re
import socket
import time

from case_foreign import Program
from case_server import info
from resp import DEADLINE, Failure, encode
from suite import case, need

PROGRAM = "prometheus-redis-exporter"


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _get(port):
    """The text of /metrics; None while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
        need(response.status == 200, f"/metrics: {response.status} {text[:500]}")
        return text
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


@contextlib.contextmanager
def _exporter(env):
    """A running exporter of this server: a function that scrapes."""
    port = _free_port()
    saved = os.environ.get("REDIS_ADDR")
    os.environ["REDIS_ADDR"] = "unix://" + env.server.path
    try:
        program = Program(PROGRAM, "-web.listen-address", f"127.0.0.1:{port}", "-include-system-metrics")
    finally:
        del os.environ["REDIS_ADDR"]
        if saved is not None:
            os.environ["REDIS_ADDR"] = saved

    def scrape():
        until = time.monotonic() + DEADLINE
        while True:
            if program.process.poll() is not None:
                raise Failure(f"{PROGRAM} ended: {program.end(program.process.returncode)}")
            text = _get(port)
            if text is not None:
                return _parse(text)
            if time.monotonic() > until:
                raise Failure(f"{PROGRAM} did not listen within {DEADLINE} s")
            time.sleep(0.005)  # a port that nobody listens on yet cannot be waited for

    with program:
        yield scrape


def _parse(text):
    values = {}
    for line in text.splitlines():
        found = re.fullmatch(r"(redis_\w+(?:\{.*\})?) ([-+.\deE]+)", line)
        if found:
            values[found.group(1)] = float(found.group(2))
    return values


# field of INFO, metric, and whether only the exporter's own traffic may lie between the two
GAUGES = (("pubsub_channels", "redis_pubsub_channels"), ("pubsub_patterns", "redis_pubsub_patterns"),
          ("rejected_connections", "redis_rejected_connections_total"), ("maxclients", "redis_config_maxclients"),
          ("maxmemory", "redis_memory_max_bytes"), ("process_id", "redis_process_id"),
          ("total_system_memory", "redis_total_system_memory_bytes"),
          ("total_error_replies", "redis_total_error_replies"))
COUNTERS = (("total_net_input_bytes", "redis_net_input_bytes_total"),
            ("total_net_output_bytes", "redis_net_output_bytes_total"),
            ("total_commands_processed", "redis_commands_processed_total"),
            ("total_connections_received", "redis_connections_received_total"),
            ("uptime_in_seconds", "redis_uptime_in_seconds"))


def _check(env, scrape, asker, others):
    before = info(asker, "everything")
    metrics = scrape()
    after = info(asker, "everything")
    need(metrics.get("redis_up") == 1 and metrics.get('redis_exporter_last_scrape_error{err=""}') == 0, f"{metrics}")
    for field, name in GAUGES:
        need(metrics.get(name) == float(before[field]) == float(after[field]),
             f"{name}: {metrics.get(name)}, INFO says {before[field]} and {after[field]}")
    for field, name in COUNTERS:
        need(float(before[field]) <= metrics.get(name, -1) <= float(after[field]),
             f"{name}: {metrics.get(name)}, INFO says {before[field]} and then {after[field]}")
    need(metrics["redis_connected_clients"] == others + 2, f"clients: {metrics['redis_connected_clients']}")
    if not env.server.sanitized():
        for name in ("redis_memory_used_bytes", "redis_memory_used_rss_bytes"):
            field = name[6:].replace("memory_used_bytes", "used_memory").replace("memory_used_rss_bytes",
                                                                                 "used_memory_rss")
            need(abs(metrics[name] - float(after[field])) < 8 << 20, f"{name}: {metrics[name]}, {after[field]}")
    return metrics, before


@case(single=True, fresh={"max_clients": 8})
def exporter_agrees_with_info(env):
    asker = env.connect()
    subscribers = [env.connect() for _ in range(3)]
    for i, c in enumerate(subscribers):
        c.subscribe("all", f"own {i}")
        c.psubscribe("p*")
    publisher = env.connect()
    for i in range(5):
        publisher.publish("all", i, 3)
    publisher.expect_error("ERR DB index is out of range", "SELECT", "99")
    publisher.send_raw(encode("NOSUCH"))
    publisher.read("an error")
    with _exporter(env) as scrape:
        full = [env.connect() for _ in range(3)]
        refused = env.raw()
        refused.check(str(refused.read("the refusal")), "ERR max number of clients reached", "the refusal")
        for c in full:
            c.close()
        env.until("room for the exporter", lambda: info(asker, "clients")["connected_clients"] == "5")
        metrics, _ = _check(env, scrape, asker, 4)
        need(metrics["redis_rejected_connections_total"] >= 1, f"{metrics}")
        need(metrics["redis_pubsub_channels"] == 4 and metrics["redis_pubsub_patterns"] == 1, f"{metrics}")
        need(metrics['redis_commands_total{cmd="publish"}'] == 5, f"{metrics}")
        need(metrics['redis_commands_total{cmd="subscribe"}'] == 3, f"{metrics}")
        need(metrics['redis_commands_failed_calls_total{cmd="select"}'] == 1, f"{metrics}")
        need(metrics['redis_errors_total{err="ERR"}'] >= 2, f"{metrics}")
        # the next scrape shows what changed
        before = metrics
        publisher.publish("all", "once more", 3)
        subscribers.pop().close()
        env.until("the end of a subscriber", lambda: info(asker, "clients")["connected_clients"] == "4")
        metrics, _ = _check(env, scrape, asker, 3)
        need(metrics['redis_commands_total{cmd="publish"}'] == 6, f"{metrics}")
        need(metrics["redis_net_output_bytes_total"] > before["redis_net_output_bytes_total"], f"{metrics}")
        need(metrics["redis_pubsub_channels"] == 3, f"{metrics}")


@case(shards=3, once=True)
def exporter_sums_up_the_shards(env):
    clients, asker = env.spread(), env.connect()
    for c in clients:
        c.subscribe("shared").psubscribe("s*")
    asker.publish("shared", "x", 2 * len(clients))
    with _exporter(env) as scrape:
        metrics, before = _check(env, scrape, asker, len(clients))
        need(metrics["redis_pubsub_channels"] == 1 and metrics["redis_pubsub_patterns"] == 1, f"{metrics}")
        calls = re.match(r"calls=(\d+),", before["cmdstat_subscribe"]).group(1)
        need(metrics['redis_commands_total{cmd="subscribe"}'] == int(calls), f"{metrics}")
