# Makes the artifacts that the other tests use.
. "$(dirname "$0")/lib.sh"
rm -rf "$FIX"
mkdir -p "$FIX"
status 0 "$P4C" compile "$SRC/examples/phi-tiny" -o "$FIX/tiny.so"
has err 'bf16'
empty out
status 0 "$P4C" compile "$SRC/tests/golden/phi4-bf16" -o "$FIX/f32.so" --quant f32 --json
json "x['quant'] == 'f32' and x['bytes'] > 0 and x['peak_anon_bytes'] < 1 << 30"
empty err
status 0 "$P4C" compile "$SRC/tests/golden/phi4-gptq-sym-g128" -o "$FIX/gptq.so" -q
empty out
empty err
finish
