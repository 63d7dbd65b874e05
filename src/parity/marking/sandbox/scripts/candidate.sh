# Runs a program and answers calls of one of its functions over descriptor 3. Nothing here is trusted.
# Arguments: the program, the name of the function.
exec </dev/null >/dev/null 2>/dev/null
_entry=$2
"$BASH" -n <<<"$1" || exit 3
eval "$1"
while IFS= read -r -d '' _nonce <&3 && IFS= read -r -d '' _count <&3; do
    _given=()
    for ((_at = 0; _at < _count; _at++)); do
        IFS= read -r -d '' _one <&3 || exit 1
        _given+=("$_one")
    done
    _value=$("$_entry" "${_given[@]}" 3>&-)
    printf '%s\0%s\0' "$_nonce" "$_value" >&3
done
