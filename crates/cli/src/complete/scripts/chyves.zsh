#compdef chyves
# Completion of chyves(8) for zsh. Candidates are asked for at each time, so they are those of the moment.

_chyves() {
    local -a open closed open_texts closed_texts
    local candidate value text
    while IFS= read -r candidate; do
        value=${candidate%%$'\t'*}
        text=${candidate#*$'\t'}
        [[ -n $text ]] && text="$value  -- $text" || text=$value
        # What goes on in the same word gets no blank.
        if [[ $value == *[=@/,] ]]; then
            open+=("$value")
            open_texts+=("$text")
        else
            closed+=("$value")
            closed_texts+=("$text")
        fi
    done < <("${words[1]}" _complete -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    if (( ${#open} + ${#closed} == 0 )); then
        _files
        return
    fi
    (( ${#closed} )) && compadd -l -d closed_texts -a closed
    (( ${#open} )) && compadd -l -S '' -d open_texts -a open
}

if [[ $funcstack[1] == _chyves ]]; then
    _chyves "$@"
else
    compdef _chyves chyves
fi
