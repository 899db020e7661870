"""``pyctr completion``: scripts for the shell; they ask ``pyctr __complete WORDS…`` for what fits the last word."""

from __future__ import annotations

from ctr.errors import UsageError
from ctr.flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "completion",
    "SHELL",
    "Print the completion script of a shell (bash, zsh or fish)",
    least=1,
    most=1,
    example="source <(pyctr completion bash)\npyctr completion fish > ~/.config/fish/completions/pyctr.fish",
    notes="Commands, flags, and the names of containers, images, networks and volumes are completed.",
)
_BASH = """\
# bash completion for pyctr
_pyctr() {
    local IFS=$'\\n' line
    COMPREPLY=()
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}") current
    # bash splits words at colons; put them together again
    local joined=() word previous=""
    for word in "${words[@]}"; do
        if [[ ${#joined[@]} -gt 0 && ( $word == : || $previous == : ) ]]; then
            joined[${#joined[@]}-1]+="$word"
        else
            joined+=("$word")
        fi
        previous="$word"
    done
    current="${joined[${#joined[@]}-1]}"
    while read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <("${COMP_WORDS[0]}" __complete "${joined[@]}" 2>/dev/null)
    if [[ $current == *:* ]]; then
        local head="${current%"${current##*:}"}"
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _pyctr pyctr
"""
_ZSH = """\
#compdef pyctr
# zsh completion for pyctr
_pyctr() {
    local -a lines described
    local line
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        [[ -z $line ]] && continue
        described+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    if (( ${#described} )); then
        _describe 'pyctr' described
    else
        _files
    fi
}
compdef _pyctr pyctr
"""
_FISH = """\
# fish completion for pyctr
function __pyctr_complete
    set -l words (commandline -opc) (commandline -ct)
    set -e words[1]
    pyctr __complete $words 2>/dev/null
end
complete -c pyctr -a '(__pyctr_complete)'
"""
SCRIPTS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    script = SCRIPTS.get(arguments[0])
    if script is None:
        raise UsageError(f"there is no completion for {arguments[0]}", f"there is one for {', '.join(SCRIPTS)}")
    print(script, end="")
    return 0
