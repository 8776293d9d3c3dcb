#!/bin/sh
# The model of the loop's owner: what docs/model/baton.pml promises holds, and
# would not if the baton or the watcher were a little different.
#
#     check_model.sh MODEL [SPIN]
set -u

model=$1
spin=${2:-spin}
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

# build MODEL
build() {
    rm -f pan*
    "$spin" -a "$1" >spin.log 2>&1 && "${CC:-cc}" -O2 -w -o pan pan.c && return 0
    cat spin.log
    exit 1
}

# errors CLAIM [OPTION...]: of a verification that went through all states.
errors() {
    claim=$1
    shift
    ./pan "$@" -m100000 -N "$claim" >pan.log 2>&1
    if grep -q "max search depth too small\|reached max depth" pan.log; then
        echo "the search was cut short"
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

failed=0

# expect FOUND WANTED WHAT
expect() {
    [ "$1" = "$2" ] && return 0
    echo "$3: $1 errors, not $2"
    cat pan.log
    failed=1
}

build "$model"
expect "$(errors safe)" 0 "two threads have the loop"
expect "$(errors taken -a -f)" 0 "a call keeps the loop for ever"

# Without rousing, a watcher that sleeps misses the call.
sed 's/:: parked -> parked = false/:: false -> parked = false/' "$model" >deaf.pml
cmp -s "$model" deaf.pml && echo "no rousing in the model" && failed=1
build deaf.pml
expect "$(errors taken -a -f)" 1 "without rousing"

# A late thread that looks only whether there is a call takes its successor's
# for its own.
sed 's/:: app && owner == me && call == mine -> app = false/:: app -> app = false/' \
    "$model" >blind.pml
cmp -s "$model" blind.pml && echo "no leaving in the model" && failed=1
build blind.pml
expect "$(errors safe)" 1 "with words that do not tell calls apart"

exit $failed
