import type { ClientConfig } from 'pg'
import { typeParsers } from './batch.ts'

/** Where a database is, by parts. `host` is a name, an address, or the folder of a unix socket. */
export interface ConnectionParts {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password?: string
  readonly database: string
  readonly ssl?: ClientConfig['ssl']
}

/** A `postgresql://` URL, or its parts. */
export type Connection = string | ConnectionParts

/** Settings of pg that every connection of ours has. */
export function clientConfig(connection: Connection, applicationName: string): ClientConfig {
  return {
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    application_name: applicationName,
    types: typeParsers,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: 5_000,
  }
}

/** The connection as a URL that pg and Prisma read (for child processes and for printing: it holds the password). */
export function connectionUrl(connection: Connection): string {
  if (typeof connection === 'string') return connection
  const { host, port, user, password, database } = connection
  const credentials = `${encodeURIComponent(user)}${password === undefined ? '' : `:${encodeURIComponent(password)}`}`
  if (host.startsWith('/'))
    return `postgresql://${credentials}@localhost:${port}/${encodeURIComponent(database)}?host=${encodeURIComponent(host)}`
  return `postgresql://${credentials}@${host.includes(':') ? `[${host}]` : host}:${port}/${encodeURIComponent(database)}`
}

/** The same server with another database. */
export function withDatabase(connection: Connection, database: string): Connection {
  if (typeof connection !== 'string') return { ...connection, database }
  const url = new URL(connection)
  url.pathname = `/${encodeURIComponent(database)}`
  return url.href
}
