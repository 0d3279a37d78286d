# SPDX-License-Identifier: MIT
"""redis-cli at a terminal and as a filter, redis-benchmark: what case_foreign does not do already."""

import os
import re
import subprocess

from program import Program, Terminal, restart
from resp import encode, frame
from suite import case, need



def _terminal(env):
    flags = ["-3"] if env.proto == 3 else []
    environment = dict(os.environ, TERM="xterm", REDISCLI_HISTFILE="/dev/null")
    return Terminal("redis-cli", *flags, "-s", env.server.path, env=environment)


def _prompt(env):
    return f"redis {env.server.path}> "


def _subscribe(env, cli):
    """redis-cli 7.0 shows what it is told as "1) ...", and in RESP3 as "1# ..." only where it is a map."""
    cli.expect(_prompt(env))
    cli.type("subscribe news sport")
    cli.expect("Reading messages... (press Ctrl-C to quit)", '1) "subscribe"', '2) "news"', "3) (integer) 1",
               '1) "subscribe"', '2) "sport"', "3) (integer) 2")


def _message(env, client, cli, channel, payload):
    need(client.publish(channel, payload) == 1, f"receivers of {channel}")
    cli.expect('1) "message"', f'2) "{channel}"', f'3) "{payload}"')


@case()
def redis_cli_subscribes_at_a_terminal(env):
    p = env.connect()
    with _terminal(env) as cli:
        _subscribe(env, cli)
        _message(env, p, cli, "news", "hello world")
        _message(env, p, cli, "sport", "2:1")
        cli.type("\x03", end="")
        cli.expect(_prompt(env))
        env.until("Ctrl-C ends the subscriptions", lambda: env.numsub(p, "news", "sport") == [0, 0])


@case()
def redis_cli_talks_at_a_terminal(env):
    with _terminal(env) as cli:
        cli.expect(_prompt(env))
        for line, answer in (("ping", "PONG"), ("echo \"a\\x00b\"", '"a\\x00b"'), ("publish none x", "(integer) 0"),
                             ("client setname tty", "OK"), ("client getname", '"tty"'), ("pubsub channels", "(empty"),
                             ("nosuch x", "(error) ERR unknown command 'nosuch'"), ("help publish", None),
                             ("publish x", "(error) ERR wrong number of arguments for 'publish' command")):
            cli.type(line)
            if answer is None:
                cli.expect("summary:", "group:")
            else:
                cli.expect("\n" + answer)
            cli.expect(_prompt(env))
        cli.type("quit")
        cli.end()


@case()
def redis_cli_runs_a_transaction_at_a_terminal(env):
    """MULTI, whose state its prompt shows."""
    s = env.connect().subscribe("tx")
    with _terminal(env) as cli:
        cli.expect(_prompt(env))
        cli.type("multi")
        cli.expect("\nOK", "(TX)> ")
        for i in range(2):
            cli.type(f"publish tx {i}")
            cli.expect("\nQUEUED", "(TX)> ")
        cli.type("exec")
        cli.expect("\n1) (integer) 1", "\n2) (integer) 1", _prompt(env))
        s.message("tx", "0")
        s.message("tx", "1")
        cli.type("multi")
        cli.expect("\nOK", "(TX)> ")
        cli.type("discard")
        cli.expect("\nOK", _prompt(env))
        cli.type("quit")
        cli.end()


@case(fresh=True)
def redis_cli_reconnects_at_a_terminal(env):
    """After a restart a command fails, as the prompt then shows, and the next one finds a new connection."""
    with _terminal(env) as cli:
        cli.expect(_prompt(env))
        cli.type("ping")
        cli.expect("\nPONG", _prompt(env))
        restart(env)
        s = env.connect().subscribe("back")
        cli.type("publish back again")
        cli.expect("\nError: ", "not connected> ")
        cli.type("publish back again")
        cli.expect("\n(integer) 1", _prompt(env))
        s.message("back", "again")


@case(fresh=True)
def redis_cli_is_told_that_its_subscriptions_ended(env):
    with _terminal(env) as cli:
        _subscribe(env, cli)
        restart(env)
        cli.expect("\nError: Server closed the connection")
        cli.end(1)


@case()
def redis_cli_pipes_publishes_to_every_shard(env):
    """--pipe with thousands of PUBLISHes; a subscriber on each shard gets each in order."""
    subscribers = [client.subscribe("mass") for client in env.spread()]
    count = 20000
    flags = ["-3"] if env.proto == 3 else []
    with Program("redis-cli", *flags, "-s", env.server.path, "--pipe", stdin=subprocess.PIPE) as program:
        program.process.stdin.write(b"".join(encode("PUBLISH", "mass", i) for i in range(count)))
        program.process.stdin.close()
        program.process.stdin = None
        expected = b"".join(frame(env.proto, "message", "mass", str(i)) for i in range(count))
        for s in subscribers:
            s.expect_bytes(expected, "messages")
        text = program.end()
    need(f"errors: 0, replies: {count}" in text, f"redis-cli --pipe says {text}")


@case(proto=3)
def redis_cli_writes_json(env):
    """--json, which asks for RESP3: maps and sets come as such."""
    with Program("redis-cli", "-s", env.server.path, "--json", "hello", "3") as program:
        text = program.end()
    need('"proto":3' in text and '"role":"master"' in text, f"redis-cli --json says {text}")


@case(once=True)
def redis_benchmark_publishes_from_many_clients(env):
    """More clients than shards, in a pipeline, to subscribers on each shard; no message is lost."""
    subscribers = [client.subscribe("bench") for client in env.spread()]
    count = 20000
    with Program("redis-benchmark", "-s", env.server.path, "-n", str(count), "-c", "20", "-P", "20", "-d", "32", "--csv",
                 "publish", "bench", "__data__") as program:
        for s in subscribers:
            s.expect_bytes(frame(2, "message", "bench", "__data__") * count, "messages")
        text = program.end()
    need(re.search(r'"publish bench __data__","\d', text), f"redis-benchmark says {text}")


@case(once=True)
def redis_benchmark_reads_the_configuration(env):
    """It asks for save and appendonly first, and warns where it is not answered."""
    with Program("redis-benchmark", "-s", env.server.path, "-n", "100", "-q", "-t", "ping") as program:
        text = program.end()
    need("PING_MBULK" in text and "WARN" not in text, f"redis-benchmark says {text}")
