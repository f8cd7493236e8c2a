import { expect, test } from '@jest/globals'
import { registry } from '@weft/api'
import { clientServerOperations, coverageOf, type Operation } from '../../tooling/spec-coverage.ts'

const operations = clientServerOperations()
const coverage = coverageOf(registry, operations)

/** Served under another name, since the spec gives one path to two operations. */
const sharedPaths: Readonly<Record<string, string>> = { inviteBy3PID: 'inviteUser', logout_all: 'logoutAll' }

test('every endpoint is an operation of the spec, or one that administrators know from Synapse', () => {
  expect(coverage.extra.filter((id) => !id.startsWith('admin.'))).toEqual([])
})

test('an endpoint is named after the operation that it serves', () => {
  const ids = new Set(registry.endpoints.map((endpoint) => endpoint.id))
  const wanted = ({ id }: Operation) => `client.${sharedPaths[id] ?? id}`
  expect(coverage.served.map(wanted).filter((id) => !ids.has(id))).toEqual([])
})

test('what a text conversation needs is served', () => {
  const served = new Set(coverage.served.map(({ id }) => id))
  const needed = [
    ...['getVersions', 'getWellknown', 'getWellknownSupport', 'getCapabilities', 'register', 'checkUsernameAvailability', 'getLoginFlows'],
    ...['login', 'logout', 'logout_all', 'getTokenOwner', 'getUserProfile', 'getProfileField', 'setProfileField', 'deleteProfileField'],
    ...['defineFilter', 'getFilter', 'setAccountData', 'getAccountData', 'setAccountDataPerRoom', 'getAccountDataPerRoom', 'getRoomTags'],
    ...[
      'setRoomTag',
      'deleteRoomTag',
      'getDevices',
      'getDevice',
      'updateDevice',
      'deleteDevice',
      'deleteDevices',
      'createRoom',
      'joinRoom',
    ],
    ...['joinRoomById', 'inviteBy3PID', 'leaveRoom', 'kick', 'ban', 'unban', 'forgetRoom', 'getJoinedRooms', 'setRoomStateWithKey'],
    ...['getRoomStateWithKey', 'getRoomState', 'getMembersByRoom', 'getJoinedMembersByRoom', 'sendMessage', 'redactEvent', 'getRoomEvents'],
    ...['getOneRoomEvent', 'setRoomAlias', 'getRoomIdByAlias', 'deleteRoomAlias', 'getLocalAliases', 'sync', 'sendToDevice', 'setTyping'],
    ...['postReceipt', 'setReadMarker'],
  ]
  expect(needed.filter((id) => !served.has(id))).toEqual([])
})

test('the list of operations is the whole API', () => {
  expect(operations).toHaveLength(166)
  expect(new Set(operations.map(({ method, path }) => `${method} ${path}`)).size).toBeGreaterThan(160)
})
