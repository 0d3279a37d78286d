# SPDX-License-Identifier: MIT
"""node-redis 5 in RESP2 and RESP3: node/node-redis.js, which says what each scenario does."""

import subprocess

from program import node, restart_and_return, says_ok
from suite import case


def _run(env, scenario):
    with node("node-redis.js", env, scenario, str(env.proto)) as program:
        says_ok(program)


def _restart(env, *words):
    with node("node-redis.js", env, "restart", str(env.proto), *words, stdin=subprocess.PIPE) as program:
        program.expect("ready")
        p = restart_and_return(env)
        program.say("go")
        program.expect("subscribed again")
        p.publish("one", "after", 2)
        p.publish("two", "after", 1)
        if words:
            p.check(p.do("SPUBLISH", "shard", "after"), 1, "receivers of SPUBLISH")
        says_ok(program)


@case()
def node_redis_subscribes_and_publishes(env):
    _run(env, "channels")


@case()
def node_redis_sends_any_bytes(env):
    _run(env, "binary")


@case()
def node_redis_pipelines(env):
    _run(env, "pipeline")


@case()
def node_redis_runs_transactions(env):
    _run(env, "transaction")


@case()
def node_redis_uses_sharded_channels(env):
    _run(env, "sharded")


@case()
def node_redis_is_told_of_errors(env):
    _run(env, "errors")


@case(proto=3)
def node_redis_subscribes_and_publishes_on_one_connection(env):
    _run(env, "mixed")


@case()
def node_redis_pings_while_subscribed(env):
    _run(env, "pings")


@case()
def node_redis_publishes_by_a_pool(env):
    _run(env, "pool")


@case()
def node_redis_finds_itself_in_the_list(env):
    _run(env, "client")


@case()
def node_redis_asks_about_the_server(env):
    _run(env, "server")


@case()
def node_redis_comes_back_after_client_kill(env):
    _run(env, "killed")


@case(fresh=True)
def node_redis_comes_back_after_a_restart(env):
    _restart(env)


@case(fresh=True)
def node_redis_comes_back_to_sharded_channels(env):
    _restart(env, "sharded")
