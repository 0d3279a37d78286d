// SPDX-License-Identifier: MIT
'use strict';

/* node-redis 5. The word behind the scenario is the version of RESP. */

const { createClient, createClientPool } = require('redis');
const { Inbox, assert, event, reference, refused, restarted, run, within } = require('./common.js');

function create(path, resp, options = {}) {
        const socket = { path, connectTimeout: 5000, reconnectStrategy: () => 10 };
        const client = createClient({ RESP: Number(resp), socket, ...options });

        client.on('error', () => {}); /* while the broker is away */
        return client;
}

/* Two connected clients, an inbox, and a listener that puts there what it hears. */
async function pair(path, resp, options = {}) {
        const sub = create(path, resp, options), pub = create(path, resp, options);
        const inbox = new Inbox();

        await within(Promise.all([sub.connect(), pub.connect()]), 'both connections');
        return { sub, pub, inbox, hear: (payload, channel) => inbox.push(channel, payload) };
}

/* What the library makes of the answer to a PING while it is subscribed; in RESP2 that is an array. */
function pong(resp) {
        return resp === '2' ? 'pong' : 'PONG';
}

async function end(...clients) {
        for (const client of clients)
                await within(client.close(), 'close()');
}

async function channels(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);
        const other = new Inbox();
        const hearOther = (payload, channel) => other.push(channel, payload);

        await sub.subscribe(['news', 'sport'], hear);
        await sub.subscribe('news', hearOther); /* a second listener is the library's affair */
        await sub.pSubscribe('n*', hear);
        assert.equal(await pub.publish('news', 'hello'), 2);
        await inbox.expect('news', 'hello');
        await inbox.expect('news', 'hello');
        await other.expect('news', 'hello');
        assert.equal(await pub.publish('sport', ''), 1);
        await inbox.expect('sport', '');
        assert.deepEqual((await pub.pubSubChannels()).sort(), ['news', 'sport']);
        assert.deepEqual({ ...(await pub.pubSubNumSub(['news', 'none'])) }, { news: 1, none: 0 });
        assert.equal(await pub.pubSubNumPat(), 1);
        assert.equal(await sub.ping(), pong(resp));
        assert.equal(await sub.ping('alive'), 'alive');
        await sub.unsubscribe('news');
        await sub.pUnsubscribe('n*');
        assert.equal(await pub.publish('news', 'gone'), 0);
        await sub.unsubscribe();
        assert.equal(await sub.publish('sport', 'gone'), 0); /* it is an ordinary connection again */
        inbox.quiet();
        other.quiet();
        await end(sub, pub);
        return 'channels and a pattern, and back to an ordinary connection';
}

async function binary(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);
        const name = Buffer.from([0, 13, 10, 127, 42]);

        await sub.subscribe(name.toString(), hear, true);
        for (const n of [0, 1, 255, 256, 257, 16383, 16384, 16385, 1 << 20]) {
                const payload = Buffer.alloc(n, 200 + n % 50);

                assert.equal(await pub.publish(name, payload), 1);
                await inbox.expect(name, payload);
        }
        await end(sub, pub);
        return 'payloads of up to 1 MiB on a channel with NUL and newline';
}

async function pipeline(path, resp) {
        const count = 5000;
        const { sub, pub, inbox, hear } = await pair(path, resp);
        const pipe = pub.multi();
        const replies = [];

        await sub.subscribe('mass', hear);
        for (let i = 0; i < count; i++)
                pipe.publish('mass', String(i));
        assert.deepEqual(await within(pipe.execAsPipeline(), 'the pipeline'), Array(count).fill(1));
        for (let i = count; i < 2 * count; i++)
                replies.push(pub.publish('mass', String(i)));
        assert.deepEqual(await within(Promise.all(replies), 'the automatic pipeline'), Array(count).fill(1));
        for (let i = 0; i < 2 * count; i++)
                await inbox.expect('mass', String(i));
        await end(sub, pub);
        return `${2 * count} messages in pipelines, in order`;
}

async function transaction(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);

        await sub.subscribe('tx', hear);
        assert.deepEqual(await within(pub.multi().publish('tx', 'a').ping().publish('none', 'b').exec(), 'EXEC'),
                         [1, 'PONG', 0]);
        await inbox.expect('tx', 'a');
        await refused(pub.multi().publish('tx', 'c').addCommand(['NOSUCH']).exec(), 'EXEC after an error', /EXECABORT|unknown command/);
        await pub.watch('key');
        assert.deepEqual(await within(pub.multi().publish('tx', 'd').exec(), 'EXEC after WATCH'), [1]);
        await inbox.expect('tx', 'd');
        assert.equal(await pub.unwatch(), 'OK');
        await end(sub, pub);
        return 'MULTI, EXEC, EXECABORT, WATCH';
}

async function sharded(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);

        await sub.sSubscribe('a', hear);
        await sub.sSubscribe(['b', 'c'], hear);
        await sub.subscribe('a', (payload, channel) => inbox.push('plain', channel, payload));
        assert.equal(await pub.sPublish('a', 'x'), 1);
        await inbox.expect('a', 'x');
        assert.equal(await pub.publish('a', 'y'), 1); /* another namespace */
        await inbox.expect('plain', 'a', 'y');
        assert.deepEqual((await pub.pubSubShardChannels()).sort(), ['a', 'b', 'c']);
        assert.deepEqual({ ...(await pub.pubSubShardNumSub(['a', 'none'])) }, { a: 1, none: 0 });
        await sub.sUnsubscribe('a');
        assert.equal(await pub.sPublish('a', 'gone'), 0);
        await sub.sUnsubscribe();
        assert.deepEqual(await pub.pubSubShardChannels(), []);
        inbox.quiet();
        await end(sub, pub);
        return 'sharded channels beside a channel of the same name';
}

async function errors(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);

        await refused(pub.sendCommand(['PUBLISH', 'x']), 'PUBLISH x', /^ERR wrong number of arguments for 'publish' command/);
        await refused(pub.sendCommand(['NOSUCH', 'x']), 'NOSUCH', /^ERR unknown command/);
        await refused(pub.select(1), 'SELECT 1', /DB index is out of range/);
        if (!reference)
                await refused(pub.get('key'), 'GET', /^ERR unknown command/);
        await sub.subscribe('x', hear);
        if (resp === '2')
                await refused(sub.publish('x', 'y'), 'PUBLISH while subscribed',
                              /^ERR Can't execute 'publish': only \(P\|S\)SUBSCRIBE/);
        assert.equal(await pub.publish('x', 'still here'), 1);
        await inbox.expect('x', 'still here');
        await end(sub, pub);
        return 'errors are errors of their command only';
}

/* In RESP3 one connection does it all: its replies and what it is told are two things. */
async function mixed(path, resp) {
        const count = 1000;
        const { sub, pub, inbox, hear } = await pair(path, resp);
        const replies = [];

        await sub.subscribe('own', hear);
        for (let i = 0; i < count; i++)
                replies.push(sub.publish('own', String(i)), sub.echo(`echo ${i}`));
        const got = await within(Promise.all(replies), 'replies beside messages');
        for (let i = 0; i < count; i++) {
                assert.deepEqual(got.slice(2 * i, 2 * i + 2), [1, `echo ${i}`]);
                await inbox.expect('own', String(i));
        }
        await end(sub, pub);
        return `${count} messages to itself between ${2 * count} replies`;
}

async function pings(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp, { pingInterval: 5 });

        await sub.subscribe('x', hear);
        for (let i = 0; i < 5; i++) {
                assert.equal(String(await event(sub, 'ping-interval')), pong(resp));
                await pub.publish('x', String(i));
                await inbox.expect('x', String(i));
        }
        await end(sub, pub);
        return 'pings of the library between messages';
}

async function pool(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);
        const clients = createClientPool({ RESP: Number(resp), socket: { path } }, { minimum: 2, maximum: 6 });

        await within(clients.connect(), 'the pool');
        await sub.subscribe('pooled', hear);
        const replies = [];
        for (let i = 0; i < 600; i++)
                replies.push(clients.publish('pooled', String(i)));
        assert.deepEqual(await within(Promise.all(replies), 'replies to the pool'), Array(600).fill(1));
        const seen = new Set();
        for (let i = 0; i < 600; i++)
                seen.add((await inbox.next('a message of the pool'))[1]);
        assert.equal(seen.size, 600);
        await end(clients, sub, pub);
        return '600 messages by a pool of connections, each once';
}

async function client(path, resp) {
        const { sub, pub, hear } = await pair(path, resp, { name: 'app', clientInfoTag: 'tests' });

        await sub.subscribe('x', hear);
        assert.equal(await pub.clientGetName(), 'app');
        const info = await pub.clientInfo();
        assert.deepEqual([info.id, info.name, info.sub], [await pub.clientId(), 'app', 0]);
        const list = (await pub.clientList()).filter((other) => other.name === 'app');
        assert.deepEqual(list.map((other) => other.sub).sort(), [0, 1]);
        if (!reference) { /* older than CLIENT SETINFO */
                assert.equal(info.resp, Number(resp));
                for (const other of list)
                        assert.match(`${other.libName} ${other.libVer}`, /^node-redis\(tests\) \d/);
        }
        await end(sub, pub);
        return 'CLIENT LIST and INFO show both connections and their library';
}

async function server(path, resp) {
        const { sub, pub } = await pair(path, resp);

        assert.match(await pub.info('server'), /^# Server\r\n/);
        assert.equal((await pub.hello(Number(resp))).proto, Number(resp));
        assert.ok(Number((await pub.configGet('maxclients')).maxclients) > 0);
        assert.ok((await pub.commandCount()) >= 20);
        assert.ok((await pub.commandList()).includes('publish'));
        assert.equal((await pub.commandInfo(['publish']))[0].arity, 3);
        assert.equal(await pub.dbSize(), 0);
        assert.equal((await pub.role()).role, 'master');
        assert.equal(await pub.aclWhoAmI(), 'default');
        assert.ok(Math.abs(Number((await pub.time())[0]) - Date.now() / 1000) < 60);
        await end(sub, pub);
        return 'INFO, HELLO, CONFIG, COMMAND, DBSIZE, ROLE, ACL, TIME';
}

/* Subscriptions that the next test finds, and one message through each. */
async function subscribe(sub, pub, inbox, hear, withSharded) {
        await sub.subscribe(['one', 'two'], hear);
        await sub.pSubscribe('o*', (payload, channel) => inbox.push('o*', channel, payload));
        if (withSharded)
                await sub.sSubscribe('shard', hear);
        await pub.publish('one', 'before');
        await inbox.expect('one', 'before');
        await inbox.expect('o*', 'one', 'before');
        if (withSharded) {
                await pub.sPublish('shard', 'before');
                await inbox.expect('shard', 'before');
        }
}

/* What came is what was published behind the restart. */
async function resubscribed(inbox, withSharded) {
        await inbox.expect('one', 'after');
        await inbox.expect('o*', 'one', 'after');
        await inbox.expect('two', 'after');
        if (withSharded)
                await inbox.expect('shard', 'after');
}

async function restart(path, resp, withSharded) {
        const { sub, pub, inbox, hear } = await pair(path, resp);
        let queued;

        await subscribe(sub, pub, inbox, hear, withSharded);
        pub.once('reconnecting', () => { queued = pub.publish('none', 'from the offline queue'); });
        await restarted(() => sub.subscribe('settled', hear));
        console.log('subscribed again');
        await resubscribed(inbox, withSharded);
        assert.equal(await within(queued, 'a command of the offline queue'), 0);
        await end(sub, pub);
        return 'subscribed again after a restart, and the offline queue was sent';
}

/* CLIENT KILL closes the subscriber; it comes back by itself. */
async function killed(path, resp) {
        const { sub, pub, inbox, hear } = await pair(path, resp);
        const id = await sub.clientId();

        await subscribe(sub, pub, inbox, hear);
        const back = event(sub, 'ready');
        assert.equal(await pub.clientKill({ filter: 'ID', id }), 1);
        await back;
        await sub.subscribe('three', hear); /* answered behind what it resubscribed */
        for (const name of ['one', 'two'])
                await pub.publish(name, 'after');
        await resubscribed(inbox);
        await end(sub, pub);
        return 'subscribed again after CLIENT KILL';
}

run({ binary, channels, client, errors, killed, mixed, pings, pipeline, pool, restart, server, sharded, transaction });
