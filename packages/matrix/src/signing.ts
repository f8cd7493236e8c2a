import { withoutPadding } from './base64.ts'
import { canonicalJson } from './canonical-json.ts'
import { contentHash, type Pdu, redactedText } from './event.ts'
import { serverNameOf } from './ids.ts'
import { isJsonObject, type JsonObject, own, ownObject, ownString, setOwn } from './json.ts'
import type { RoomVersion } from './room-version.ts'
import { makeVerifier, type Signer, type Verifier } from './signing-key.ts'
import { ALLOWED, reject, type Verdict } from './verdict.ts'

/** The bytes that a signature on this object covers: canonical JSON without `signatures` and `unsigned`. Spec: appendices, "Signing Details". */
export function signingBytes(object: JsonObject): Uint8Array {
  const { signatures: _signatures, unsigned: _unsigned, ...covered } = object
  return Buffer.from(canonicalJson(covered))
}

/** The object with this signer's signature added to those it has. Spec: appendices, "Signing Details". */
export function signJson(object: JsonObject, signer: Signer): JsonObject {
  const signature = signer.sign(signingBytes(object))
  return { ...object, signatures: withSignature(own(object, 'signatures'), signer, signature) }
}

/** The signature of a server's key on the object, if it has one. */
export function signatureOf(object: JsonObject, serverName: string, keyId: string): string | undefined {
  const signatures = ownObject(object, 'signatures')
  const ofServer = signatures && ownObject(signatures, serverName)
  return ofServer && ownString(ofServer, keyId)
}

/** The ids of the ed25519 keys with which a server has signed the object. Spec: appendices, "Checking for a Signature", steps 1 and 2. */
export function signingKeyIds(object: JsonObject, serverName: string): string[] {
  const signatures = ownObject(object, 'signatures')
  const ofServer = signatures && ownObject(signatures, serverName)
  return ofServer === undefined ? [] : Object.keys(ofServer).filter((keyId) => keyId.startsWith('ed25519:'))
}

/**
 * Checks one signature on an object.
 *
 * Spec: appendices, "Checking for a Signature".
 * @param key the public key in Base64, or a kept verifier
 */
export function verifyJson(object: JsonObject, serverName: string, keyId: string, key: string | Verifier): Verdict {
  const signature = signatureOf(object, serverName, keyId)
  if (signature === undefined) return reject('signature.missing', `no signature of ${serverName} with ${keyId}`)
  const verifier = typeof key === 'string' ? makeVerifier(key) : key
  if (verifier === undefined) return reject('signature.key', `${keyId} of ${serverName} is no ed25519 key`)
  if (!verifier.verify(signingBytes(object), signature)) {
    return reject('signature.wrong', `the signature of ${serverName} with ${keyId} does not match`)
  }
  return ALLOWED
}

/** The event with its content hash and this signer's signature. Spec: server-server API, "Adding hashes and signatures to outgoing events". */
export function signEvent(pdu: Pdu, version: RoomVersion, signer: Signer): Pdu {
  return addEventSignature({ ...pdu, hashes: { sha256: contentHash(pdu) } }, version, signer)
}

/** The event with one more signature, as an authorising or invited server adds it. Spec: server-server API, "Signing Events". */
export function addEventSignature(pdu: Pdu, version: RoomVersion, signer: Signer): Pdu {
  const signature = signer.sign(Buffer.from(redactedText(pdu, version)))
  return { ...pdu, signatures: withSignature(pdu.signatures, signer, signature) }
}

/** The bytes that signatures on an event cover. Made once, they serve all its signatures. Spec: server-server API, "Signing Events". */
function eventSigningBytes(pdu: Pdu, version: RoomVersion): Uint8Array {
  return Buffer.from(redactedText(pdu, version))
}

/** Checks one signature on an event. Spec: server-server API, "Validating hashes and signatures on received events". */
export function verifyEventSignature(pdu: Pdu, version: RoomVersion, serverName: string, keyId: string, key: string | Verifier): Verdict {
  const signature = signatureOf(pdu as JsonObject, serverName, keyId)
  if (signature === undefined) return reject('signature.missing', `no signature of ${serverName} with ${keyId}`)
  const verifier = typeof key === 'string' ? makeVerifier(key) : key
  if (verifier === undefined) return reject('signature.key', `${keyId} of ${serverName} is no ed25519 key`)
  if (!verifier.verify(eventSigningBytes(pdu, version), signature)) {
    return reject('signature.wrong', `the signature of ${serverName} with ${keyId} does not match`)
  }
  return ALLOWED
}

/**
 * True when the event's content hash is right. If not, the redacted copy is used in its place.
 * Spec: server-server API, "Validating hashes and signatures on received events".
 */
export function hasRightContentHash(pdu: Pdu): boolean {
  const claimed = ownString(pdu.hashes, 'sha256')
  return claimed !== undefined && withoutPadding(claimed) === contentHash(pdu)
}

/**
 * The servers whose signatures an event must carry: the sender's, unless it is an invite by a third party identifier; the
 * event id's in room versions 1 and 2; the authorising user's for a restricted join.
 *
 * Spec: server-server API, "Validating hashes and signatures on received events"; room version 8, rule 4.2.
 */
export function requiredSigners(pdu: Pdu, version: RoomVersion): string[] {
  const servers = new Set<string>()
  const member = pdu.type === 'm.room.member'
  const byThirdParty = member && own(pdu.content, 'membership') === 'invite' && isJsonObject(own(pdu.content, 'third_party_invite'))
  if (!byThirdParty) addServer(servers, pdu.sender)
  if (version.eventFormat === 1 && pdu.event_id !== undefined) addServer(servers, pdu.event_id)
  if (version.restrictedJoin && member) {
    const authoriser = ownString(pdu.content, 'join_authorised_via_users_server')
    if (authoriser !== undefined) addServer(servers, authoriser)
  }
  return [...servers]
}

function addServer(servers: Set<string>, id: string): void {
  const server = serverNameOf(id)
  // An id without a server name asks for a signature nobody can give, which is the refusal it deserves.
  servers.add(server ?? '')
}

function withSignature(signatures: unknown, signer: Signer, signature: string): JsonObject {
  const all: JsonObject = isJsonObject(signatures) ? { ...signatures } : {}
  const ofServer: JsonObject = { ...ownObject(all, signer.serverName) }
  setOwn(ofServer, signer.keyId, signature)
  setOwn(all, signer.serverName, ofServer)
  return all
}
