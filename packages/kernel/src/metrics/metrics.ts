import { Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram, Registry } from 'prom-client'
import type { MetricDefinition, MetricDefinitions } from './definitions.ts'

/** A value for each label. */
export type LabelValues<Labels extends readonly string[]> = { readonly [Name in Labels[number]]: string | number }

/** Labels come first, and only where the metric has some: `requests.inc({ status: 200 })`, `restarts.inc()`. */
type WithLabels<Labels extends readonly string[], Rest extends readonly unknown[]> = Labels extends readonly []
  ? Rest
  : [labels: LabelValues<Labels>, ...rest: Rest]

/** Tells values when the metrics are read: by labels, or one number where there are none. */
export type Reading<Labels extends readonly string[]> = () => Iterable<readonly [labels: LabelValues<Labels>, value: number]> | number

/** Counts what only goes up. */
export interface Counter<Labels extends readonly string[]> {
  inc(...args: WithLabels<Labels, [by?: number]>): void
  /** Reads a count that is kept elsewhere, in place of `inc`. Returns a function that ends it. */
  sample(read: Reading<Labels>): () => void
}

/** Shows what goes up and down. */
export interface Gauge<Labels extends readonly string[]> {
  set(...args: WithLabels<Labels, [value: number]>): void
  inc(...args: WithLabels<Labels, [by?: number]>): void
  dec(...args: WithLabels<Labels, [by?: number]>): void
  /**
   * Asks for the value whenever the metrics are read, which costs nothing in between. With several such readers (two servers in one
   * process) their values are added. Returns a function that ends it.
   */
  sample(read: Reading<Labels>): () => void
}

/** Sorts observations into the buckets of its definition, in base units (seconds, bytes). */
export interface Histogram<Labels extends readonly string[]> {
  observe(...args: WithLabels<Labels, [value: number]>): void
}

/** The instrument of a definition, with its labels typed. */
export type Instrument<D extends MetricDefinition> = D['type'] extends 'counter'
  ? Counter<D['labels']>
  : D['type'] extends 'gauge'
    ? Gauge<D['labels']>
    : Histogram<D['labels']>

/** One instrument for each definition, under the same key. */
export type Instruments<Definitions extends MetricDefinitions> = { readonly [Key in keyof Definitions]: Instrument<Definitions[Key]> }

type Values = Record<string, string | number>

/** The metrics of one process object, in a registry of its own: two servers in one OS process do not meet. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #instruments = new Map<string, { definition: MetricDefinition; instrument: unknown }>()

  /** Instruments for definitions; those of equal definitions are the same, so that compositions may share one object. */
  use<const Definitions extends MetricDefinitions>(definitions: Definitions): Instruments<Definitions> {
    const instruments: Record<string, unknown> = {}
    for (const [key, definition] of Object.entries(definitions)) instruments[key] = this.#instrument(definition)
    return instruments as Instruments<Definitions>
  }

  /** What Prometheus reads. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  /** The content type of `text`. */
  get contentType(): string {
    return this.#registry.contentType
  }

  /** The sum of a metric over the given labels (of a histogram: its count); 0 for one that never moved. */
  async value(name: string, labels: Readonly<Record<string, string | number>> = {}): Promise<number> {
    const metric = await this.#registry.getSingleMetric(name)?.get()
    let sum = 0
    for (const entry of (metric?.values ?? []) as { value: number; labels: Values; metricName?: string }[]) {
      if (entry.metricName !== undefined && entry.metricName !== name && entry.metricName !== `${name}_count`) continue
      if (Object.entries(labels).every(([label, value]) => String(entry.labels[label]) === String(value))) sum += entry.value
    }
    return sum
  }

  #instrument(definition: MetricDefinition): unknown {
    const existing = this.#instruments.get(definition.name)
    if (existing) {
      if (existing.definition.type !== definition.type || existing.definition.labels.join() !== definition.labels.join())
        throw new Error(`metric ${definition.name} is defined twice, and differently`)
      return existing.instrument
    }
    const instrument = this.#make(definition)
    this.#instruments.set(definition.name, { definition, instrument })
    return instrument
  }

  #make({ type, name, help, labels, buckets }: MetricDefinition): unknown {
    const options = { name, help, labelNames: [...labels], registers: [this.#registry] }
    const labelled = labels.length > 0
    if (type === 'histogram') {
      const histogram = new PromHistogram(buckets ? { ...options, buckets: [...buckets] } : options)
      return {
        observe: labelled
          ? (values: Values, value: number) => histogram.observe(values, value)
          : (value: number) => histogram.observe(value),
      }
    }
    const readers = new Set<AnyReading>()
    const collect = (): void => refresh(metric, readers)
    const metric = type === 'counter' ? new PromCounter({ ...options, collect }) : new PromGauge({ ...options, collect })
    const sample = (read: AnyReading): (() => void) => {
      readers.add(read)
      return () => {
        readers.delete(read)
        metric.reset()
      }
    }
    const inc = labelled ? (values: Values, by = 1) => metric.inc(values, by) : (by = 1) => metric.inc(by)
    if (metric instanceof PromCounter) return { inc, sample }
    const set = labelled ? (values: Values, value: number) => metric.set(values, value) : (value: number) => metric.set(value)
    const dec = labelled ? (values: Values, by = 1) => metric.dec(values, by) : (by = 1) => metric.dec(by)
    return { inc, dec, set, sample }
  }
}

type AnyReading = () => Iterable<readonly [Values, number]> | number

/** Asks the readers anew; their values add up. */
function refresh(
  metric: { reset(): void; inc(by: number): void; inc(values: Values, by: number): void },
  readers: ReadonlySet<AnyReading>,
): void {
  if (readers.size === 0) return
  metric.reset()
  for (const read of readers) {
    const sampled = read()
    if (typeof sampled === 'number') metric.inc(sampled)
    else for (const [values, value] of sampled) metric.inc(values, value)
  }
}
