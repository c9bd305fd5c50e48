/**
 * Completion for bash. The one the library makes needs the package bash-completion, cannot be
 * sourced twice, and runs what stands on the line through `eval`.
 */
export const bashCompletion = `# bash completion for fogmeter
__fogmeter_complete() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    [[ $line == :* ]] || COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(fogmeter complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F __fogmeter_complete fogmeter
`
