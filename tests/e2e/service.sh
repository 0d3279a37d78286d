#!/bin/sh
# SPDX-License-Identifier: MIT
# The broker under a service manager. Arguments are names of cases; the environment is that of lifecycle.sh.
LIFECYCLE=service.py exec sh "$(dirname "$0")/lifecycle.sh" "$@"
