import type { Path } from './source.ts'

/**
 * Synapse's settings, as of 1.157, that do nothing here. They warn and are left out, so that a homeserver.yaml from Synapse can be
 * used as it is; what becomes a setting of ours leaves this table.
 */
const WORKERS = 'classes are scaled by the number of their processes, without instance names in the configuration'
const SYNAPSE_ONLY = 'it is about how Synapse itself is run'
const NOT_HERE = 'this server does not have what it sets'

const KEEPALIVES = 'sessions that hold a lock have keep-alives of their own'
const BYTES = 'budgets are in bytes here: see `caches` in the manual'

const groups: readonly (readonly [reason: string, keys: string])[] = [
  [
    WORKERS,
    `
  start_pushers pusher_instances send_federation federation_sender_instances instance_map stream_writers run_background_tasks_on
  update_user_directory_from_worker notify_appservices_from_worker media_instance_running_background_jobs worker_app worker_name
  worker_listeners worker_manhole worker_daemonize worker_pid_file worker_log_config
`,
  ],
  [
    SYNAPSE_ONLY,
    `
  modules pid_file daemonize print_pidfile use_frozen_dicts soft_file_limit gc_thresholds gc_min_interval manhole manhole_settings
  dummy_events_threshold background_updates
`,
  ],
  [
    NOT_HERE,
    `
  user_agent_suffix web_client_location serve_server_wellknown extra_well_known_client_content presence require_auth_for_profile_requests
  limit_profile_requests_to_users_who_share_rooms include_profile_data_on_invite allow_public_rooms_without_auth
  allow_public_rooms_over_federation filter_timeline_limit block_non_admin_invites enable_search ip_range_blacklist ip_range_whitelist
  http_proxy https_proxy no_proxy_hosts matrix_authentication_service delete_stale_devices_after email max_event_delay_duration
  user_types hs_disabled hs_disabled_message limit_usage_by_mau max_mau_value mau_trial_days mau_appservice_trial_days mau_limit_alerting
  mau_stats_only mau_limit_reserved_threepids server_context limit_remote_rooms require_membership_for_aliases allow_per_room_profiles
  max_avatar_size allowed_avatar_mimetypes forgotten_room_retention_period user_ips_max_age
  request_token_inhibit_3pid_errors next_link_domain_whitelist templates retention federation_verify_certificates
  federation_client_minimum_tls_version federation_certificate_verification_whitelist federation_custom_ca_list
  federation_domain_whitelist federation_whitelist_endpoint_enabled federation_metrics_domains allow_profile_lookup_over_federation
  allow_device_name_lookup_over_federation federation rc_admin_redaction rc_joins_per_room rc_3pid_validation rc_third_party_invite
  rc_media_create rc_federation rc_delayed_event_mgmt rc_reports rc_user_directory rc_presence
  federation_rr_transactions_per_room_per_second
  enable_authenticated_media enable_media_repo enable_local_media_storage media_store_path max_pending_media_uploads
  unused_expiration_time media_storage_providers max_upload_size media_upload_limits max_image_pixels remote_media_download_burst_count
  remote_media_download_per_second prevent_media_downloads_from dynamic_thumbnails thumbnail_sizes media_retention url_preview_enabled
  url_preview_ip_range_blacklist url_preview_ip_range_whitelist url_preview_url_blacklist max_spider_size url_preview_accept_language
  oembed recaptcha_public_key recaptcha_public_key_path recaptcha_private_key recaptcha_private_key_path enable_registration_captcha
  recaptcha_siteverify_api turn_uris turn_shared_secret turn_shared_secret_path turn_username turn_password turn_user_lifetime
  turn_allow_guests matrix_rtc registrations_require_3pid disable_msisdn_registration allowed_local_3pids enable_3pid_lookup
  default_identity_server account_threepid_delegates enable_set_displayname enable_set_avatar_url enable_3pid_changes auto_join_rooms
  autocreate_auto_join_rooms autocreate_auto_join_rooms_federated autocreate_auto_join_room_preset auto_join_mxid_localpart
  auto_join_rooms_for_guests inhibit_user_in_use_error allow_underscore_prefixed_registration session_lifetime
  refreshable_access_token_lifetime refresh_token_lifetime nonrefreshable_access_token_lifetime login_via_existing_session sentry
  room_prejoin_state track_puppeted_user_ips app_service_config_files track_appservice_user_ips use_appservice_legacy_authorization
  old_signing_keys key_refresh_interval trusted_key_servers key_server_signing_keys_path saml2_config oidc_providers cas_config sso
  jwt_config push encryption_enabled_by_default_for_room_type user_directory user_consent stats server_notices enable_room_list_search
  alias_creation_rules room_list_publication_rules default_power_level_content_override forget_rooms_on_leave exclude_rooms_from_sync
  exclude_rooms_from_presence opentracing outbound_federation_restricted_to auto_accept_invites
`,
  ],
]

/** Settings by path with the reason; `*` stands for every item of a list. */
const single: readonly (readonly [path: string, reason: string])[] = [
  ['tls_certificate_path', 'TLS ends at the reverse proxy: give the certificate to it'],
  ['tls_private_key_path', 'TLS ends at the reverse proxy: give the key to it'],
  ['event_cache_size', 'budgets are in bytes: use `caches.events`'],
  ['log_config', 'use `log` with `level` and `format`: there is no Python logging here'],
  ['bcrypt_rounds', 'new passwords are hashed by Argon2id'],
  ['enable_metrics', 'every process has /metrics: give a `metrics` listener or `process.health_port`'],
  ['metrics_flags', 'every process has /metrics: give a `metrics` listener or `process.health_port`'],
  ['report_stats', 'nothing is reported to anybody'],
  ['report_stats_endpoint', 'nothing is reported to anybody'],
  ['macaroon_secret_key', 'access tokens are random here and need no key'],
  ['macaroon_secret_key_path', 'access tokens are random here and need no key'],
  ['form_secret', 'there are no forms to sign here'],
  ['form_secret_path', 'there are no forms to sign here'],
  ['suppress_key_server_warning', 'there is no such warning here'],
  ['database.txn_limit', 'connections are not closed by count'],
  ['database.allow_unsafe_locale', 'columns that are sorted carry their collation, so that the locale does no harm'],
  ['database.args.cp_min', 'connections are opened when needed'],
  ['database.args.cp_reconnect', 'connections are renewed by themselves'],
  ['database.args.application_name', 'every process gives its own name'],
  ['database.args.keepalives', KEEPALIVES],
  ['database.args.keepalives_idle', KEEPALIVES],
  ['database.args.keepalives_interval', KEEPALIVES],
  ['database.args.keepalives_count', KEEPALIVES],
  ['caches.global_factor', BYTES],
  ['caches.per_cache_factors', BYTES],
  ['caches.expire_caches', BYTES],
  ['caches.cache_entry_ttl', BYTES],
  ['caches.cache_autotuning', BYTES],
  ['caches.sync_response_cache_duration', BYTES],
  ['rc_joins.remote', 'this server joins no rooms of other servers yet'],
  ['password_config.localdb_enabled', 'there are no other password providers'],
  [
    'password_config.pepper',
    'new passwords are hashed by Argon2id with a salt each; hashes that Synapse made with a pepper cannot be checked',
  ],
  ['listeners.*.resources', 'every http listener serves all that the router has'],
  ['listeners.*.additional_resources', 'there are no Python modules here'],
  ['listeners.*.tag', 'log lines name the process'],
  ['listeners.*.request_id_header', 'every request gets an id'],
]

/** Synapse's settings that would do harm if they were left out in silence, with the remedy. */
const refused: readonly (readonly [path: string, message: string, remedy: string])[] = [
  ['databases', 'is the form for a database in several parts', 'use `database`: all tables are in one database'],
]

export interface InertSetting {
  readonly path: readonly string[]
  readonly reason: string
}

/** Every setting of Synapse that does nothing here. */
export const inertSettings: readonly InertSetting[] = [
  ...groups.flatMap(([reason, keys]) =>
    keys
      .trim()
      .split(/\s+/)
      .map((key) => ({ path: [key], reason })),
  ),
  ...single.map(([path, reason]) => ({ path: path.split('.'), reason })),
]

export const refusedSettings = refused.map(([path, message, remedy]) => ({ path: path.split('.'), message, remedy }))

/** The places in `values` that a path with `*` means, those that exist only. */
export function* matchPath(values: unknown, pattern: readonly string[], prefix: Path = []): Generator<Path> {
  const [head, ...rest] = pattern
  if (head === undefined) {
    yield prefix
  } else if (head === '*') {
    if (Array.isArray(values)) for (const [index, item] of values.entries()) yield* matchPath(item, rest, [...prefix, index])
  } else if (typeof values === 'object' && values !== null && Object.hasOwn(values, head)) {
    yield* matchPath((values as Record<string, unknown>)[head], rest, [...prefix, head])
  }
}
