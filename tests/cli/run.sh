# `p4c run` and an artifact as a program, on the small model.
. "$(dirname "$0")/lib.sh"
t=$FIX/tiny.so
story='Once upon a time, there was a little dog who'
status 0 "$P4C" run "$t" --raw -p "$story" -n 20
empty err
cp out text
grep -q '^ lived near the garden' text || bad "the text is: $(cat text)"
[ "$(wc -l <text)" = 0 ] || bad 'a newline that the model has not written'
status 0 "$t" --raw -p "$story" -n 20
same out text
echo "$story" >prompt.txt
status 0 "$t" --raw -f prompt.txt -n 20
same out text
"$t" --raw -n 20 - <prompt.txt >out 2>err || bad 'prompt from stdin'
same out text
"$t" --raw -n 20 <prompt.txt >out 2>err || bad 'prompt from stdin without -'
same out text
status 0 "$P4C" tokenize "$t" -p "$story"
ids=$(cat out)
status 0 "$t" --ids "$ids" -n 20
same out text
status 0 "$t" --raw -p "$story" -n 20 --json
json "x['text'] == open('text').read() and x['n_new'] == 20 and x['finish'] == 'max_tokens' and len(x['ids']) == 20"
status 0 "$t" --raw -p "$story" -n 20 --stats
same out text
has err 'tok/s'
# the same for any number of threads
for n in 1 2 3; do
    status 0 "$t" --raw -p "$story" -n 20 -t $n
    same out text
done
# each kind of code that this processor can run; unknown ones are refused
for cpu in x86-64-v3 avxvnni avx512vnni avx512bf16; do
    P4C_CPU=$cpu "$t" --raw -p "$story" -n 5 >out 2>err
    s=$?
    [ $s = 0 ] || [ $s = 5 ] || bad "P4C_CPU=$cpu ends with $s"
done
P4C_CPU=x86-64-v3 "$t" --raw -p "$story" -n 5 >out 2>err || bad 'x86-64-v3 does not run'
P4C_CPU=nonsense "$t" --raw -p x >out 2>err
[ $? = 2 ] || bad 'an unknown variant is not status 2'
# stop strings, end tokens
status 0 "$t" --raw -p "$story" -n 40 --stop ' garden' --json
json "x['text'] == ' lived near the' and x['finish'] == 'stop_string'"
# sampling: a seed makes it repeatable
status 0 "$t" --raw -p "$story" -n 20 --temp 1 --seed 5
cp out drawn
status 0 "$t" --raw -p "$story" -n 20 --temp 1 --seed 5
same out drawn
# chats
status 0 "$t" -p 'Hello!' -n 30
cp out answer
[ -s answer ] || bad 'no answer'
hasnt out '<|im_end|>'
printf 'Hello!\n\nHello!\n' >talk.txt
status 0 "$t" --interactive -n 30 <talk.txt
head -n 1 out | cmp -s - "$FIX/nothing" 2>/dev/null || [ -s out ] || bad 'no talk'
status 2 "$t" --raw --interactive
# a line that begins with a NUL, or holds one, is a line like any other
printf '\0\nHello!\n' >nul.txt
status 0 "$P4C" run "$t" --interactive -n 3 --greedy <nul.txt
[ "$(wc -l <out)" = 2 ] || bad "not two answers: $(cat out)"
# limits
status 2 "$t" --raw -p "$(printf 'word %.0s' $(seq 600))"
one_error 0802
grep -q 'has [0-9]* tokens, with room for 511' err || bad 'not both numbers'
status 2 "$t" --ids 4096 -n 1
one_error 0801
status 2 "$t" --raw -p x --kv-bytes 1
status 6 "$t" --raw -p "$(printf 'word %.0s' $(seq 300))" --kv-bytes 384KiB
one_error 0803
# logits
status 0 "$t" --ids "$ids" --logits-out l1.safetensors -n 0 -t 1
empty out
status 0 "$t" --ids "$ids" --logits-out l2.safetensors -n 0 -t 2
same l1.safetensors l2.safetensors
python3 - <<'END' || bad 'logits'
import json, struct
f = open('l1.safetensors', 'rb').read()
n, = struct.unpack('<Q', f[:8])
h = json.loads(f[8:8 + n])['logits']
assert h['dtype'] == 'F32' and h['shape'][1] == 4096 and len(f) == 8 + n + h['data_offsets'][1]
rows = h['shape'][0]
last = struct.unpack('<4096f', f[-4096 * 4:])
assert max(range(4096), key=lambda i: last[i]) == 547  # " lived"
END
# a reader that goes away, a disk that is full, a user who has enough
"$t" --raw -p "$story" --ignore-eos 2>err | head -c 3 >out
empty err
"$t" --raw -p "$story" >/dev/full 2>err
[ $? = 6 ] || bad 'a full disk is not status 6'
one_error 0711
timeout -s INT 1 "$t" --raw -p A -n 100000000 --ignore-eos >out 2>err
# a file that becomes shorter while it is in use.  More than a pipe holds is written first: then the program has
# been loaded and reads
for program in "$P4C run cut.so"; do # one that runs as a program cannot be cut
    cp "$t" cut.so
    rm -f pipe
    mkfifo pipe
    $program --raw - <pipe >out 2>err &
    exec 3>pipe
    head -c 100000 /dev/zero | tr '\0' 'a' >&3
    truncate -s 2200000 cut.so
    exec 3>&-
    wait $!
    s=$?
    [ $s = 4 ] || bad "a file cut off under $program: status $s: $(cat err)"
    [ "$(wc -l <err)" = 1 ] && grep -q '^p4c: .*cut.so: ' err || bad "not one line: $(cat err)"
done
# files
status 3 "$P4C" run missing.so -p x
one_error 0721
status 4 "$P4C" run "$SRC/README.md" -p x
one_error 0720
status 4 "$P4C" run "$P4C" -p x
status 3 "$P4C" run . -p x
finish
