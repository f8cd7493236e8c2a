import { readFile } from 'node:fs/promises'
import type { Config } from '@weft/kernel'
import { type LocalSigner, makeSigner, parseSigningKeyFile, verifySignature } from '@weft/matrix'

/**
 * Reads the server's signing key and proves it: what it signs must verify under its own public key (R11).
 * @throws Error that names the file and the remedy
 */
export async function loadSigner(config: Config): Promise<LocalSigner> {
  let text: string
  try {
    text = await readFile(config.signing_key_path, 'utf8')
  } catch (cause) {
    throw new Error(`cannot read the signing key ${config.signing_key_path}: make one with \`weft generate-config\``, { cause })
  }
  const [key] = parseSigningKeyFile(text)
  if (key === undefined) throw new Error(`${config.signing_key_path} holds no ed25519 signing key`)
  const signer = makeSigner(config.server_name, key.keyId, key.seed)
  const probe = Buffer.from('weft signing key self-test')
  if (!verifySignature(signer.publicKey, probe, signer.sign(probe))) {
    throw new Error(`${config.signing_key_path}: signatures of this key do not verify`)
  }
  return signer
}
