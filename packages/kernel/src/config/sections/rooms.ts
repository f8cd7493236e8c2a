import { z } from 'zod'
import { duration } from '../units.ts'

export const rooms = {
  redaction_retention_period: z
    .union([duration(), z.null()])
    .prefault('7d')
    .meta({
      description:
        'How long after its redaction the text of an event stays in the database, where an administrator may still look at it. Nobody else is shown it from the redaction on. `null` keeps it for ever.',
      examples: ['28d'],
    }),
}
