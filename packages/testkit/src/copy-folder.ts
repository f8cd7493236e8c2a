import { spawn } from 'node:child_process'

/** Copies a folder with owners and modes, which fs.cp does not keep. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = spawn('cp', ['-a', from, to], { stdio: ['ignore', 'ignore', 'inherit'] })
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`cp -a ${from} ${to}: exit ${code}`))))
  })
}
