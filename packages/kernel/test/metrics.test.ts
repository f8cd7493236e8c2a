import { describe, expect, test } from '@jest/globals'
import { defineMetrics, Metrics, renderMetricsDoc } from '../src/index.ts'
import { observeProcess } from '../src/metrics/process-metrics.ts'

const definitions = defineMetrics({
  requests: { type: 'counter', name: 'weft_requests_total', help: 'Requests | all.', labels: ['route', 'status'] },
  restarts: { type: 'counter', name: 'weft_restarts_total', help: 'Restarts.', labels: [] },
  queue: { type: 'gauge', name: 'weft_queue_items', help: 'Waiting.', labels: [] },
  shards: { type: 'gauge', name: 'weft_shards', help: 'Shards.', labels: ['state'] },
  seconds: { type: 'histogram', name: 'weft_seconds', help: 'Time.', labels: ['route'], buckets: [0.1, 1] },
})

test('instruments count, and Prometheus reads them', async () => {
  const metrics = new Metrics()
  const { requests, restarts, queue, shards, seconds } = metrics.use(definitions)
  requests.inc({ route: 'a', status: 200 })
  requests.inc({ route: 'a', status: 200 }, 2)
  restarts.inc()
  restarts.inc(4)
  queue.set(7)
  queue.dec()
  shards.set({ state: 'owned' }, 3)
  seconds.observe({ route: 'a' }, 0.5)
  seconds.observe({ route: 'b' }, 5)
  const text = await metrics.text()
  for (const line of [
    'weft_requests_total{route="a",status="200"} 3',
    'weft_restarts_total 5',
    'weft_queue_items 6',
    'weft_shards{state="owned"} 3',
    'weft_seconds_bucket{le="0.1",route="a"} 0',
    'weft_seconds_bucket{le="1",route="a"} 1',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
  expect(await metrics.value('weft_requests_total', { status: 200 })).toBe(3)
  expect(await metrics.value('weft_seconds')).toBe(2)
  expect(await metrics.value('weft_seconds', { route: 'b' })).toBe(1)
  expect(await metrics.value('weft_unknown')).toBe(0)
  expect(metrics.contentType).toContain('text/plain')
})

test('two process objects do not meet, compositions of one share instruments', async () => {
  const [one, two] = [new Metrics(), new Metrics()]
  one.use(definitions).restarts.inc()
  one.use(definitions).restarts.inc()
  two.use(definitions).restarts.inc()
  expect(await one.value('weft_restarts_total')).toBe(2)
  expect(await two.value('weft_restarts_total')).toBe(1)
})

test('sampled values are read on demand, add up, and end', async () => {
  const metrics = new Metrics()
  const { queue, shards, restarts } = metrics.use(definitions)
  let reads = 0
  const end = queue.sample(() => {
    reads++
    return 5
  })
  queue.sample(() => 2)
  shards.sample(() => [[{ state: 'owned' }, 3]])
  restarts.sample(() => 9)
  expect(reads).toBe(0)
  expect(await metrics.value('weft_queue_items')).toBe(7)
  expect(await metrics.value('weft_queue_items')).toBe(7)
  expect(reads).toBe(2)
  expect(await metrics.value('weft_shards', { state: 'owned' })).toBe(3)
  expect(await metrics.value('weft_restarts_total')).toBe(9)
  end()
  expect(await metrics.value('weft_queue_items')).toBe(2)
})

describe('definitions', () => {
  const base = { help: 'x', labels: [] } as const

  test('break no habit of Prometheus', () => {
    expect(() => defineMetrics({ a: { ...base, type: 'counter', name: 'weft_a' } })).toThrow(/end in _total/)
    expect(() => defineMetrics({ a: { ...base, type: 'gauge', name: 'weft_a_total' } })).toThrow(/end in _total/)
    expect(() => defineMetrics({ a: { ...base, type: 'gauge', name: 'weftA' } })).toThrow(/lower case/)
    expect(() => defineMetrics({ a: { ...base, type: 'gauge', name: 'weft_a', buckets: [1] } })).toThrow(/only a histogram/)
    for (const label of ['job', 'instance', 'le', 'quantile'])
      expect(() => defineMetrics({ a: { ...base, type: 'gauge', name: 'weft_a', labels: ['state', label] } })).toThrow(/reserved/)
  })

  test('that contradict each other are refused', () => {
    const metrics = new Metrics()
    metrics.use(definitions)
    expect(() => metrics.use({ a: { ...base, type: 'gauge', name: 'weft_restarts_total' } })).toThrow(/defined twice/)
  })

  test('are the manual', () => {
    expect(renderMetricsDoc([{ title: 'HTTP', definitions }])).toContain(
      '| `weft_requests_total` | counter | `route`, `status` | Requests \\| all. |',
    )
  })
})

test('a process shows itself', async () => {
  const metrics = new Metrics()
  const end = observeProcess(metrics, { class: 'sync', instance: 'sync-1', version: '0' })
  const text = await metrics.text()
  end()
  expect(text).toContain('weft_process_info{class="sync",process="sync-1",version="0"} 1')
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
    'nodejs_heap_size_used_bytes',
  ]) {
    expect(Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])).toBeGreaterThan(0)
  }
  for (const percentile of [50, 99, 100])
    expect(text).toMatch(new RegExp(`^nodejs_eventloop_delay_seconds\\{percentile="${percentile}"\\} \\d`, 'm'))
})
