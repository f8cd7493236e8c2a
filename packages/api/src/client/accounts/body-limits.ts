/** Account data is larger than events: m.direct of somebody with thousands of rooms. The service judges the content itself. */
export const ACCOUNT_DATA_BODY_BYTES = 1 << 20
/** Clients put hundreds of devices into one request when they share a room key. */
export const TO_DEVICE_BODY_BYTES = 4 << 20
