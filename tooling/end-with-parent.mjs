/**
 * Preloaded into what tooling/bootstrap.mjs runs: ends it, as SIGTERM does, when the process that started it is gone, however that
 * went. npm killed by SIGKILL tells nobody, and a server left behind holds the port and the data folder.
 */
const parent = process.ppid

const watch = setInterval(() => {
  if (process.ppid === parent) return
  // Once: told a second time, a server that is stopping would end at once.
  clearInterval(watch)
  process.kill(process.pid, 'SIGTERM')
}, 1000).unref()
