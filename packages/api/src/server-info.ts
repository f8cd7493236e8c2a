import { type JsonObject, stableRoomVersions } from '@weft/matrix'

/** What this server says about itself; made once, at start. */
export interface ServerInfo {
  readonly serverName: string
  readonly versions: { readonly versions: readonly string[]; readonly unstable_features: Readonly<Record<string, boolean>> }
  readonly capabilities: JsonObject
  /** Absent: no answer to /.well-known/matrix/client. */
  readonly wellKnownClient: JsonObject | undefined
  readonly wellKnownSupport: JsonObject | undefined
  /** False where people cannot log in by password. */
  readonly passwordLogin: boolean
}

/** The settings that the server tells of; a Config has them all. */
export interface ServerInfoSettings {
  readonly server_name: string
  readonly public_baseurl?: string | undefined
  readonly admin_contact?: string | undefined
  readonly support: {
    readonly contacts: readonly {
      readonly matrix_id?: string | undefined
      readonly email_address?: string | undefined
      readonly role: string
    }[]
    readonly support_page?: string | undefined
  }
  readonly default_room_version: string
  readonly password_config: { readonly enabled: boolean }
}

/**
 * The versions of the specification that clients may count on. v1.1 promises media, push and end-to-end keys, which do not
 * answer yet, but clients refuse to talk to a server that names none (matrix-js-sdk 43 asks for v1.1 or later). A later
 * version would make them use what is not there: v1.4 the thread lists of the server, v1.11 authenticated media. What does
 * answer of later versions is named by its feature instead.
 */
const SPEC_VERSIONS = ['v1.1'] as const

/** @param unstableFeatures what the endpoints bring along: the registry's `unstableFeatures()` */
export function serverInfo(settings: ServerInfoSettings, unstableFeatures: Readonly<Record<string, boolean>>): ServerInfo {
  return {
    serverName: settings.server_name,
    versions: { versions: SPEC_VERSIONS, unstable_features: unstableFeatures },
    capabilities: capabilities(settings.default_room_version),
    wellKnownClient: settings.public_baseurl === undefined ? undefined : { 'm.homeserver': { base_url: settings.public_baseurl } },
    wellKnownSupport: wellKnownSupport(settings),
    passwordLogin: settings.password_config.enabled,
  }
}

/** Spec: client-server API, "Capabilities negotiation". */
function capabilities(defaultRoomVersion: string): JsonObject {
  return {
    'm.room_versions': {
      default: defaultRoomVersion,
      available: Object.fromEntries(stableRoomVersions.map((version) => [version, 'stable'])),
    },
    'm.change_password': { enabled: false },
    'm.set_displayname': { enabled: true },
    'm.set_avatar_url': { enabled: true },
    'm.profile_fields': { enabled: true },
    'm.3pid_changes': { enabled: false },
    'm.get_login_token': { enabled: false },
    'm.forget_forced_upon_leave': { enabled: false },
  }
}

/** Spec: GET /.well-known/matrix/support: at least a contact or a page. */
function wellKnownSupport(settings: ServerInfoSettings): JsonObject | undefined {
  const contacts: JsonObject[] = settings.support.contacts.map(({ matrix_id, email_address, role }) => ({
    ...(matrix_id === undefined ? {} : { matrix_id }),
    ...(email_address === undefined ? {} : { email_address }),
    role,
  }))
  if (contacts.length === 0 && settings.admin_contact !== undefined) {
    contacts.push({ email_address: settings.admin_contact.replace(/^mailto:/, ''), role: 'm.role.admin' })
  }
  const page = settings.support.support_page
  if (contacts.length === 0 && page === undefined) return undefined
  return { ...(contacts.length === 0 ? {} : { contacts }), ...(page === undefined ? {} : { support_page: page }) }
}
