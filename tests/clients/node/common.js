// SPDX-License-Identifier: MIT
'use strict';

/*
 * What the programs of this directory share. Each is started as `node PROGRAM.js SOCKET SCENARIO [MORE...]`, runs that
 * scenario, says in one line what it did, "ok ...", and ends by itself, which it does only if the library gave up its
 * sockets and timers. No wait is without
 * a deadline, and no pause stands in for an acknowledgement.
 */

const assert = require('node:assert/strict');

const SECONDS = Number(process.env.E2E_DEADLINE || 10);
const reference = Boolean(process.env.E2E_REFERENCE);

/* The promise, or an error that names what did not come. */
function within(promise, what) {
        let timer;
        const late = new Promise((_, reject) => {
                timer = setTimeout(() => reject(new Error(`not within ${SECONDS} s: ${what}`)), SECONDS * 1000);
        });

        return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/* Buffers as strings of their bytes, which compare fast and show well. */
function plain(item) {
        return item.map((part) => (Buffer.isBuffer(part) ? part.toString('latin1') : part));
}

/* What arrives, in the order in which it does. */
class Inbox {
        #items = [];
        #waiting = [];

        push(...item) {
                const wait = this.#waiting.shift();

                if (wait)
                        wait(item);
                else
                        this.#items.push(item);
        }

        next(what) {
                if (this.#items.length)
                        return Promise.resolve(this.#items.shift());
                return within(new Promise((resolve) => this.#waiting.push(resolve)), what);
        }

        /* The next item is this. */
        async expect(...item) {
                const expected = plain(item);

                assert.deepEqual(plain(await this.next(`the message ${JSON.stringify(expected).slice(0, 200)}`)), expected);
        }

        quiet() {
                assert.deepEqual(this.#items, []);
        }
}

/* The error that the promise must end in. */
async function refused(promise, what, pattern) {
        let value;

        try {
                value = await within(promise, what);
        } catch (error) {
                assert.match(error.message, pattern, what);
                return error;
        }
        throw new Error(`${what}: no error but ${JSON.stringify(value)}`);
}

/* Asks until the answer is true; for what nothing acknowledges. */
async function until(what, condition) {
        const limit = Date.now() + SECONDS * 1000;

        while (!(await condition())) {
                if (Date.now() > limit)
                        throw new Error(`not within ${SECONDS} s: ${what}`);
                await new Promise((resolve) => setTimeout(resolve, 2));
        }
}

function event(emitter, name) {
        return within(new Promise((resolve) => emitter.once(name, resolve)), `the event ${name}`);
}

/*
 * Says "ready", and waits for the line that tells that the broker has restarted and has all the subscriptions again. They
 * are acknowledged once something is that is asked behind them on the same connection: settle() does that.
 */
async function restarted(settle) {
        const line = within(new Promise((resolve) => process.stdin.once('data', resolve)), 'the restart');

        console.log('ready');
        await line;
        process.stdin.destroy();
        await within(settle(), 'the acknowledgement behind all subscriptions');
}

function fail(error) {
        console.log(`failed: ${error.stack}`);
        process.exit(1);
}

/* Runs the scenario that the command line names. */
function run(scenarios) {
        const [socket, name, ...more] = process.argv.slice(2);

        process.on('unhandledRejection', fail);
        process.on('uncaughtException', fail);
        if (!scenarios[name])
                fail(new Error(`no scenario "${name}"; there are ${Object.keys(scenarios).join(', ')}`));
        scenarios[name](socket, ...more).then((text) => console.log(`ok ${name}: ${text}`), fail);
}

module.exports = { SECONDS, Inbox, assert, event, reference, refused, restarted, run, until, within };
