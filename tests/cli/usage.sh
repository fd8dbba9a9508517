# Usage errors end with status 2 and say what to do; help fits the screen.
. "$(dirname "$0")/lib.sh"
status 2 "$P4C"
empty out
has err 'usage: p4c COMMAND'
status 2 "$P4C" comiple
one_error 0705
has err "did you mean 'p4c compile'?"
status 2 "$P4C" frobnicate
hasnt err 'did you mean'
status 2 "$P4C" generate x
has err 'p4c run FILE -p TEXT'
status 2 "$P4C" "$SRC/examples/phi-tiny"
has err 'p4c compile'
status 2 "$P4C" "$FIX/tiny.so"
has err 'p4c run'
status 0 "$P4C" -V
# an artifact is no compiler, and its own model
status 2 "$FIX/tiny.so" inspect
has err "'p4c inspect' is a command of the compiler"
status 2 "$FIX/tiny.so" 'Hello there'
has err "-p 'Hello there'"
status 2 "$FIX/tiny.so" -m other.so -p x
one_error 0703
status 2 "$P4C" tokenize "$FIX/tiny.so" 'Hello there'
has err "-p 'Hello there'"
status 2 "$P4C" run
one_error 0704
status 2 "$P4C" run x.so --tmep 1
one_error 0700
has err 'did you mean --temp?'
status 2 "$P4C" run x.so -ngl 99
one_error 0703
has err 'GPU layers'
status 2 "$P4C" run x.so --temp 0,5
one_error 0701
status 2 "$P4C" run x.so --greedy --temp 1
one_error 0702
status 2 "$P4C" compile x --lora y
one_error 0700
for help in --help -h help; do
    status 0 "$P4C" $help
    for c in compile run bench verify inspect tokenize opt synth; do has out "  $c "; done
    empty err
done
for c in compile run bench verify inspect tokenize opt synth; do
    status 0 "$P4C" $c --help
    empty err
    has out 'examples:'
    has out '--json'
    awk 'length > 80 { exit 1 }' out || bad "help of $c is wider than 80 columns"
    cp out direct
    status 0 "$P4C" help $c
    same out direct
done
status 0 "$P4C" --version
grep -q '^p4c [0-9]*\.[0-9]*\.[0-9]*$' out || bad 'version'
status 0 "$P4C" --version --json
json "x['version'][0].isdigit()"
# numbers do not depend on the locale
for l in de_DE.UTF-8 tr_TR.UTF-8 C; do
    LC_ALL=$l status 2 "$P4C" run x.so --temp 0,5
    LC_ALL=$l status 3 "$P4C" run missing.so --temp 0.5 -p x
done
# output that cannot be written
"$P4C" --help >/dev/full 2>err
[ $? = 6 ] || bad 'a full disk is not status 6'
one_error 0711
finish
