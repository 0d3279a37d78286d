# SPDX-License-Identifier: MIT
"""
An application that lives on publish/subscribe: node/socketio.js, two Socket.IO servers whose adapter is this broker,
and a client of each. Everything that the adapter does is tried before and after the broker restarts.
"""

import subprocess

from program import node, restart_and_return, says_ok
from suite import case


def _run(env, adapter):
    with node("socketio.js", env, adapter, stdin=subprocess.PIPE) as program:
        program.expect("ready")
        restart_and_return(env)
        program.say("go")
        says_ok(program)


@case(proto=2, fresh=True)
def socketio_servers_talk_by_ioredis(env):
    _run(env, "ioredis")


@case(proto=2, fresh=True)
def socketio_servers_talk_by_node_redis(env):
    _run(env, "node-redis-2")


@case(proto=3, fresh=True)
def socketio_servers_talk_by_node_redis_in_resp3(env):
    _run(env, "node-redis-3")


@case(proto=2, fresh=True)
def socketio_servers_talk_by_sharded_channels_of_ioredis(env):
    _run(env, "ioredis-sharded")


@case(proto=2, fresh=True)
def socketio_servers_talk_by_sharded_channels_of_node_redis(env):
    _run(env, "node-redis-2-sharded")


@case(proto=3, fresh=True)
def socketio_servers_talk_by_sharded_channels_in_resp3(env):
    _run(env, "node-redis-3-sharded")
