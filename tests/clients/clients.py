#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The clients' suite: libraries and programs that others wrote, used as their users use them. The runner and its options
are those of the end-to-end suite; a tool that is missing is a failure here, since who asked for this suite wants it.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "e2e"))

import suite  # noqa: E402

suite.MODULES = ["case_foreign", "case_cli", "case_hiredis", "case_python", "case_python_asyncio", "case_ioredis",
                 "case_node_redis", "case_socketio"]
suite.MISSING = "fail"

if __name__ == "__main__":
    sys.exit(suite.main())
