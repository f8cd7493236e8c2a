import { stripTypeScriptTypes } from 'node:module'

/** Strips types the way `node file.ts` does, so that a test runs the text that production runs, line for line. */
export default {
  process(source) {
    return { code: stripTypeScriptTypes(source) }
  },
}
