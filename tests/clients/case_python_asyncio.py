# SPDX-License-Identifier: MIT
"""python3-redis's asyncio half: redis.asyncio, with tasks that subscribe and publish."""

import asyncio
from contextlib import asynccontextmanager

from program import restart_and_return
from resp import DEADLINE, Failure
from suite import Missing, case, need, scale

try:
    import redis
    from redis import asyncio as aioredis
    from redis.asyncio.retry import Retry
    from redis.backoff import ConstantBackoff
except ImportError:
    aioredis = None


def _run(coroutine):
    async def limited():
        try:
            await asyncio.wait_for(coroutine, 3 * DEADLINE)
        except asyncio.TimeoutError:
            raise Failure(f"not within {3 * DEADLINE} s") from None
    asyncio.run(limited())


@asynccontextmanager
async def _connect(env, **options):
    """A client whose connections are gone at the end."""
    if aioredis is None:
        raise Missing("python3-redis with redis.asyncio")
    client = aioredis.Redis(unix_socket_path=env.server.path, socket_timeout=DEADLINE, **options)
    try:
        yield client
    finally:
        await client.close()
        await client.connection_pool.disconnect()


async def _message(pubsub, ignore=True):
    """The next message; acknowledgements are passed over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + DEADLINE
    while loop.time() < until:
        message = await pubsub.get_message(ignore_subscribe_messages=ignore, timeout=DEADLINE)
        if message is not None:
            return message
    raise Failure(f"no message within {DEADLINE} s")


async def _subscribed(pubsub, n):
    for _ in range(n):
        message = await _message(pubsub, ignore=False)
        need(message["type"] in ("subscribe", "psubscribe"), f"an acknowledgement: {message}")


@case(proto=2)
def python_asyncio_subscribes_and_publishes(env):
    async def main():
        async with _connect(env) as client:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("news", "sport")
                await pubsub.psubscribe("n*")
                await _subscribed(pubsub, 3)
                need(await client.publish("news", "hello") == 2, "receivers")
                got = [await _message(pubsub), await _message(pubsub)]
                need([m["type"] for m in got] == ["message", "pmessage"] and got[0]["data"] == b"hello", f"{got}")
                need(await client.pubsub_channels() and await client.pubsub_numpat() == 1, "PUBSUB")
                need(await pubsub.get_message(timeout=0.02) is None, "a message out of nowhere")
                await pubsub.unsubscribe()
                await pubsub.punsubscribe()
                for kind, left in (("unsubscribe", 2), ("unsubscribe", 1), ("punsubscribe", 0)):
                    message = await _message(pubsub, ignore=False)
                    need((message["type"], message["data"]) == (kind, left), f"{message}, expected {kind} {left}")
                need(await client.publish("news", "gone") == 0, "receivers afterwards")
    _run(main())


@case(proto=2)
def python_asyncio_listens_in_tasks(env):
    """Tasks that listen() while another one publishes, on as many connections as the pool gives."""
    count = scale(500, 10000)
    n = 2 * env.shards

    async def main():
        async with _connect(env) as client:
            ready = [asyncio.Event() for _ in range(n)]

            async def listen(i):
                expected = 0
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe("tasks")
                    async for message in pubsub.listen():
                        if message["type"] == "subscribe":
                            ready[i].set()
                            continue
                        need(message["data"] == b"%d" % expected, f"{message}, expected {expected}")
                        expected += 1
                        if expected == count:
                            return

            async def publish():
                for event in ready:
                    await event.wait()
                for i in range(count):
                    need(await client.publish("tasks", i) == n, "receivers")

            await asyncio.gather(publish(), *[listen(i) for i in range(n)])
    _run(main())


@case(proto=2)
def python_asyncio_handles_and_pings(env):
    """run() with a handler, and pings of a subscribed connection."""
    async def main():
        async with _connect(env) as client:
            got, done = [], asyncio.Event()
            pubsub = client.pubsub()

            def handler(message):
                got.append(message["data"])
                if len(got) == 100:
                    done.set()

            await pubsub.subscribe(handled=handler)
            await _subscribed(pubsub, 1)
            await pubsub.ping("alive")
            pong = await _message(pubsub, ignore=False)
            need((pong["type"], pong["data"]) == ("pong", b"alive"), f"{pong}")
            task = asyncio.create_task(pubsub.run(poll_timeout=0.05))
            async with client.pipeline(transaction=False) as pipe:
                for i in range(100):
                    pipe.publish("handled", i)
                need(await pipe.execute() == [1] * 100, "receivers")
            await asyncio.wait_for(done.wait(), DEADLINE)
            need(got == [b"%d" % i for i in range(100)], "order")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await pubsub.close()
    _run(main())


@case(proto=2)
def python_asyncio_runs_transactions(env):
    async def main():
        async with _connect(env) as client:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("tx")
                await _subscribed(pubsub, 1)
                async with client.pipeline(transaction=True) as pipe:
                    need(await pipe.publish("tx", "a").ping().execute() == [1, True], "EXEC")
                need((await _message(pubsub))["data"] == b"a", "the message of the transaction")
    _run(main())


@case(proto=2, fresh=True)
def python_asyncio_comes_back_after_a_restart(env):
    """A ConnectionError tells of the end; a task that goes on listening is subscribed again."""
    async def main():
        async with _connect(env, retry=Retry(ConstantBackoff(0.01), 100)) as client:
            inbox = asyncio.Queue()
            pubsub = client.pubsub()
            await pubsub.subscribe("one", "two")
            await pubsub.psubscribe("o*")
            await _subscribed(pubsub, 3)

            async def listen():
                while True:
                    try:
                        message = await pubsub.get_message(timeout=DEADLINE)
                    except redis.ConnectionError:
                        await asyncio.sleep(0.005)  # the broker is away; nothing tells when it is back
                        continue
                    if message is not None:
                        await inbox.put(message)

            task = asyncio.create_task(listen())
            p = await asyncio.get_running_loop().run_in_executor(None, restart_and_return, env)
            for _ in range(3):
                message = await asyncio.wait_for(inbox.get(), DEADLINE)
                need(message["type"] in ("subscribe", "psubscribe"), f"an acknowledgement: {message}")
            need(p.publish("one", "after") == 2 and p.publish("two", "after") == 1, "receivers")
            got = [await asyncio.wait_for(inbox.get(), DEADLINE) for _ in range(3)]
            need([m["channel"] for m in got] == [b"one", b"one", b"two"] and {m["data"] for m in got} == {b"after"}, f"{got}")
            need(await client.ping() is True, "the pool's other connections")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await pubsub.close()
    _run(main())
