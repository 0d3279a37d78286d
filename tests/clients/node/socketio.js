// SPDX-License-Identifier: MIT
'use strict';

/*
 * Two Socket.IO servers, each a process of its own on 127.0.0.1, whose Redis adapter is the broker, and one client of
 * each. `node socketio.js SOCKET LIBRARY`, with "-sharded" behind the library for the adapter of sharded channels. All
 * is tried; then it says "ready", the broker restarts, somebody says "go", and all is tried again.
 */

const { fork } = require('node:child_process');
const { createServer } = require('node:http');
const { Inbox, SECONDS, assert, restarted, run, until, within } = require('./common.js');

/* ------------------------------------------------------------------ a server, in a process of its own */

async function connectIoredis(path) {
        const Redis = require('ioredis');
        const pub = new Redis({ path, maxRetriesPerRequest: null, retryStrategy: () => 10, lazyConnect: true });
        const sub = pub.duplicate();

        for (const client of [pub, sub])
                client.on('error', () => {}); /* while the broker is away */
        await Promise.all([pub.connect(), sub.connect()]);
        return { pub, sub, ask: (...words) => pub.call(...words), close: () => [pub.quit(), sub.quit()] };
}

async function connectNodeRedis(path, resp) {
        const { createClient } = require('redis');
        const pub = createClient({ RESP: resp, socket: { path, reconnectStrategy: () => 10 } });
        const sub = pub.duplicate();

        for (const client of [pub, sub])
                client.on('error', () => {}); /* while the broker is away */
        await Promise.all([pub.connect(), sub.connect()]);
        return { pub, sub, ask: (...words) => pub.sendCommand(words), close: () => [pub.close(), sub.close()] };
}

function connect(path, library) {
        return library.startsWith('ioredis') ? connectIoredis(path) :
                                               connectNodeRedis(path, library.startsWith('node-redis-3') ? 3 : 2);
}

/* What the driver may ask a server for; each answers once it is done. */
function requests(io, redis) {
        let settled = 0;

        return {
                broadcast: async (name, data) => { io.emit(name, data); },
                binary: async (name, hex) => { io.emit(name, Buffer.from(hex, 'hex')); },
                room: async (room, name, data) => { io.to(room).emit(name, data); },
                except: async (room, name, data) => { io.except(room).emit(name, data); },
                sockets: async () => (await io.fetchSockets()).map((socket) => socket.id).sort(),
                members: async (room) => (await io.in(room).fetchSockets()).map((socket) => socket.id),
                join: async (id, room) => { io.in(id).socketsJoin(room); },
                part: async (id, room) => { io.in(id).socketsLeave(room); },
                ask: async (name, data) => (await io.timeout(SECONDS * 1000).emitWithAck(name, data)).sort(),
                peers: (data) => io.serverSideEmitWithAck('peer', data),
                servers: () => io.of('/').adapter.serverCount(),
                roomChannel: async (room) => (await redis.ask('PUBSUB', 'SHARDNUMSUB', `socket.io#/#${room}#`))[1],
                /* Acknowledged behind all that the adapter subscribed before. */
                settle: async () => { await redis.sub.subscribe(`settled ${++settled}`, () => {}); },
                end: async () => {
                        await new Promise((resolve) => io.close(resolve));
                        await Promise.all(redis.close());
                },
        };
}

async function server(path, library, name) {
        process.on('disconnect', () => process.exit()); /* timers of acknowledgements would keep it for seconds */
        const { Server } = require('socket.io');
        const { createAdapter, createShardedAdapter } = require('@socket.io/redis-adapter');
        const redis = await connect(path, library);
        const make = library.endsWith('-sharded') ? createShardedAdapter : createAdapter;
        const http = createServer();
        const io = new Server(http, { adapter: make(redis.pub, redis.sub) });
        const answers = requests(io, redis);

        io.on('connection', (socket) => {
                socket.on('say', (data) => io.emit('said', data));
                socket.on('enter', async (room, done) => { await socket.join(room); done(); });
        });
        io.on('peer', (data, done) => done(`${name} heard ${data}`));
        process.on('message', ({ id, what, words }) => {
                answers[what](...words).then((value) => process.send({ id, value }),
                                             (error) => process.send({ id, error: error.stack }));
        });
        http.listen(0, '127.0.0.1', () => process.send({ port: http.address().port }));
}

/* ------------------------------------------------------------------ the driver */

/* Starts a server. Its methods are asked by messages. */
async function start(path, library, name) {
        const child = fork(__filename, ['--server', path, library, name]);
        const open = new Map();
        let n = 0;

        process.on('exit', () => child.kill());
        const port = await within(new Promise((resolve, reject) => {
                child.on('message', ({ id, port, value, error }) => {
                        if (port)
                                resolve(port);
                        else if (error)
                                open.get(id)[1](new Error(error));
                        else
                                open.get(id)[0](value);
                });
                child.on('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
        }), `the port of ${name}`);
        return {
                port,
                child,
                ask: (what, ...words) => within(new Promise((resolve, reject) => {
                        open.set(++n, [resolve, reject]);
                        child.send({ id: n, what, words });
                }), `${name}: ${what}`),
        };
}

async function enter(port) {
        const { io } = require('socket.io-client');
        const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false });
        const inbox = new Inbox();

        await within(new Promise((resolve, reject) => {
                socket.once('connect', resolve);
                socket.once('connect_error', reject);
        }), 'the connection to a Socket.IO server');
        socket.onAny((name, data, done) => {
                if (name === 'question')
                        done(`${data}!`);
                else
                        inbox.push(name, data);
        });
        return { socket, inbox };
}

/* Everything that crosses from one server to the other. A broadcast behind a message shows who did not get that one. */
async function tryAll(servers, clients, round) {
        const [a, b] = servers;
        const ids = clients.map(({ socket }) => socket.id).sort();
        const everybody = async (name, data) => {
                for (const { inbox } of clients)
                        await inbox.expect(name, data);
        };

        await a.ask('broadcast', 'news', `${round} from a`);
        await everybody('news', `${round} from a`);
        await b.ask('broadcast', 'news', `${round} from b`);
        await everybody('news', `${round} from b`);
        clients[0].socket.emit('say', `${round} by a client`);
        await everybody('said', `${round} by a client`);
        await a.ask('binary', 'bytes', '00ff0d0a');
        await everybody('bytes', Buffer.from([0, 255, 13, 10]));
        await a.ask('room', 'blue', 'blue', round);
        await clients[1].inbox.expect('blue', round);
        await a.ask('except', 'blue', 'not blue', round);
        await clients[0].inbox.expect('not blue', round);
        await a.ask('broadcast', 'behind', round);
        await everybody('behind', round);
        assert.deepEqual(await a.ask('sockets'), ids);
        assert.deepEqual(await a.ask('members', 'blue'), [clients[1].socket.id]);
        assert.deepEqual(await b.ask('ask', 'question', 'really'), ['really!', 'really!']);
        assert.deepEqual(await a.ask('peers', round), [`b heard ${round}`]);
        assert.deepEqual(await b.ask('peers', round), [`a heard ${round}`]);
}

/* A server moves a client of the other one into a room and out again. */
async function tryMoves(servers, clients, sharded) {
        const id = clients[1].socket.id;

        await servers[0].ask('join', id, 'green');
        await until('the client is in the room', async () => (await servers[0].ask('members', 'green')).includes(id));
        await servers[1].ask('settle');
        if (sharded)
                assert.equal(await servers[0].ask('roomChannel', 'green'), 1);
        await servers[0].ask('room', 'green', 'green', 1);
        await clients[1].inbox.expect('green', 1);
        await servers[0].ask('part', id, 'green');
        await until('the client has left', async () => !(await servers[0].ask('members', 'green')).length);
        if (sharded)
                await until('the channel is gone', async () => !(await servers[0].ask('roomChannel', 'green')));
}

async function drive(path, library) {
        const sharded = library.endsWith('-sharded');
        const servers = [await start(path, library, 'a'), await start(path, library, 'b')];

        const settle = () => Promise.all(servers.map(({ ask }) => ask('settle')));

        await settle();
        for (const { ask } of servers)
                assert.equal(await ask('servers'), 2);
        const clients = [await enter(servers[0].port), await enter(servers[1].port)];
        await within(clients[1].socket.emitWithAck('enter', 'blue'), 'entering a room');
        await settle(); /* a room may have a channel of its own */
        if (sharded)
                assert.equal(await servers[0].ask('roomChannel', 'blue'), 1);
        await tryAll(servers, clients, 'before');
        await tryMoves(servers, clients, sharded);
        await restarted(settle);
        await tryAll(servers, clients, 'after');
        await tryMoves(servers, clients, sharded);
        for (const { socket, inbox } of clients) {
                inbox.quiet();
                socket.disconnect();
        }
        for (const { ask, child } of servers) {
                await ask('end');
                child.disconnect();
        }
        return 'two servers and their clients, before and after a restart';
}

if (process.argv[2] === '--server')
        server(...process.argv.slice(3));
else
        run(Object.fromEntries(['ioredis', 'ioredis-sharded', 'node-redis-2', 'node-redis-2-sharded', 'node-redis-3',
                                'node-redis-3-sharded'].map((name) => [name, (path) => drive(path, name)])));
