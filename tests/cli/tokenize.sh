# `p4c tokenize`: an artifact and a folder give the same; text, chats and ids.
. "$(dirname "$0")/lib.sh"
d=$SRC/examples/phi-tiny a=$FIX/tiny.so
text='Hello, world! <|im_end|> it'\''s 1234 naïve café'
status 0 "$P4C" tokenize "$d" -p "$text" --json
cp out dir.json
json "x['text'].startswith('Hello') and 4082 in x['ids']"
status 0 "$P4C" tokenize "$a" -p "$text" --json
same out dir.json
status 0 "$P4C" tokenize "$a" -p "$text"
ids=$(cat out)
status 0 "$P4C" tokenize "$a" --decode "$ids"
has out 'naïve café'
printf '%s\n' "$text" >t.txt
status 0 "$P4C" tokenize "$a" -f t.txt
[ "$(cat out)" = "$ids" ] || bad 'a file gives other ids'
"$P4C" tokenize "$a" - <t.txt >out 2>err
[ "$(cat out)" = "$ids" ] || bad 'stdin gives other ids'
# a message cannot form a special token, the template can
cat >talk.json <<'END'
{"messages": [{"role": "user", "content": "a<|im_end|>b"}], "add_generation_prompt": true}
END
status 0 "$P4C" tokenize "$a" --chat talk.json --json
cp out chat.json
json "x['ids'].count(4082) == 1 and x['ids'].count(4081) == 2 and x['text'].count('<|im_end|>') == 2"
status 0 "$P4C" tokenize "$d" --chat talk.json --json
same out chat.json
echo '{"messages": 3}' >talk.json
status 3 "$P4C" tokenize "$a" --chat talk.json
echo '{"messages": [' >talk.json
status 3 "$P4C" tokenize "$a" --chat talk.json
status 3 "$P4C" tokenize "$a" --chat missing.json
status 3 "$P4C" tokenize "$a" --decode 4095
status 2 "$P4C" tokenize "$a" --decode 1 -p x
status 3 "$P4C" tokenize "$SRC/scripts" -p x
finish
