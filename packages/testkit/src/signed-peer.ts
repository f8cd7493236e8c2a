import { hash } from 'node:crypto'
import { type LocalSigner, makeSigner, makeVerifier, type Verifier } from '@weft/matrix'

/** A pretend remote server: a name and a key, with which it signs whatever a test wants signed. */
export class SignedPeer {
  readonly serverName: string
  readonly signer: LocalSigner
  readonly verifier: Verifier
  /** Milliseconds since the epoch until which its key is valid. */
  readonly validUntil: number

  /** @param options.seed 32 bytes; made from the name otherwise, so that a server has the same key in every test */
  constructor(serverName: string, options: { readonly seed?: Uint8Array; readonly validUntil?: number } = {}) {
    this.serverName = serverName
    const seed = options.seed ?? hash('sha256', `signed peer ${serverName}`, 'buffer')
    this.signer = makeSigner(serverName, 'ed25519:1', seed)
    this.verifier = makeVerifier(this.signer.publicKey) as Verifier
    this.validUntil = options.validUntil ?? Number.MAX_SAFE_INTEGER
  }

  user(name: string): string {
    return `@${name}:${this.serverName}`
  }
}

/** The keys that these servers have published. */
export class PeerKeys {
  readonly #peers = new Map<string, SignedPeer>()
  /** How often a key was asked for. */
  lookups = 0

  constructor(peers: Iterable<SignedPeer>) {
    for (const peer of peers) this.add(peer)
  }

  add(peer: SignedPeer): void {
    this.#peers.set(peer.serverName, peer)
  }

  async verifyKey(serverName: string, keyId: string, validAt: number | undefined): Promise<Verifier | undefined> {
    this.lookups++
    const peer = this.#peers.get(serverName)
    if (peer === undefined || peer.signer.keyId !== keyId) return undefined
    return validAt === undefined || validAt <= peer.validUntil ? peer.verifier : undefined
  }
}
