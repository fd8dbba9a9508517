# `p4c compile`: errors, intermediate forms, and the same bytes from the same input.
. "$(dirname "$0")/lib.sh"
g=$SRC/tests/golden/phi4-bf16
status 2 "$P4C" compile "$g"
one_error 0704
status 3 "$P4C" compile missing -o x.so
status 3 "$P4C" compile "$SRC/scripts" -o x.so
one_error 0110
status 3 "$P4C" compile microsoft/phi-4 -o x.so
has err 'there is no such folder'
status 3 "$P4C" compile "$SRC/README.md" -o x.so
has err 'not a folder'
status 2 "$P4C" compile "$g" -o x.so --quant w3a3
one_error 0701
status 2 "$P4C" compile "$SRC/tests/golden/phi4-gptq-sym-g128" -o x.so --quant w4a16-g64
status 2 "$P4C" compile "$g" -o x.so --max-batch 600
one_error 0702
status 2 "$P4C" compile "$g" -o x.so --disable-pass nonsense
one_error 0701
has err 'fuse-qkv'
status 2 "$P4C" compile "$g" -o x.so --disable-pass layout
status 5 "$P4C" compile "$g" -o x.so --target riscv64-linux-gnu
one_error 0710
status 6 "$P4C" compile "$g" -o missing/x.so
status 6 "$P4C" compile "$g" -o .
status 6 "$P4C" compile "$g" -o /proc/x.so
status 2 "$P4C" compile "$g" -o x.so --max-seq-len 1000000
has err '1 to 16384'
[ -z "$(ls -A | grep -v '^out$\|^err$')" ] || bad "something was left behind: $(ls -A)"

# more end tokens than an artifact can hold: sixteen in the config, another one in the tokenizer
cp -r "$g" many
python3 - <<'END'
import json
c = json.load(open('many/config.json'))
c['eos_token_id'] = list(range(16))
json.dump(c, open('many/config.json', 'w'))
json.dump({}, open('many/generation_config.json', 'w'))
END
status 3 "$P4C" compile many -o x.so
one_error 0713
rm -r many
# a checkpoint without a tokenizer: ids in, ids out, and a warning
cp -r "$g" mute
rm mute/tokenizer.json
status 0 "$P4C" compile mute -o mute.so
has err '[W0714]'
status 0 ./mute.so --ids 1,2,3 -n 4
grep -qx '[0-9,]*' out || bad "ids expected, not $(cat out)"
status 3 ./mute.so -p x
one_error 0811
rm -r mute mute.so

# a file that is there already survives what fails, and no part of a new one stays
echo precious >old.so
(ulimit -f 2000 && exec "$P4C" compile "$g" -o old.so) >out 2>err
[ $? = 6 ] || bad 'the limit of file sizes is not status 6'
one_error 0005
echo precious | cmp -s - old.so || bad 'a failed compile has touched the file'
timeout -s KILL 0.3 "$P4C" compile "$g" -o old.so -q
timeout -s TERM 0.3 "$P4C" compile "$g" -o old.so -q
echo precious | cmp -s - old.so || bad 'a killed compile has touched the file'
[ "$(ls -A | grep -c -v '^out$\|^err$')" = 1 ] || bad "something was left behind: $(ls -A)"

# text forms
status 0 "$P4C" compile "$g" --emit ir
has out '= linear '
cp out whole.p4ir
status 0 "$P4C" compile "$g" --stop-after simplify
has out '= matmul '
cp out simplified.p4ir
status 0 "$P4C" compile "$g" --emit ir --disable-pass fuse-qkv,fuse-norm --disable-pass fuse-rope
! cmp -s out whole.p4ir || bad 'leaving passes out changes nothing'
status 0 "$P4C" compile "$g" --emit ir --pass-limit 0
! cmp -s out whole.p4ir || bad 'leaving all optional passes out changes nothing'
status 0 "$P4C" compile "$g" --emit ir --print-after simplify --time-passes --verify-each
has err '= matmul '
status 0 "$P4C" compile "$g" --emit llvm -o code.ll
has code.ll 'define '
status 0 "$P4C" compile "$g" --emit obj -o objects
[ "$(ls objects | wc -l)" -ge 5 ] || bad 'objects are missing'
status 0 "$P4C" opt simplified.p4ir --passes quantize,fuse-dequant-gemm
has out '= linear '
status 0 "$P4C" opt - --passes '' <simplified.p4ir
same out simplified.p4ir
status 3 "$P4C" opt /dev/null
status 2 "$P4C" opt simplified.p4ir --passes no-such
status 0 "$P4C" opt --list-passes --json
json "len(x) >= 10 and x[0]['name'] == 'simplify'"

# same input and options, same bytes, from wherever; nothing of this machine in it
mkdir elsewhere
status 0 "$P4C" compile "$g" -o a.so -v --save-temps temps
has err 'linear_bf16'
[ -s temps/graph.p4ir ] && [ -s temps/artifact.p4ir ] || bad 'graphs were not saved'
(cd elsewhere && TZ=Asia/Tokyo LANG=de_DE.UTF-8 "$P4C" compile "$g/." -o a.so -q) || bad 'compile elsewhere'
same a.so elsewhere/a.so
! grep -qa "$tmp\|$SRC" a.so || bad 'a path is in the artifact'
[ -x a.so ] || bad 'the artifact cannot be run'
finish
