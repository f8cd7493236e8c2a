import { runProcess } from '@weft/kernel'
import { compose } from './compose.ts'

await runProcess('writer', compose)
