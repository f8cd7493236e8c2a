import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { firstDifference, generatedFiles, outdated } from '../../tooling/generate.ts'

test('what is missing or different is found, what is the same is not', async () => {
  const root = mkdtempSync(join(tmpdir(), 'weft-generate-'))
  try {
    writeFileSync(join(root, 'same.md'), 'text\n')
    writeFileSync(join(root, 'old.md'), 'text\nof yesterday\n')
    const render = () => 'text\n\n'
    const differing = await outdated(root, [
      { file: 'same.md', render },
      { file: 'old.md', render },
      { file: 'new.md', render },
    ])
    expect(differing.map(({ file, text, present }) => `${file} ${firstDifference(present, text)}`)).toEqual([
      'old.md line 2 is "of yesterday" and should be ""',
      'new.md is not there',
    ])
  } finally {
    rmSync(root, { recursive: true })
  }
})

test('two runs render the same, so that --check can compare', async () => {
  for (const { render } of generatedFiles) expect(await render()).toBe(await render())
})
