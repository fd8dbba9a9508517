#!/bin/sh
# full_size.sh - Phi-4 at its full size, from nothing: a synthetic int4 checkpoint of 40 layers, compiled, run, measured.
#     full_size.sh P4C FOLDER         needs 20 GB of disk and 10 GB of memory for the page cache, half an hour
# Fails where the compile takes 1 GiB of anonymous memory or more, generating reaches less than 60 % of the read
# bandwidth or a prompt less than 40 % of the dot-product limit, all measured in the same run.
set -eu
p4c=$(realpath "${1:?the program}")
mkdir -p "${2:?a folder}"
cd "$2"
echo "== disk: a gigabyte, synced"
dd if=/dev/zero of=speed bs=8M count=128 conv=fsync 2>&1 | tail -n 1
rm speed
echo "== synth"
rm -rf checkpoint
"$p4c" synth phi-4 -o checkpoint --format gptq --json | tee synth.json
echo "== compile"
"$p4c" compile checkpoint -o phi4.so --json | tee compile.json
rm -r checkpoint
echo "== run"
"$p4c" run phi4.so --raw -p 'the quick brown fox' -n 8 --stats >text
[ -s text ]
echo "== bench"
"$p4c" bench phi4.so -p 128 -n 16 -r 3 --json | tee bench.json
"$p4c" inspect phi4.so --memory
rm phi4.so
python3 - <<'END'
import json
compiled, bench = json.load(open('compile.json')), json.load(open('bench.json'))
limit = {t['kind']: t['limit'] for t in bench['tests']}
print('compile: %.0f MiB anonymous' % (compiled['peak_anon_bytes'] / 2**20))
print('generating: %.0f %% of the read bandwidth' % (100 * limit['generate']))
print('prompt: %.0f %% of the dot-product limit' % (100 * limit['prompt']))
bad = [what for what, ok in (('memory', compiled['peak_anon_bytes'] < 2**30), ('generating', limit['generate'] >= 0.6),
                             ('prompt', limit['prompt'] >= 0.4)) if not ok]
raise SystemExit('beyond the bound: ' + ', '.join(bad) if bad else 0)
END
