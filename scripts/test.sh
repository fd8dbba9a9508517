#!/bin/sh
# test.sh - installs what is missing, builds p4c with gcc and with clang, and with AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs the whole suite.  Ends with ctest's summary.
#     test.sh            about half an hour on two cores
#     test.sh --soak     and the full size: a synthetic Phi-4 of 40 layers, 17 GB of disk
# Builds are in build-test/; a second run builds only what has changed.
set -eu
cd "$(dirname "$0")/.."
scripts/install-deps.sh --test
jobs=$(nproc)
[ "$jobs" -ge 2 ] || jobs=2

# build NAME COMPILER OPTIONS...: configures and builds everything in build-test/NAME
build() {
    name=$1 compiler=$2
    shift 2
    echo "== build $name"
    cmake -S . -B "build-test/$name" -G Ninja -DCMAKE_C_COMPILER="$compiler" "$@" >"build-test/$name.log" 2>&1 &&
        cmake --build "build-test/$name" -j "$jobs" >>"build-test/$name.log" 2>&1 || {
        tail -n 50 "build-test/$name.log" >&2
        exit 1
    }
}
mkdir -p build-test
build clang clang-19 -DCMAKE_BUILD_TYPE=Release
build sanitized gcc -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DP4C_ASAN=ON -DP4C_UBSAN=ON
build fuzz clang-19 -DCMAKE_BUILD_TYPE=RelWithDebInfo -DP4C_FUZZ=ON -DP4C_LLVM=OFF
build release gcc -DCMAKE_BUILD_TYPE=Release

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
status=0
run() {
    echo "== test $1"
    ctest --test-dir "build-test/$1" -j "$jobs" --output-on-failure "$2" "$3" || status=1
}
# sanitized: the labels where memory is handled; the rest computes and would take hours
run sanitized -L '^(unit|errors|expect|artifact|fault|cli)$'
run fuzz -L '^fuzz$'
if [ "${1:-}" = --soak ]; then
    tests/soak/full_size.sh build-test/release/driver/p4c build-test/soak || status=1
fi
[ $status = 0 ] || echo "== there were failures above"
run release -LE '^fuzz$'
exit $status
