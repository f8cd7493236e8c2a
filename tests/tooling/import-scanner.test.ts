import { describe, expect, test } from '@jest/globals'
import { importsOf } from '../../tooling/import-scanner.ts'

const specifiers = (text: string) => importsOf(text).map(({ specifier }) => specifier)

describe('importsOf', () => {
  test('finds every form of an import, with its line', () => {
    const text = [
      "import 'side-effect'",
      "import a from 'default'",
      "import * as all from 'namespace'",
      'import { b,',
      "  c as d } from 'named'",
      "export { e } from 'reexport'",
      "export * as f from 'star'",
      "const g = await import('dynamic')",
      "const { h } = a ? await import('one') : await import('other')",
    ].join('\n')
    expect(importsOf(text).map(({ specifier, line }) => `${line} ${specifier}`)).toEqual([
      '1 side-effect',
      '2 default',
      '3 namespace',
      '4 named',
      '6 reexport',
      '7 star',
      '8 dynamic',
      '9 one',
      '9 other',
    ])
  })

  test('tells types from what is loaded when the file runs', () => {
    const text = [
      "import type { A } from 'types'",
      "export type { B } from 'reexported-types'",
      "export type * from 'all-types'",
      "let c: typeof import('module-type')",
      "import { type D } from 'still-loaded'",
      "import type from 'default-named-type'",
    ].join('\n')
    expect(importsOf(text).map(({ specifier, typeOnly }) => [specifier, typeOnly])).toEqual([
      ['types', true],
      ['reexported-types', true],
      ['all-types', true],
      ['module-type', true],
      ['still-loaded', false],
      ['default-named-type', false],
    ])
  })

  test('is not deceived by comments, strings, templates and regular expressions', () => {
    expect(
      specifiers(
        [
          "// import 'comment'",
          "/* import 'block' */",
          'const a = "import \'text\'"',
          // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is what is scanned
          "const b = `import 'template' ${`nested import 'inner'`} from 'x'`",
          "const c = /import '[/']/.test(d)",
          "const e = f / g; import 'after-division'",
          'const h = { import: 1, from: 2 }; h.import; import.meta.dirname',
          "export const from = 'no module'",
          "export { h }; const i = 'no module either'",
          "import 'last'",
        ].join('\n'),
      ),
    ).toEqual(['after-division', 'last'])
  })

  test('finds a dynamic import inside a template', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is what is scanned
    expect(specifiers("const a = `x ${await import('inside')} y`")).toEqual(['inside'])
  })
})
