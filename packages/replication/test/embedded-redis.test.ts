import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { redisProgram } from '@weft/testkit'
import { EmbeddedRedis } from '../src/index.ts'

const program = redisProgram()
const withRedis = program === undefined ? test.skip : test

withRedis('one that stands still (SIGSTOP) is stopped all the same', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weft-embedded-redis-'))
  const redis = await EmbeddedRedis.start({ program: program as string, folder })
  process.kill(redis.pid, 'SIGSTOP')
  await redis.stop()
  expect(await redis.exited).toMatch(/^(exit 0|SIGKILL)$/)
  await rm(folder, { recursive: true, force: true })
})
