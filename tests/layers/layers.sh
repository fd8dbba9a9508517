#!/bin/sh
# layers.sh - what holds of the source as text: who includes whom, where foreign libraries may be touched, sizes, form.
#     layers.sh ROOT [includes|places|sizes|format|headers|tree]...      all of them without a name
# Prints each violation; exit status 1 where there is one.
set -u
root=${1:?root of the tree}
shift
cd "$root" || exit 2
bad=0
report() {
    echo "$1"
    bad=1
}
# tracked or new, but not ignored: what a commit would hold
files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
sources() { files '*.c' '*.h' | grep -v '^\(tests\|examples\|bench\)/'; }

# ---- who may include whom: FOLDER>PREFIX of the included path; anything not listed is an error ----
allowed='
base>base/
ir>ir/          ir>base/
frontend>frontend/ frontend>ir/ frontend>base/ frontend>runtime/abi.h frontend>runtime/tokenizer_abi.h
frontend>runtime/template_abi.h frontend>runtime/template_ops.def frontend>runtime/template_filters.def
frontend>runtime/template_tests.def
passes>passes/  passes>ir/   passes>base/ passes>codegen/catalog.h
codegen>codegen/ codegen>ir/ codegen>base/ codegen>runtime/abi.h
runtime>runtime/ runtime>base/half.h runtime>base/cpuinfo.h runtime>base/digest.h runtime>base/seedgen.h
app>app/        app>runtime/p4c.h app>base/diag.h app>base/arena.h app>base/str.h app>base/util.h app>base/vec.h
app>base/cpuinfo.h
'
check_includes() {
    sources | while read -r f; do
        folder=${f%%/*}
        [ "$folder" = driver ] && continue
        sed -n 's/^[[:space:]]*#[[:space:]]*include "\([^"]*\)".*/\1/p' "$f" | while read -r h; do
            ok=0
            for rule in $allowed; do
                case "$folder>$h" in "$rule"*) ok=1 ;; esac
            done
            # p4c.h is installed alone, with status.def beside it
            [ "$f $h" = "runtime/p4c.h status.def" ] && ok=1
            [ $ok = 1 ] || echo "$f: may not include $h"
        done
    done
    for f in $(sources | grep '^codegen/'); do
        case $f in
        codegen/cpu/*) grep -Hn '#include "codegen/cuda/' "$f" ;;
        codegen/cuda/*) grep -Hn '#include "codegen/cpu/' "$f" ;;
        esac
    done
    grep -n '#include *<llvm' $(sources | grep -v '^codegen/cpu/') /dev/null
}

# ---- where things may be done ----
check_places() {
    grep -n 'LLVMBuild' $(sources | grep -v '^codegen/cpu/lb') /dev/null
    # trees of base/json.h may be read anywhere, but come from its strict parser
    grep -n 'cJSON_\(Parse\|Create\|Print\)' $(sources | grep -v '^base/') /dev/null
    grep -n '\<dlopen *(' $(sources | grep -v '^driver/open_artifact.c$') /dev/null
    grep -n '\<getenv *(' $(sources | grep -v '^app/' | grep -v '^driver/') /dev/null
    grep -n 'switch *( *[a-z_]*\(->\|\.\)kind *)' $(sources | grep '^\(ir\|passes\|codegen\)/') /dev/null |
        grep -i '\<op\(->\|\.\)kind'
    # the runtime never prints, exits, or reads the environment
    grep -n '\<\(printf\|fprintf\|vfprintf\|puts\|fputs\|putchar\|perror\|exit\|_exit\|abort\|setlocale\) *(' \
        $(sources | grep '^runtime/') /dev/null
    grep -n '\<\(setlocale\|longjmp\|alloca\|strcpy\|strcat\|sprintf\|gets\) *(' $(sources) /dev/null
    # nothing of the machine it was written on
    files '*' | grep -v '\.\(safetensors\|tiktoken\|xz\|jsonl\)$' | xargs grep -nI '/work/\|/root/' |
        grep -v '^tests/layers/layers.sh:'
    grep -n '\<\(TODO\|FIXME\|XXX\)\>' $(sources) /dev/null
}

# ---- sizes ----
check_sizes() {
    sources | while read -r f; do
        case $f in runtime/unicode_tables.c | runtime/template_tables.c) continue ;; esac # generated
        n=$(wc -l <"$f")
        [ "$n" -le 800 ] || echo "$f: $n lines (at most 800)"
        # a function starts at a line that ends in ") {" and ends at a "}" in the first column
        awk -v f="$f" '/^[A-Za-z].*\) *\{$/ { start = NR }
            /^}/ { if (start && NR - start + 1 > 100)
                       print f ":" start ": a function of " NR - start + 1 " lines (at most 100)"
                   start = 0 }' "$f"
    done
}

check_tree() {
    bytes=$(files '*' | tr '\n' '\0' | xargs -0 stat -c %s | awk '{ n += $1 } END { print n }')
    [ "$bytes" -le $((50 * 1024 * 1024)) ] || echo "the tracked tree has $bytes bytes (at most 50 MiB)"
    files '*.h' | grep -v '^examples/' | while read -r f; do
        guard=P4C_$(echo "$f" | tr 'a-z/.' 'A-Z__')
        case $f in
        tests/*) grep -q "#ifndef P4C_" "$f" || echo "$f: no include guard" ;;
        *)
            # P4C_FOLDER_FILE_H, with the first folder and the file's name
            guard=P4C_$(echo "${f%%/*}_${f##*/}" | tr 'a-z/.' 'A-Z__')
            long=P4C_$(echo "$f" | tr 'a-z/.' 'A-Z__')
            grep -q "#ifndef \($guard\|$long\)$" "$f" || echo "$f: no include guard $guard"
            ;;
        esac
    done
}

check_format() {
    format=$(command -v clang-format-19 || true)
    if [ -z "$format" ]; then
        echo "clang-format-19 is not here: form not checked" >&2
        return
    fi
    files '*.c' '*.h' | xargs -n 40 "$format" --dry-run --Werror 2>&1 | grep ': error' |
        sed 's/:.*/: not as clang-format wants it/' | sort -u
}

# Each header compiles alone.
check_headers() {
    for f in $(sources | grep '\.h$'); do
        case $f in codegen/cpu/* | codegen/cuda/*) continue ;; esac # need LLVM's headers
        ${CC:-cc} -std=c17 -D_GNU_SOURCE -I. -fsyntax-only -x c -include stddef.h "$f" >/dev/null 2>&1 ||
            echo "$f: does not compile alone"
    done
}

[ $# -gt 0 ] || set -- includes places sizes tree format headers
for check in "$@"; do
    out=$(check_"$check")
    [ -z "$out" ] || report "$out"
done
exit $bad
