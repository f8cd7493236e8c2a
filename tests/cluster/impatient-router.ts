/** The real router with less patience: `impatient-router.ts CONFIG`. A head and a body have two seconds each to arrive. */
import { composeWithLimits } from '@weft/app-router'
import { runProcess } from '@weft/kernel'

await runProcess('router', (context) => composeWithLimits(context, { headersMs: 2000, bodyMs: 2000 }), {
  configPath: process.argv[2] ?? '',
})
