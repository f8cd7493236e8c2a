import { verify } from 'node:crypto'
import {
  ALLOWED,
  decodeBase64,
  type LocalSigner,
  makeVerifier,
  type Pdu,
  type RoomVersion,
  reject,
  requiredSigners,
  signatureOf,
  signingKeyIds,
  type Verdict,
  type Verifier,
} from '@weft/matrix'
import type { ReceivedEvent } from './read-pdu.ts'

/** Where the public keys of servers come from. Answers for this server's own keys too. */
export interface KeyLookup {
  /**
   * The key, if the server has published it.
   * @param validAt milliseconds since the epoch at which it has to be valid; absent in room versions that do not ask
   */
  verifyKey(serverName: string, keyId: string, validAt: number | undefined): Promise<Verifier | undefined>
}

/** The key of this server alone. */
export function ownKeys(signer: LocalSigner): KeyLookup {
  const verifier = makeVerifier(signer.publicKey)
  return {
    verifyKey: async (serverName, keyId) => (serverName === signer.serverName && keyId === signer.keyId ? verifier : undefined),
  }
}

/** Keys that are looked up for one server's signature at most: each may cost a request to that server. */
const MAX_KEYS_TRIED = 3

/**
 * Checks that every server that has to sign an event has signed it. The arithmetic runs on the thread pool.
 *
 * Spec: server-server API, "Validating hashes and signatures on received events"; room version 5, "Signing key validity period".
 */
export async function verifySignatures(event: ReceivedEvent, version: RoomVersion, keys: KeyLookup): Promise<Verdict> {
  const { pdu } = event
  const validAt = version.enforceKeyValidity ? pdu.origin_server_ts : undefined
  const bytes = Buffer.from(event.signedText)
  for (const serverName of requiredSigners(pdu, version)) {
    if (!(await hasSigned(pdu, serverName, bytes, validAt, keys))) {
      return reject('signature', `no valid signature of ${serverName === '' ? 'an id without a server' : serverName}`)
    }
  }
  return ALLOWED
}

async function hasSigned(pdu: Pdu, serverName: string, bytes: Buffer, validAt: number | undefined, keys: KeyLookup): Promise<boolean> {
  for (const keyId of signingKeyIds(pdu as never, serverName).slice(0, MAX_KEYS_TRIED)) {
    const signature = decodeBase64(signatureOf(pdu as never, serverName, keyId) ?? '')
    if (signature?.length !== 64) continue
    const key = await keys.verifyKey(serverName, keyId, validAt)
    if (key !== undefined && (await isSignature(key, bytes, signature))) return true
  }
  return false
}

function isSignature({ key }: Verifier, bytes: Buffer, signature: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => verify(null, bytes, key, signature, (error, valid) => resolve(error === null && valid)))
}
