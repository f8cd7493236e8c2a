/**
 * CORS headers of every answer, errors and unknown paths included.
 * Spec: client-server API, "Web Browser Clients".
 */
export const corsHeaders: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization, Date',
  'access-control-expose-headers': 'Retry-After, X-Request-Id',
}

/** The answer to OPTIONS on any path, with no logic of the endpoint run. A day saves a pre-flight before most requests. */
export const preflightHeaders: Readonly<Record<string, string>> = {
  ...corsHeaders,
  'access-control-max-age': '86400',
  'content-length': '0',
}
