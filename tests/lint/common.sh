# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the checks share. The working directory is the top of the source tree; no check needs git.

# The C files of the tree, or of the directories named.
c_files() {
        [ $# -gt 0 ] || set -- src tests
        find "$@" -name '*.[ch]' | sort
}

# finish NAME COUNT WHAT WRONG: the last line of a check and its exit.
finish() {
        if [ "$4" -ne 0 ]; then
                echo "FAILED $1: $4 of $2 $3 are wrong"
                exit 1
        fi
        if [ "$2" -eq 0 ]; then
                echo "FAILED $1: no $3 seen; the check is blind"
                exit 1
        fi
        echo "ok $1: $2 $3"
        exit 0
}
