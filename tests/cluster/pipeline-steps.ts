/** Where an event stands on its way, in order. */
export const steps = {
  validated: 'between validation and the reservation of positions',
  reserved: 'between the reservation and the insert',
  inserted: 'between the insert and the commit',
  sent: 'before the answer to the commit',
  committed: 'between the commit and the announcement',
  announced: 'right after the announcement',
  acknowledged: 'after the acknowledgement, its announcement lost',
} as const

export type Step = keyof typeof steps
