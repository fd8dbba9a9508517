# `p4c inspect` reads artifacts and checkpoints as data, and sees damage of any kind.
. "$(dirname "$0")/lib.sh"
a=$FIX/f32.so
status 0 "$P4C" inspect "$a" --check
has out 'every byte is as written'
has out 'weights'
has out 'x86_64-linux-gnu: x86-64-v3, '
hasnt out 'pad0'
empty err
status 0 "$P4C" inspect "$a" -v
has out 'pad0'
status 0 "$P4C" inspect "$a" --memory
has out 'keys and values'
status 0 "$P4C" inspect "$a" --json --check
json "x['config']['hidden_size'] == 256 and x['gpu'] == [] and x['checked'] and x['options']['quant'] == 'f32'"
json "x['targets'][0]['triple'].endswith('linux-gnu') and 'x86-64-v3' in x['targets'][0]['cpus']"
json "all(set(s) == {'name', 'offset', 'bytes', 'blake3'} and len(s['blake3']) == 64 for s in x['sections'])"
json "{'elf', 'header', 'meta', 'plan', 'tokenizer', 'template', 'config', 'options', 'ir', 'weights'} <= {s['name'] for s in x['sections']}"
# the sections cover the whole file
json "[sorted((s['offset'], s['bytes']) for s in x['sections'])] and (lambda l: all(a + n == b for (a, n), (b, _) in zip(l, l[1:])) and l[0][0] == 0 and sum(l[-1]) == x['bytes'])(sorted((s['offset'], s['bytes']) for s in x['sections']))"
json "x['model']['stop'] and x['model']['layers'] == 2"
# damage: one flipped bit in every section, cuts, additions, other files
cp out good.json
for at in $(python3 -c "
import json
for s in json.load(open('good.json'))['sections']:
    if s['bytes']: print(s['offset'] + s['bytes'] // 2)"); do
    cp "$a" bad.so
    python3 -c "
f = open('bad.so', 'r+b'); f.seek($at); b = f.read(1); f.seek($at); f.write(bytes([b[0] ^ 4]))"
    status 4 "$P4C" inspect bad.so --check
done
for n in 0 1 63 64 4095 2097151 2097152 2101248 5000000 -1; do
    cp "$a" bad.so
    [ $n = -1 ] && n=$(($(stat -c %s "$a") - 1))
    truncate -s $n bad.so
    status 4 "$P4C" inspect bad.so
    status 4 "$P4C" run bad.so --ids 1 -n 1
done
cp "$a" bad.so
echo more >>bad.so
status 4 "$P4C" inspect bad.so --check
status 4 "$P4C" inspect "$SRC/README.md"
status 3 "$P4C" inspect missing.so
one_error 0721
# a checkpoint
status 0 "$P4C" inspect "$SRC/tests/golden/phi4-gptq-sym-g128" -v
has out 'qweight'
status 0 "$P4C" inspect "$SRC/examples/phi-tiny" --json
json "x['config']['model_type'] == 'phi3' and x['bytes'] > 13000000 and len(x['tensors']) == 39"
status 2 "$P4C" inspect "$SRC/examples/phi-tiny" --check
status 3 "$P4C" inspect "$SRC/scripts"
finish
