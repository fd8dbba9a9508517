#!/bin/sh
# install-deps.sh - the Debian 12 packages that p4c needs; does nothing where all are there.
#     install-deps.sh           to build and run
#     install-deps.sh --test    and to run the test suite
# Needs root or sudo; otherwise prints the one line to run and ends with status 5.
set -eu
packages='gcc libc6-dev binutils cmake ninja-build git llvm-19-dev lld-19 libcjson-dev libcunit1-dev libpcre2-dev'
for_tests='clang-19 clang-format-19 libclang-rt-19-dev python3 xz-utils'
[ "${1:-}" = --test ] && packages="$packages $for_tests"

command -v dpkg-query >/dev/null || {
    echo "not Debian: nothing is installed; p4c needs what these packages of Debian 12 hold:" >&2
    echo "    $packages" >&2
    exit 0
}
missing=
for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null)" = 'ii ' ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

line="apt-get update && apt-get install -y --no-install-recommends$missing"
export DEBIAN_FRONTEND=noninteractive
if [ "$(id -u)" = 0 ]; then
    sh -c "$line"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo sh -c "$line"
else
    echo "packages are missing; run this line as root, then start again:" >&2
    echo "    sudo sh -c '$line'" >&2
    exit 5
fi
