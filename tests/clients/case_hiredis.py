# SPDX-License-Identifier: MIT
"""hiredis on libev: hiredis-async.c, which says what it does. The synchronous interface is case_foreign's."""

from program import Program, built, restart, says_ok
from suite import case


@case(proto=2)
def hiredis_subscribes_and_publishes_on_libev(env):
    with Program(built("hiredis-async"), env.server.path) as program:
        says_ok(program)


@case(proto=2, fresh=True)
def hiredis_is_told_of_a_restart_on_libev(env):
    """hiredis promises to tell of the end, with the reason, and no more: the program connects and subscribes again."""
    with Program(built("hiredis-async"), env.server.path, "restart") as program:
        program.expect("ready")
        restart(env)
        program.expect("subscribed again")
        p = env.connect()
        p.publish("hi", "after", 2)
        says_ok(program)
