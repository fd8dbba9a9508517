#!/bin/sh
# quickstart.sh - from a bare Debian 12 to a model that tells a story: installs what is missing, builds p4c, compiles
# the small model of this repository and runs it.  Everything it writes is in build/.
set -eu
cd "$(dirname "$0")/.."
scripts/install-deps.sh
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release >build-configure.log 2>&1 || {
    cat build-configure.log >&2
    exit 5
}
rm -f build-configure.log
cmake --build build --target p4c
build/driver/p4c compile examples/phi-tiny -o build/phi-tiny.so
echo
echo '$ build/phi-tiny.so -p "Tell me a short story about a fox and a lamp."'
build/phi-tiny.so -p "Tell me a short story about a fox and a lamp."
[ -t 1 ] || echo
echo
echo "p4c is $PWD/build/driver/p4c; README.md goes on from here:"
echo "    export PATH=$PWD/build/driver:\$PATH"
