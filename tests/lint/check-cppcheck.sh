#!/bin/sh
# SPDX-License-Identifier: MIT
# cppcheck has no complaint. A suppression stands in the code, with its reason, or in the list here:
# - missingIncludeSystem, unmatchedSuppression: not about the code.
# - unknownMacro: Check's START_TEST.
. tests/lint/common.sh
n=$(c_files src | grep -c '\.c$')
wrong=0
cppcheck --quiet -j "$(nproc)" --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
        --suppress=missingIncludeSystem --suppress=unmatchedSuppression --suppress=unknownMacro \
        --error-exitcode=1 -I src -D__linux__ -D_GNU_SOURCE src || wrong=1
finish cppcheck "$n" "C files" "$wrong"
