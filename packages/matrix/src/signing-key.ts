import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { decodeBase64, encodeBase64, withoutPadding } from './base64.ts'
import { isServerKeyId } from './ids.ts'

/** Signs for one server with one key. A key may live elsewhere, so everything that signs takes this interface. */
export interface Signer {
  readonly serverName: string
  /** `ed25519:name`. */
  readonly keyId: string
  /** The signature in unpadded Base64. */
  sign(bytes: Uint8Array): string
}

/** A signer that knows its public key, to be published. */
export interface LocalSigner extends Signer {
  /** Unpadded Base64. */
  readonly publicKey: string
}

/** Checks signatures of one public key, with the key prepared once (about 10 µs that a check then saves). */
export interface Verifier {
  verify(bytes: Uint8Array, signature: string): boolean
  /** For `crypto.verify` with a callback, which runs on the thread pool. */
  readonly key: KeyObject
}

// DER headers of an ed25519 key, RFC 8410: node:crypto takes no raw keys.
const PKCS8_HEADER = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_HEADER = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * A signer over a kept key object.
 *
 * Spec: appendices, "Signing Details".
 * @throws RangeError when the seed has not 32 bytes
 */
export function makeSigner(serverName: string, keyId: string, seed: Uint8Array): LocalSigner {
  if (seed.length !== 32) throw new RangeError(`an ed25519 seed has 32 bytes, not ${seed.length}`)
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEADER, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return {
    serverName,
    keyId,
    publicKey: encodeBase64(spki.subarray(SPKI_HEADER.length)),
    sign: (bytes) => withoutPadding(sign(null, bytes, key).toString('base64')),
  }
}

/** A verifier for a public key in Base64; `undefined` when it is no ed25519 key. */
export function makeVerifier(publicKeyBase64: string): Verifier | undefined {
  const raw = decodeBase64(publicKeyBase64)
  if (raw?.length !== 32) return undefined
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEADER, raw]), format: 'der', type: 'spki' })
  return {
    key,
    verify(bytes, signature) {
      const decoded = decodeBase64(signature)
      return decoded?.length === 64 && verify(null, bytes, key, decoded)
    },
  }
}

/**
 * True when the signature of these bytes is this key's. Malformed keys and signatures are false.
 * Spec: appendices, "Checking for a Signature".
 */
export function verifySignature(publicKeyBase64: string, bytes: Uint8Array, signature: string): boolean {
  return makeVerifier(publicKeyBase64)?.verify(bytes, signature) ?? false
}

/** A signing key as Synapse's file keeps it. */
export interface StoredSigningKey {
  /** `ed25519:a_abcd`. */
  readonly keyId: string
  readonly seed: Uint8Array
}

/**
 * Reads a signing key file: a line per key, `ed25519 a_abcd <unpadded Base64 seed>`. The first key is the one to sign with.
 *
 * @throws Error naming the line, never its secret
 */
export function parseSigningKeyFile(text: string): StoredSigningKey[] {
  const keys: StoredSigningKey[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    const [algorithm, name, seedText, ...rest] = line.trim().split(/\s+/)
    const keyId = `${algorithm}:${name}`
    const seed = seedText === undefined ? undefined : decodeBase64(seedText)
    if (algorithm !== 'ed25519' || !isServerKeyId(keyId) || seed?.length !== 32 || rest.length > 0) {
      throw new Error(`signing key file, line ${index + 1}: expected "ed25519 <name> <Base64 of 32 bytes>"`)
    }
    keys.push({ keyId, seed })
  }
  if (keys.length === 0) throw new Error('signing key file: no key in it')
  return keys
}

/** Writes a signing key file that Synapse reads too. */
export function formatSigningKeyFile(keys: readonly StoredSigningKey[]): string {
  return keys.map(({ keyId, seed }) => `ed25519 ${keyId.slice('ed25519:'.length)} ${encodeBase64(seed)}\n`).join('')
}
