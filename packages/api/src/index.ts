export { registry } from './registry.ts'
export { type ServerInfo, type ServerInfoSettings, serverInfo } from './server-info.ts'
export type { JsonStream, SyncServices, WriterServices } from './services.ts'
