import { conversation } from './conversation.ts'

conversation('single, tortured', { layout: 'single', torture: true })
conversation('split, tortured', { layout: 'split', sync: 2, torture: true })
