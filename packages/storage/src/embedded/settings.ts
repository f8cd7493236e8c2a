/** What the embedded server is run with; on the command line, so that a new release's values take effect at once. */
export interface ServerSettings {
  readonly major: number
  readonly socketDir: string
  readonly maxConnections: number
  /** Off only for tests: acknowledged means committed. */
  readonly fsync: boolean
}

/** The port in the socket's file name; nothing listens on the network. */
export const socketPort = 5432

export function serverSettings({ major, socketDir, maxConnections, fsync }: ServerSettings): Record<string, string> {
  return {
    listen_addresses: '',
    port: String(socketPort),
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
    max_connections: String(maxConnections),
    // Sized for one small machine: the whole of weft with its server is to stay under 220 MB.
    shared_buffers: fsync ? '32MB' : '64MB',
    huge_pages: 'off',
    max_worker_processes: '2',
    max_parallel_workers: '0',
    max_parallel_workers_per_gather: '0',
    autovacuum_max_workers: '1',
    // Three worker processes less than the default of 18.
    ...(major >= 18 ? { io_method: 'sync' } : {}),
    // Plans are short and prepared; compiling them costs more than it saves.
    jit: 'off',
    // Nobody replicates from here, so the log only has to survive a crash.
    wal_level: 'minimal',
    max_wal_senders: '0',
    max_logical_replication_workers: '0',
    max_wal_size: '256MB',
    min_wal_size: '48MB',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    // Failed statements are reported to their caller; their text holds what people wrote and stays out of the log.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
    log_line_prefix: '',
    // What was committed still survives the server, though not the machine.
    ...(fsync ? {} : { fsync: 'off', full_page_writes: 'off' }),
  }
}
