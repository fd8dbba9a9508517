# What documents repeat from tables is as the tables have it.
. "$(dirname "$0")/lib.sh"
status 0 "$P4C" opt --list-ops
while read -r row; do
    grep -qxF -- "$row" "$SRC/docs/IR.md" || bad "docs/IR.md lacks: $row"
done <out
finish
