// SPDX-License-Identifier: MIT
'use strict';

/* ioredis, which speaks RESP2: one connection subscribes, a duplicate of it does everything else. */

const Redis = require('ioredis');
const { Inbox, assert, event, reference, refused, restarted, run, within } = require('./common.js');

const KINDS = ['message', 'pmessage', 'smessage'];

/* Two connected clients and what the first is told. */
async function pair(path, options = {}) {
        const sub = new Redis({ path, maxRetriesPerRequest: null, retryStrategy: () => 10, lazyConnect: true, ...options });
        const pub = sub.duplicate();
        const inbox = new Inbox();

        for (const client of [sub, pub])
                client.on('error', () => {}); /* while the broker is away */
        for (const kind of KINDS)
                sub.on(kind, (...words) => inbox.push(kind, ...words));
        await within(Promise.all([sub.connect(), pub.connect()]), 'both connections');
        return { sub, pub, inbox };
}

async function end(...clients) {
        for (const client of clients)
                assert.equal(await within(client.quit(), 'QUIT'), 'OK');
}

async function channels(path) {
        const { sub, pub, inbox } = await pair(path);

        assert.equal(await sub.subscribe('news', 'sport'), 2);
        assert.equal(await sub.psubscribe('n*'), 3);
        assert.equal(await pub.publish('news', 'hello'), 2);
        await inbox.expect('message', 'news', 'hello');
        await inbox.expect('pmessage', 'n*', 'news', 'hello');
        assert.equal(await pub.publish('sport', ''), 1);
        await inbox.expect('message', 'sport', '');
        assert.deepEqual((await pub.pubsub('CHANNELS')).sort(), ['news', 'sport']);
        assert.deepEqual(await pub.pubsub('NUMSUB', 'news', 'none'), ['news', 1, 'none', 0]);
        assert.equal(await pub.pubsub('NUMPAT'), 1);
        assert.equal(await sub.unsubscribe('news'), 2);
        assert.equal(await sub.punsubscribe('n*'), 1);
        assert.equal(await pub.publish('news', 'gone'), 0);
        assert.equal(await sub.unsubscribe(), 0);
        assert.equal(await sub.publish('sport', 'gone'), 0); /* it is an ordinary connection again */
        inbox.quiet();
        await end(sub, pub);
        return 'channels and a pattern, and back to an ordinary connection';
}

async function binary(path) {
        const { sub, pub } = await pair(path);
        const name = Buffer.from([0, 13, 10, 255, 42]);
        const inbox = new Inbox();

        sub.on('messageBuffer', (channel, payload) => inbox.push(channel, payload));
        await sub.subscribe(name);
        for (const n of [0, 1, 255, 256, 257, 16383, 16384, 16385, 1 << 20]) {
                const payload = Buffer.alloc(n, 200 + n % 50);

                assert.equal(await pub.publish(name, payload), 1);
                await inbox.expect(name, payload);
        }
        await end(sub, pub); /* behind a payload this large a timer of the library lives on for two seconds */
        return 'payloads of up to 1 MiB on a channel with NUL and newline';
}

async function pipeline(path) {
        const count = 5000;
        const { sub, pub, inbox } = await pair(path, { enableAutoPipelining: true });
        const pipe = pub.pipeline();

        await sub.subscribe('mass');
        for (let i = 0; i < count; i++)
                pipe.publish('mass', i);
        for (const [error, receivers] of await within(pipe.exec(), 'the pipeline'))
                assert.deepEqual([error, receivers], [null, 1]);
        const replies = [];
        for (let i = count; i < 2 * count; i++)
                replies.push(pub.publish('mass', i));
        for (const receivers of await within(Promise.all(replies), 'the automatic pipeline'))
                assert.equal(receivers, 1);
        for (let i = 0; i < 2 * count; i++)
                await inbox.expect('message', 'mass', String(i));
        await end(sub, pub);
        return `${2 * count} messages in pipelines, in order`;
}

async function transaction(path) {
        const { sub, pub, inbox } = await pair(path);

        await sub.subscribe('tx');
        assert.deepEqual(await within(pub.multi().publish('tx', 'a').ping().publish('none', 'b').exec(), 'EXEC'),
                         [[null, 1], [null, 'PONG'], [null, 0]]);
        await inbox.expect('message', 'tx', 'a');
        await refused(pub.multi().publish('tx', 'c').call('nosuch').exec(), 'EXEC after an error', /EXECABORT/);
        await pub.multi({ pipeline: false });
        assert.equal(await pub.publish('tx', 'd'), 'QUEUED');
        assert.equal(await pub.discard(), 'OK');
        assert.equal(await pub.publish('tx', 'e'), 1);
        await inbox.expect('message', 'tx', 'e');
        await end(sub, pub);
        return 'MULTI, EXEC, EXECABORT, DISCARD';
}

async function sharded(path) {
        const { sub, pub, inbox } = await pair(path);

        assert.equal(await sub.ssubscribe('a'), 1);
        assert.equal(await sub.ssubscribe('b', 'c'), 3);
        await sub.subscribe('a');
        assert.equal(await pub.spublish('a', 'x'), 1);
        await inbox.expect('smessage', 'a', 'x');
        assert.equal(await pub.publish('a', 'y'), 1); /* another namespace */
        await inbox.expect('message', 'a', 'y');
        assert.deepEqual((await pub.pubsub('SHARDCHANNELS')).sort(), ['a', 'b', 'c']);
        assert.deepEqual(await pub.pubsub('SHARDNUMSUB', 'a', 'none'), ['a', 1, 'none', 0]);
        assert.equal(await sub.sunsubscribe('a'), 2);
        assert.equal(await pub.spublish('a', 'gone'), 0);
        assert.equal(await sub.sunsubscribe(), 0);
        inbox.quiet();
        await end(sub, pub);
        return 'sharded channels beside a channel of the same name';
}

async function errors(path) {
        const { sub, pub, inbox } = await pair(path);

        await refused(pub.call('PUBLISH', 'x'), 'PUBLISH x', /^ERR wrong number of arguments for 'publish' command/);
        await refused(pub.call('NOSUCH', 'x'), 'NOSUCH', /^ERR unknown command/);
        if (!reference)
                await refused(pub.get('key'), 'GET', /^ERR unknown command/);
        await sub.subscribe('x');
        await refused(sub.publish('x', 'y'), 'PUBLISH while subscribed', /subscriber mode/);
        await refused(pub.select(1), 'SELECT 1', /^ERR DB index is out of range/);
        assert.equal(await pub.publish('x', 'still here'), 1);
        await inbox.expect('message', 'x', 'still here');
        await end(sub, pub);
        return 'errors are errors of their command only';
}

async function client(path) {
        const { sub, pub } = await pair(path, { connectionName: 'app', clientInfoTag: 'tests' });

        await sub.subscribe('x');
        assert.equal(await pub.client('GETNAME'), 'app');
        const list = (await pub.client('LIST')).trim().split('\n').filter((line) => / name=app /.test(line));
        assert.equal(list.length, 2);
        assert.equal(list.filter((line) => / sub=1 /.test(line)).length, 1);
        assert.match(await pub.client('INFO'), new RegExp(`^id=${await pub.client('ID')} `));
        if (!reference) /* older than CLIENT SETINFO */
                for (const line of list)
                        assert.match(line, / lib-name=ioredis\(tests\) lib-ver=\d/);
        await end(sub, pub);
        return 'CLIENT LIST and INFO show both connections and their library';
}

/* Subscriptions that the next test finds, and one message through each. */
async function subscribe(sub, pub, inbox, withSharded) {
        await sub.subscribe('one', 'two');
        await sub.psubscribe('o*');
        if (withSharded)
                await sub.ssubscribe('shard');
        await pub.publish('one', 'before');
        await inbox.expect('message', 'one', 'before');
        await inbox.expect('pmessage', 'o*', 'one', 'before');
        if (withSharded) {
                await pub.spublish('shard', 'before');
                await inbox.expect('smessage', 'shard', 'before');
        }
}

/* What came is what was published behind the restart. */
async function resubscribed(inbox, withSharded) {
        await inbox.expect('message', 'one', 'after');
        await inbox.expect('pmessage', 'o*', 'one', 'after');
        await inbox.expect('message', 'two', 'after');
        if (withSharded)
                await inbox.expect('smessage', 'shard', 'after');
}

async function restart(path, withSharded) {
        const { sub, pub, inbox } = await pair(path);
        const own = new Inbox();
        let queued;

        await subscribe(sub, pub, inbox, withSharded);
        pub.once('close', () => { queued = pub.publish('none', 'from the offline queue'); });
        pub.once('ready', () => own.push('back'));
        await restarted(() => sub.subscribe('one'));
        console.log('subscribed again');
        await resubscribed(inbox, withSharded);
        await own.expect('back');
        assert.equal(await within(queued, 'a command of the offline queue'), 0);
        await end(sub, pub);
        return 'subscribed again after a restart, and the offline queue was sent';
}

/* CLIENT KILL closes the subscriber; it comes back by itself. */
async function killed(path) {
        const { sub, pub, inbox } = await pair(path);
        const id = await sub.client('ID');

        await subscribe(sub, pub, inbox);
        const closed = event(sub, 'close');
        assert.equal(await pub.client('KILL', 'ID', id), 1);
        await closed;
        await event(sub, 'ready');
        assert.equal(await sub.subscribe('three'), 4); /* answered behind what it resubscribed */
        for (const name of ['one', 'two'])
                await pub.publish(name, 'after');
        await resubscribed(inbox);
        await end(sub, pub);
        return 'subscribed again after CLIENT KILL';
}

run({ binary, channels, client, errors, killed, pipeline, restart, sharded, transaction });
