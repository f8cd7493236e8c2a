/**
 * Preloaded into what tooling/bootstrap.mjs runs: ends it, as SIGTERM does, when the process that started it is gone, however that
 * went. npm killed by SIGKILL tells nobody, and a server left behind holds the port and the data folder.
 */
const parent = process.ppid

setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM')
}, 1000).unref()
