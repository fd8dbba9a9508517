# The examples, built as their comments say, against the small model.
. "$(dirname "$0")/lib.sh"
cp "$FIX/tiny.so" . # its soname is the name it was compiled under
for e in hello chat batch; do
    ${CC:-cc} -Wall -Wextra -Werror -I"$SRC/runtime" "$SRC/examples/$e.c" ./tiny.so -Wl,-rpath,'$ORIGIN' -o $e ||
        bad "$e.c does not compile"
done
status 0 ./hello 'Once upon a time, there was a little dog who'
has out ' lived near the garden'
printf 'Hello!\nHello!\n' | ./chat >out 2>err || bad 'chat'
empty err
[ "$(wc -l <out)" -ge 2 ] || bad 'chat does not answer twice'
status 0 ./batch 'Once upon a time, there was a little dog who' 'A' 'Once upon'
has out 'who lived near the garden'
[ "$(wc -l <out)" -ge 3 ] || bad 'batch: three sequences expected'
status 0 python3 "$SRC/examples/hello.py" tiny.so 'Once upon a time, there was a little dog who'
has out ' lived near the garden'
status 0 cmake -S "$SRC/examples/cmake" -B build -G Ninja -DARTIFACT="$tmp/tiny.so"
status 0 cmake --build build
status 0 build/hello 'Once upon a time, there was a little dog who'
has out ' lived near the garden'
finish
