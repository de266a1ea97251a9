# Completion of chyves(8) for bash. Candidates are asked for at each time, so they are those of the moment.

_chyves() {
    local line=${COMP_LINE:0:COMP_POINT} word candidate value prefix
    # bash breaks words at `=`, `@` and `:`, and replaces only the part that it hands over.
    word=${line##*[[:space:]]}
    prefix=${word%"$2"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        value=${candidate%%$'\t'*}
        [[ $value == "$prefix"* ]] && COMPREPLY+=("${value#"$prefix"}")
    done < <("$1" _complete --line "$line" 2>/dev/null)
    # What goes on in the same word gets no blank.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=@/,] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -o bashdefault -o default -F _chyves chyves
