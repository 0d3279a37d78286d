#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh SOURCE TARGET: installs what SOURCE/package-lock.json names into TARGET/node_modules. Nothing of it is run.
set -eu
source=$1
target=$2
for tool in node npm; do
        command -v "$tool" >/dev/null || { echo "$0: no $tool; .ci/install clients installs it" >&2 && exit 1; }
done
mkdir -p "$target"
for file in package.json package-lock.json .npmrc; do
        cmp -s "$source/$file" "$target/$file" || cp "$source/$file" "$target/$file"
done
cd "$target"
npm ci
touch node_modules/.package-lock.json
