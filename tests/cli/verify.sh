# `p4c verify`: passes what is right, and fails what is not.
. "$(dirname "$0")/lib.sh"
g=$SRC/tests/golden
status 0 "$P4C" verify "$FIX/f32.so" "$g/phi4-bf16"
has out 'passed'
has out '32/32'
status 0 "$P4C" verify "$FIX/f32.so" "$g/phi4-bf16/golden" --json
json "x['pass'] is True and x['bounds']['max_abs'] == 2e-3 and x['bounds']['mean_kl'] == 1e-7"
json "len(x['cases']) >= 4 and all(c['max_abs'] < 2e-3 and c['mean_kl'] < 1e-7 and c['argmax_equal'] == 1 and c['greedy_equal'] == 1 for c in x['cases'])"
status 0 "$P4C" verify "$FIX/gptq.so" "$g/phi4-gptq-sym-g128" --json
json "x['pass'] and x['quant'] == 'w4a16-g128' and 0 < x['all']['mean_kl'] < x['bounds']['mean_kl'] < 0.003"
# beyond a bound: status 1, and the report is there
status 1 "$P4C" verify "$FIX/f32.so" "$g/phi4-bf16" --tol max_abs=1e-9 --json
json "x['pass'] is False"
status 1 "$P4C" verify "$FIX/gptq.so" "$g/phi4-gptq-sym-g128" --tol mean_kl=1e-9
has out 'FAILED'
status 2 "$P4C" verify "$FIX/f32.so" "$g/phi4-bf16" --tol nonsense=1
# reference logits that are wrong in one place
mkdir wrong
cp "$g/phi4-bf16/golden/"* wrong/
python3 - <<'END'
import json, struct
f = open('wrong/golden.safetensors', 'r+b')
n, = struct.unpack('<Q', f.read(8))
h = json.loads(f.read(n))
at = 8 + n + h['len70.logits']['data_offsets'][0] + 4 * (320 * 40 + 17)
f.seek(at)
x, = struct.unpack('<f', f.read(4))
f.seek(at)
f.write(struct.pack('<f', x + 0.01))
END
status 1 "$P4C" verify "$FIX/f32.so" wrong
# folders that do not fit
status 3 "$P4C" verify "$FIX/f32.so" "$g/phi4-gptq-sym-g128"
one_error 0731
status 3 "$P4C" verify "$FIX/f32.so" "$g"
mkdir lacking # ids of a prompt without its logits
python3 - <<'END'
import struct
h = b'{"a.input_ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}'
open('lacking/golden.safetensors', 'wb').write(struct.pack('<Q', len(h)) + h + bytes(8))
END
status 3 "$P4C" verify "$FIX/f32.so" lacking
one_error 0730
status 3 "$P4C" verify "$FIX/f32.so" missing
status 2 "$P4C" verify "$FIX/f32.so"
status 4 "$P4C" verify "$SRC/README.md" "$g/phi4-bf16"
# each step against the interpreter
for a in f32 gptq tiny; do
    status 0 "$P4C" verify "$FIX/$a.so" --per-op
    has out 'all agree'
done
status 0 "$P4C" verify "$FIX/f32.so" --per-op --ids 5,6,7 --json
json "x['pass'] and x['compared'] > 10 and x['first'] is None"
status 2 "$P4C" verify "$FIX/f32.so" --per-op --ids 9999
finish
