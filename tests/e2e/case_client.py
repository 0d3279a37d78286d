# SPDX-License-Identifier: MIT
"""CLIENT: what a connection says about itself, about the others, and what it does to them."""

from suite import case


@case()
def client_reply_silences_replies_only(env):
    c, other = env.pair()
    c.send("CLIENT", "REPLY", "OFF")
    c.send("PING")
    c.send("NoSuch")
    c.send("PUBLISH", "nobody", "x")
    c.send("CLIENT", "REPLY", "nosuch")
    c.subscribe("silent")
    c.psubscribe("sil*")
    c.send("PING")
    other.publish("silent", "x", 2)
    c.message("silent", "x")
    c.pmessage("sil*", "silent", "x")
    c.punsubscribe("sil*").unsubscribe("silent")
    c.send("INFO")
    c.ok("CLIENT", "REPLY", "ON")
    c.quiet()
    c.expect_error("ERR syntax error", "CLIENT", "REPLY", "nosuch")
    c.expect_error("ERR wrong number of arguments for 'client|reply' command", "CLIENT", "REPLY")


@case()
def client_reply_skips_one(env):
    c = env.connect()
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("PING")
    c.expect(b"x", "ECHO", "x")
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("INFO", "server")
    c.expect(b"y", "ECHO", "y")
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("NoSuch")
    c.send("CLIENT", "REPLY", "SKIP")
    c.subscribe("skipped")
    c.unsubscribe("skipped")
    c.quiet()


@case()
def reset_brings_replies_back(env):
    c = env.connect()
    c.send("CLIENT", "REPLY", "OFF")
    c.send("PING")
    c.expect("RESET", "RESET")
    c.proto = 2
    c.quiet()
