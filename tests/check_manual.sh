#!/bin/sh
# check_manual.sh WSGID MANUAL: `wsgid --help` and wsgid(1) name the same options
# with the same defaults, and the manual renders without warnings.
set -eu
wsgid=$1 manual=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$wsgid" --help >"$work/help.txt"

# The entries of the help, each on one line: names, sentence, (--aliases),
# [default].
sed -n '/^  *\(-., \)\{0,1\}--/,$p' "$work/help.txt" | awk '
    /^ +(-., )?--/ { if (entry) print entry; entry = $0; next }
    /^ +/          { entry = entry " " $0; next }
                   { if (entry) print entry; entry = "" }
    END            { if (entry) print entry }' >"$work/entries.txt"

# "name default" and "name" of aliases, negations and letters.
awk '{
    short = ($1 ~ /^-.,$/) ? $1 : ""; name = short ? $2 : $1
    negatable = sub(/\[no-\]/, "", name)
    default_ = ""
    if (match($0, /\[[^]]*\]$/))
        default_ = " " substr($0, RSTART + 1, RLENGTH - 2)
    print name default_
    if (negatable) { sub(/^--/, "--no-", name); print name }
    if (short) print substr(short, 1, 2)
    line = $0
    while (match(line, /\(--[^)]*\)/)) {
        print substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, RSTART + RLENGTH)
    }
}' "$work/entries.txt" | sort >"$work/help.names"

# The same of the manual: ".It Fl b , Fl -bind , Fl -listen Ar address", and in
# what follows it "The default is X."
awk '
    function flush(  i) {
        for (i = 1; i <= n; i++)
            print names[i] (i == first ? default_ : "")
        n = 0
    }
    /^\.It Fl / {
        flush(); default_ = ""; first = 0
        for (i = 2; i <= NF; i++)
            if ($i == "Fl") {
                names[++n] = "-" $(i + 1)
                if (!first && $(i + 1) ~ /^-/) first = n
            }
        next
    }
    /^The default is / {
        value = $4
        sub(/[.,]$/, "", value); gsub(/\\/, "", value)
        default_ = " " value
    }
    /^\.S[sh] / { flush() }
    END { flush() }' "$manual" | sort >"$work/manual.names"

if ! [ -s "$work/help.names" ] ||
    ! diff "$work/help.names" "$work/manual.names" >"$work/diff.txt"; then
    echo "< wsgid --help    > $manual"
    cat "$work/diff.txt"
    exit 1
fi

if command -v man >/dev/null; then
    LC_ALL=C.UTF-8 MANWIDTH=78 man --warnings -l "$manual" 2>&1 >/dev/null |
        tee "$work/warnings.txt"
    ! [ -s "$work/warnings.txt" ] || exit 1
fi
