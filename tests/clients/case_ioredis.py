# SPDX-License-Identifier: MIT
"""ioredis: node/ioredis.js, which says what each scenario does."""

import subprocess

from program import node, restart_and_return, says_ok
from suite import case


def _run(env, scenario):
    with node("ioredis.js", env, scenario) as program:
        says_ok(program)


def _restart(env, *words):
    with node("ioredis.js", env, "restart", *words, stdin=subprocess.PIPE) as program:
        program.expect("ready")
        p = restart_and_return(env)
        program.say("go")
        program.expect("subscribed again")
        p.publish("one", "after", 2)
        p.publish("two", "after", 1)
        if words:
            p.check(p.do("SPUBLISH", "shard", "after"), 1, "receivers of SPUBLISH")
        says_ok(program)


@case(proto=2)
def ioredis_subscribes_and_publishes(env):
    _run(env, "channels")


@case(proto=2)
def ioredis_sends_any_bytes(env):
    _run(env, "binary")


@case(proto=2)
def ioredis_pipelines(env):
    _run(env, "pipeline")


@case(proto=2)
def ioredis_runs_transactions(env):
    _run(env, "transaction")


@case(proto=2)
def ioredis_uses_sharded_channels(env):
    _run(env, "sharded")


@case(proto=2)
def ioredis_is_told_of_errors(env):
    _run(env, "errors")


@case(proto=2)
def ioredis_finds_itself_in_the_list(env):
    _run(env, "client")


@case(proto=2)
def ioredis_comes_back_after_client_kill(env):
    _run(env, "killed")


@case(proto=2, fresh=True)
def ioredis_comes_back_after_a_restart(env):
    _restart(env)


@case(proto=2, fresh=True)
def ioredis_comes_back_to_sharded_channels(env):
    _restart(env, "sharded")
