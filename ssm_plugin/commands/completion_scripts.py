"""What each shell runs at a TAB: it asks us for the words that fit, and does the rest."""

# The first line of an answer if names of files fit, besides the words that follow.
FILES = ":files"

_BASH = r"""# bash: put this into ~/.bashrc:  source <(ssm-plugin completion bash)
_ssm_plugin() {
    local line files program=${1/#\~/$HOME}
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            files=1
        else
            COMPREPLY+=("$line")
        fi
    done < <("$program" completion for bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    if [[ $files && ${#COMPREPLY[@]} == 0 ]]; then
        compopt -o default 2>/dev/null
    elif [[ $files ]]; then
        while IFS= read -r line; do
            [[ -d $line ]] && line+=/
            COMPREPLY+=("$(printf %q "$line")")
        done < <(compgen -f -- "$2")
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _ssm_plugin ssm-plugin
"""

_ZSH = r"""#compdef ssm-plugin
# zsh: save this as _ssm-plugin in a folder of $fpath; or put this into ~/.zshrc, after compinit:
#   source <(ssm-plugin completion zsh)
_ssm_plugin() {
    local -a lines values descriptions places paths
    local line program=${words[1]/#\~/$HOME}
    lines=("${(@f)$("$program" completion for zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $lines[1] == :files ]]; then
        lines[1]=()
        _files
    fi
    for line in $lines; do
        if [[ ${line%%$'\t'*} == *: ]]; then
            places+=("${line%%$'\t'*}")
            paths+=("${line/$'\t'/  -- }")
        else
            values+=("${line%%$'\t'*}")
            descriptions+=("${line/$'\t'/  -- }")
        fi
    done
    (( $#places )) && compadd -S '' -l -d paths -a -- places
    (( $#values )) && compadd -l -d descriptions -a -- values
}
if [[ $funcstack[1] == _ssm-plugin ]]; then
    _ssm_plugin "$@"
else
    compdef _ssm_plugin ssm-plugin
fi
"""

_FISH = r"""# fish: save this as ~/.config/fish/completions/ssm-plugin.fish
function __ssm_plugin_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l lines ($program completion for fish $words[2..-1] "$current" 2>/dev/null)
    if test "$lines[1]" = :files
        __fish_complete_path "$current"
        set -e lines[1]
    end
    set -q lines[1]; and printf '%s\n' $lines
end
complete -c ssm-plugin -f -a '(__ssm_plugin_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
