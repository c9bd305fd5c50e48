import type { Plugin } from 'rolldown'
import { parseAst } from 'rolldown/parseAst'

interface Node {
  type: string
  start: number
  end: number
  value?: unknown
  callee?: { type: string; name?: string }
  arguments?: Node[]
  quasis?: { value: { raw: string } }[]
}

/**
 * Words for people stay out of a chip, which has nobody to read them: what is thrown keeps its code.
 * Only text with a space in it, and only where an error is made.
 */
export const leaveTexts: Plugin = {
  name: 'leave-texts',
  transform(code, id) {
    if (!code.includes('Error(') && !code.includes('throw ')) return null
    const lang = id.endsWith('.ts') ? 'ts' : 'js'
    const texts: Node[] = []
    collect(parseAst(code, { lang, range: true }, id), false, texts)
    if (texts.length === 0) return null
    return texts.reduceRight(
      (left, { start, end }) => `${left.slice(0, start)}''${left.slice(end)}`,
      code,
    )
  },
}

/** The outermost texts within what makes an error, in the order of the source. */
function collect(node: Node, inError: boolean, texts: Node[]): void {
  if (inError && isText(node)) {
    texts.push(node)
    return
  }
  const error = inError || makesError(node)
  for (const child of Object.values(node) as unknown[]) {
    for (const one of Array.isArray(child) ? (child as unknown[]) : [child]) {
      if (typeof one === 'object' && one !== null && 'type' in one)
        collect(one as Node, error, texts)
    }
  }
}

function makesError({ type, callee }: Node): boolean {
  return (
    type === 'ThrowStatement' ||
    (type === 'NewExpression' && (callee?.name ?? '').endsWith('Error'))
  )
}

function isText({ type, value, quasis }: Node): boolean {
  if (type === 'Literal') return typeof value === 'string' && value.includes(' ')
  return (
    type === 'TemplateLiteral' && (quasis?.some((part) => part.value.raw.includes(' ')) ?? false)
  )
}
