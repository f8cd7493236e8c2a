import { conversation } from './conversation.ts'

conversation('single', { layout: 'single' })
conversation('split', { layout: 'split', sync: 2, routers: 2, writers: 2 })
