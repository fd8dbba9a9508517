# lib.sh - what the tests of the commands share.  Sourced with: P4C (the program), SRC (the tree), FIX (folder of the
# artifacts that cli.setup has made).  Works in a folder of its own, removed at the end.
set -u
: "${P4C:?}" "${SRC:?}" "${FIX:?}"
unset P4C_CPU
export LC_ALL=C
tmp=$(mktemp -d "${TMPDIR:-/tmp}/p4c-cli-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
failures=0

bad() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# status N COMMAND...: runs it; out and err get what it prints
status() {
    want=$1
    shift
    "$@" >out 2>err
    got=$?
    [ $got = "$want" ] || {
        bad "'$*' ends with $got, want $want"
        head -c 2000 err >&2
    }
}
# has FILE TEXT: the text stands in the file
has() { grep -qF -- "$2" "$1" || { bad "no '$2' in $1 of the last command:" && head -c 1000 "$1" >&2; }; }
hasnt() { ! grep -qF -- "$2" "$1" || bad "'$2' in $1 of the last command"; }
empty() { [ ! -s "$1" ] || { bad "$1 of the last command is not empty:" && head -c 1000 "$1" >&2; }; }
same() { cmp -s "$1" "$2" || bad "$1 and $2 differ"; }
# one_error CODE: stderr of the last command is one line of the usual form, perhaps with hints behind it
one_error() {
    [ "$(grep -c '^p4c: ' err)" = 1 ] || { bad "not one error:" && cat err >&2; }
    grep -q "^p4c: .*\[E$1\]$" err || { bad "no error E$1:" && cat err >&2; }
}
# json EXPRESSION: of the object `x` that the last command printed
json() {
    python3 -c "
import json, sys
x = json.load(open('out'))
sys.exit(0 if ($1) else 1)" || bad "not so: $1"
}
finish() {
    [ $failures = 0 ] || exit 1
    exit 0
}
