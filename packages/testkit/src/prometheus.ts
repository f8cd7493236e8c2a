/** Figures of one moment, as a process shows them to Prometheus. */
export interface Figures {
  /** The sum of a metric over the given labels; 0 for one that is not there. */
  value(name: string, labels?: Readonly<Record<string, string>>): number
  /** The values of one label of a metric, with its figure. */
  by(name: string, label: string): Map<string, number>
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Reads Prometheus's text format. */
export function parseMetrics(text: string): Figures {
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (match === null) continue
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [key, value]))
    samples.push({ name: match[1] as string, labels, value: Number(match[3]) })
  }
  return {
    value(name, labels = {}) {
      const wanted = Object.entries(labels)
      return samples
        .filter((sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value))
        .reduce((sum, sample) => sum + sample.value, 0)
    },
    by(name, label) {
      const values = new Map<string, number>()
      for (const sample of samples) {
        const key = sample.labels[label]
        if (sample.name === name && key !== undefined) values.set(key, (values.get(key) ?? 0) + sample.value)
      }
      return values
    },
  }
}
