# Completion of chyves(8) for fish. Candidates are asked for at each time, so they are those of the moment.

function __chyves_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l candidates ($words[1] _complete -- $words (commandline --current-token --cut-at-cursor) 2>/dev/null)
    if test (count $candidates) -eq 0
        __fish_complete_path (commandline --current-token)
    else
        printf '%s\n' $candidates
    end
end

complete --command chyves --no-files --arguments '(__chyves_complete)'
