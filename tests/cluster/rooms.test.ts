import { rooms } from './rooms.ts'

rooms('rooms, single', { layout: 'single' })
rooms('rooms, split', { layout: 'split' })
