/** What a parameter is on the wire: text, bytes or NULL. */
export type WireValue = string | Buffer | null

/** Memory for some ten batches. */
const SLAB_BYTES = 32 * 1024
const LEAST_BYTES = 4 * 1024

/**
 * Writes the messages of a batch of prepared statements into one piece of memory, so that they leave in one write. pg's own serializer
 * makes a buffer a message, which grows as it is filled: 13 of them for a send's three statements, a third of what this side spends on it.
 * (PostgreSQL: "Frontend/Backend Protocol, Message Formats".)
 */
export class WireWriter {
  #buffer: Buffer = Buffer.allocUnsafe(SLAB_BYTES)
  #at = 0

  parse(name: string, text: string): void {
    const length = this.#begin(0x50, name.length * 3 + text.length * 3 + 16)
    this.#cstring(name)
    this.#cstring(text)
    this.#int16(0)
    this.#end(length)
  }

  /** Text parameters as text, bytes in binary; results as text. */
  bind(statement: string, values: readonly WireValue[]): void {
    let room = statement.length * 3 + 32 + values.length * 6
    for (const value of values) if (value !== null) room += typeof value === 'string' ? value.length * 3 : value.length
    const length = this.#begin(0x42, room)
    this.#int8(0)
    this.#cstring(statement)
    this.#int16(values.length)
    for (const value of values) this.#int16(value instanceof Buffer ? 1 : 0)
    this.#int16(values.length)
    for (const value of values) {
      if (value === null) this.#int32(-1)
      else if (typeof value === 'string') {
        const at = this.#at
        this.#at += 4
        this.#at += this.#buffer.write(value, this.#at)
        this.#buffer.writeInt32BE(this.#at - at - 4, at)
      } else {
        this.#int32(value.length)
        this.#at += value.copy(this.#buffer, this.#at)
      }
    }
    this.#int16(0)
    this.#end(length)
  }

  describe(): void {
    const length = this.#begin(0x44, 8)
    this.#int8(0x50)
    this.#int8(0)
    this.#end(length)
  }

  execute(): void {
    const length = this.#begin(0x45, 16)
    this.#int8(0)
    this.#int32(0)
    this.#end(length)
  }

  sync(): void {
    this.#end(this.#begin(0x53, 8))
  }

  /** What was written since the last call. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#at)
    // The socket may hold on to it until it is sent: what follows goes behind it.
    const rest = this.#buffer.subarray(this.#at)
    this.#buffer = rest.length >= LEAST_BYTES ? rest : Buffer.allocUnsafe(SLAB_BYTES)
    this.#at = 0
    return taken
  }

  #begin(type: number, room: number): number {
    if (this.#at + room > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + room))
      this.#buffer.copy(larger, 0, 0, this.#at)
      this.#buffer = larger
    }
    this.#int8(type)
    const length = this.#at
    this.#at += 4
    return length
  }

  #end(length: number): void {
    this.#buffer.writeInt32BE(this.#at - length, length)
  }

  #int8(value: number): void {
    this.#buffer[this.#at++] = value
  }

  #int16(value: number): void {
    this.#at = this.#buffer.writeUInt16BE(value, this.#at)
  }

  #int32(value: number): void {
    this.#at = this.#buffer.writeInt32BE(value, this.#at)
  }

  #cstring(text: string): void {
    this.#at += this.#buffer.write(text, this.#at)
    this.#buffer[this.#at++] = 0
  }
}
