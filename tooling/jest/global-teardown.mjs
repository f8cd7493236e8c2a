export default async function globalTeardown() {
  await globalThis.weftTestServer?.stop()
}
