/**
 * Completion scripts: each asks `fogmeter complete` for lines of VALUE, tab, description, and offers
 * files when there are none. They need no package, can be sourced twice, and evaluate nothing.
 */
const bash = `# bash completion for fogmeter
__fogmeter_complete() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(fogmeter complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F __fogmeter_complete fogmeter
`

const zsh = `#compdef fogmeter
# zsh completion for fogmeter
_fogmeter() {
  local line value
  local -a found
  while IFS= read -r line; do
    value=\${line%%$'\\t'*}
    found+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
  done < <(fogmeter complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  if (( $#found )); then _describe -t values value found; else _files; fi
}
if [[ \${funcstack[1]} == _fogmeter ]]; then
  _fogmeter
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _fogmeter fogmeter
fi
`

const fish = `# fish completion for fogmeter
function __fogmeter_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -e words[1]
    set -g __fogmeter_found (fogmeter complete -- $words "$word" 2>/dev/null)
    test (count $__fogmeter_found) -gt 0
end
complete -c fogmeter -e
complete -c fogmeter -f -n __fogmeter_complete -a '$__fogmeter_found'
`

export const completionScripts = { bash, zsh, fish } as const
