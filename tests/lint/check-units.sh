#!/bin/sh
# SPDX-License-Identifier: MIT
# systemd understands the units, and finds the system's one closed enough; sysusers.d and tmpfiles.d parse. Without
# systemd's programs nothing is checked, and that is said.
. tests/lint/common.sh
if ! command -v systemd-analyze >/dev/null; then
        echo "ok units: skipped, systemd-analyze is not installed"
        [ "${LINT_STRICT:-0}" = 1 ] && exit 1
        exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
wrong=0
n=0
# What systemd does not understand it says and passes over, with status 0.
understood() {
        systemd-analyze verify --man=no "$1" >"$dir/out" 2>&1 && [ ! -s "$dir/out" ] || { cat "$dir/out" && false; }
}
cp etc/*.socket "$dir"
# What units start must exist where they are checked: any program will do.
for unit in etc/*.service.in; do
        n=$((n + 1))
        file=$dir/$(basename "$unit" .in)
        sed 's|@sbindir@/brokerd|/bin/true|g; s|@bindir@/brokerctl|/bin/true|g; s|@sysconfdir@|/etc|g' "$unit" >"$file"
        understood "$file" || wrong=$((wrong + 1))
done
# A timer starts the service of its name.
for unit in etc/*.timer; do
        n=$((n + 1))
        cp "$unit" "$dir"
        understood "$dir/$(basename "$unit")" || wrong=$((wrong + 1))
        [ -f "${unit%.timer}.service.in" ] || { echo "$unit starts no service" && wrong=$((wrong + 1)); }
done
# Beside the services that they start.
for unit in etc/*.socket; do
        n=$((n + 1))
        systemd-analyze verify --man=no "$dir/$(basename "$unit")" || wrong=$((wrong + 1))
done
# 10 is an exposure of 1.0
systemd-analyze security --offline=yes --threshold=10 "$dir/brokerd.service" >"$dir/out" 2>&1 ||
        { tail -1 "$dir/out" && wrong=$((wrong + 1)); }
# With users of their own clients would all be nobody.
! grep -q '^PrivateUsers=' etc/*.service.in || { echo "PrivateUsers= breaks peer credentials" && wrong=$((wrong + 1)); }
for file in etc/*.sysusers; do
        n=$((n + 1))
        systemd-sysusers --dry-run "$PWD/$file" >"$dir/out" 2>&1 || { cat "$dir/out" && wrong=$((wrong + 1)); }
done
finish units "$n" "units" "$wrong"
