# Memory that ends at any call: one line, status 6, nothing left behind.  FAIL_MALLOC: the library of fail_malloc.c.
. "$(dirname "$0")/lib.sh"
g=$SRC/tests/golden/malformed/valid-base

# calls COMMAND...: how often it allocates
calls() {
    FAIL_COUNT=count LD_PRELOAD=$FAIL_MALLOC "$@" >out 2>err || bad "'$*' fails of itself"
    count=$(cat count)
    [ "$count" -gt 10 ] || bad "'$*' allocates $count times: nothing is counted"
}
# ends_well N COMMAND...: the N-th call fails
ends_well() {
    n=$1
    shift
    env FAIL_AT="$n" LD_PRELOAD="$FAIL_MALLOC" "$@" >out 2>err
    s=$?
    [ $s = 6 ] || bad "call $n of '$*' fails: status $s: $(head -c 300 err)"
    [ "$(wc -l <err)" = 1 ] && grep -q '^p4c: .*out of memory.*\[E....\]$' err ||
        bad "call $n of '$*' fails: not one line: $(head -c 300 err)"
}

calls "$FIX/tiny.so" -p Hello -n 5
for n in $(seq "$count"); do
    ends_well "$n" "$FIX/tiny.so" -p Hello -n 5
    FAIL_ALL=1 ends_well "$n" "$FIX/tiny.so" -p Hello -n 5
done

# reading and planning allocates for each JSON value: the first ones, the last ones, and some between
calls "$P4C" compile "$g" --emit ir
front=$count
for n in $(seq 40) $(seq 41 11 "$front") $(seq $((front - 20)) "$front"); do
    ends_well "$n" "$P4C" compile "$g" --emit ir
done
# behind it code generation and linking
calls "$P4C" compile "$g" -o x.so -q
mv x.so "$FIX/whole.so"
for n in $(seq $((front + 1)) 4 "$count") "$count"; do
    if env FAIL_AT="$n" LD_PRELOAD="$FAIL_MALLOC" "$P4C" compile "$g" -o x.so -q >out 2>err; then
        # it can do without: with one thread less, say
        same x.so "$FIX/whole.so"
        rm x.so
    else
        ends_well "$n" "$P4C" compile "$g" -o x.so -q
    fi
    [ -z "$(ls -A | grep -v '^out$\|^err$\|^count$')" ] || bad "something was left behind: $(ls -A)"
done
rm "$FIX/whole.so"
# and where LLVM's own memory ends
(ulimit -v 230000 && exec "$P4C" compile "$g" -o x.so -q) >out 2>err
s=$?
[ $s = 6 ] || [ $s = 0 ] || [ $s = 127 ] || bad "little address space: status $s: $(head -c 300 err)"
finish
