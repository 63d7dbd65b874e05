# Runs a benchmark's test in bash; the program under test is another process, reached over descriptor 3.
# Arguments: a nonce for the verdict, the name under test, the test. The verdict is a frame on descriptor 4.
exec </dev/null >/dev/null 2>/dev/null
_verdict_nonce=$1 _entry=$2 _test=$3
_say() {
    local body="{\"nonce\":\"$_verdict_nonce\",\"outcome\":\"$1\",\"detail\":\"$2\",\"held_objects\":false}" escapes
    printf -v escapes '\\%03o\\%03o\\0\\0' $((${#body} % 256)) $((${#body} / 256))
    printf "$escapes%s" "$body" >&4
}
# Asks the program; what it wrote is data here. Called in a subshell, so a verdict is said at once: the first one counts.
_ask() {
    local nonce=$RANDOM$RANDOM${SRANDOM:-$RANDOM} said value
    printf '%s\0' "$nonce" "$#" "$@" >&3 || { _say "ended its process" ""; exit 1; }
    IFS= read -r -d '' said <&3 || { _say "ended its process" ""; exit 1; }
    [[ $said == "$nonce" ]] || { _say "broke the exchange" "an answer to a question that was not asked"; exit 1; }
    IFS= read -r -d '' value <&3 || { _say "ended its process" ""; exit 1; }
    printf '%s' "$value"
}
eval "$_entry() { _ask \"\$@\"; }"
_finish() {
    if [[ $1 -eq 0 && $_whole == yes ]]; then _say passed ""; else _say "wrong answer" ""; fi
}
trap '_finish $?' EXIT
eval "$_test"
_whole=yes
