import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OperatorError, renderTryOutConfig } from '@weft/kernel'
import { formatSigningKeyFile } from '@weft/matrix'
import sodium from 'libsodium-wrappers'

/** A secret of 256 bits. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * A new signing key in Synapse's file format. The pair comes from libsodium and is checked against itself: a key whose public
 * part is not its private part's would sign nothing that anybody could verify (R11).
 */
export async function newSigningKey(): Promise<string> {
  await sodium.ready
  const seed = sodium.randombytes_buf(sodium.crypto_sign_SEEDBYTES)
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed)
  const probe = sodium.crypto_sign_detached('weft', privateKey)
  if (sodium.memcmp(publicKey, seed) || !sodium.crypto_sign_verify_detached(probe, 'weft', publicKey)) {
    throw new Error('the generated signing key does not verify its own signature')
  }
  const version = `a_${randomBytes(3).toString('hex')}`
  return formatSigningKeyFile([{ keyId: `ed25519:${version}`, seed: Buffer.from(seed) }])
}

/** Writes a file that must not be there yet. @throws OperatorError when it is, or cannot be written */
export async function writeNew(path: string, text: string, mode: number): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await using file = await open(path, 'wx', mode)
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    throw new OperatorError(`${path} cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

/** Makes homeserver.yaml for trying out, with its signing key beside it, unless there is one. @returns whether it was made */
export async function ensureTryOutConfig(path: string): Promise<boolean> {
  if (existsSync(path)) return false
  const keyFile = join(dirname(path), 'data', 'signing.key')
  if (!existsSync(keyFile)) await writeNew(keyFile, await newSigningKey(), 0o600)
  const text = renderTryOutConfig({
    serverName: 'localhost',
    internalSecret: newSecret(),
    registrationSharedSecret: newSecret(),
    signingKeyPath: `data/${basename(keyFile)}`,
  })
  await writeNew(path, text, 0o600)
  return true
}
