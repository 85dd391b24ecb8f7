/**
 * ptpbmca for Node.js: what time it is on the AirPlay 2 receiver you play to, through the C interface and koffi.
 *
 *     import { Session } from 'ptpbmca';
 *
 *     const session = await Session.start('10.0.0.7');
 *     await session.awaitSync();
 *     console.log(session.receiverNow());
 *     await session.stop();
 *
 * The library is the one that the environment variable PTPBMCA_LIBRARY names, else one beside this file, else the
 * system's libptpbmca.so.0. The C header, include/ptpbmca.h, says more of every call, constant and field; names are the
 * same, written as JavaScript does (offset_ns: offsetNs). Whatever C has as 64 bits is a BigInt here.
 *
 * No callback of the library is used: JavaScript runs on one thread, and the library's own, which speaks with all
 * receivers, would have to wait for it. Session.watch() looks at snapshots instead.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';

// --- Constants -------------------------------------------------------------------------------------------------------

export const Result = Object.freeze({
  OK: 0, ERR_INVALID_ARGUMENT: -1, ERR_INVALID_ADDRESS: -2, ERR_PERMISSION: -3, ERR_ADDRESS_IN_USE: -4,
  ERR_NETWORK: -5, ERR_NO_SESSION: -6, ERR_NOT_SYNCHRONIZED: -7, ERR_TIMEOUT: -8, ERR_WOULD_DEADLOCK: -9,
  ERR_LIMIT: -10, ERR_INTERNAL: -11,
});
export const Clock = Object.freeze({ REALTIME: 0, MONOTONIC: 1 });
export const RolePolicy = Object.freeze({ AUTO: 0, FOLLOW: 1, LEAD: 2 });
export const Role = Object.freeze({ LISTENING: 0, FOLLOWING: 1, LEADING: 2 });
export const SyncState = Object.freeze({ SILENT: 0, ANNOUNCED: 1, ACQUIRING: 2, LOCKED: 3, HOLDOVER: 4, LEADING: 5 });
export const Event = Object.freeze({
  SYNCHRONIZED: 1, LOST: 2, EPOCH_CHANGED: 3, ROLE_CHANGED: 4, GRANDMASTER_CHANGED: 5, STOPPED: 6,
});

/** What errorNs and ageNs say while there is nothing to say. */
export const UINT64_MAX = 2n ** 64n - 1n;

/**
 * The name of a number in one of the tables above, such as name(SyncState, 3) = 'LOCKED'.
 * @param {Readonly<Record<string, number>>} table
 * @param {number} number
 * @returns {string}
 */
export function name(table, number) {
  return Object.keys(table).find((key) => table[key] === number) ?? `UNKNOWN_${number}`;
}

// --- Structs, as the C header has them -------------------------------------------------------------------------------

/**
 * @param {string} fields "type name name, type name"
 * @returns {Record<string, any>}
 */
function parsed(fields) {
  /** @type {Record<string, any>} */
  const members = {};
  for (const group of fields.split(',')) {
    const [type, ...names] = group.trim().split(/\s+/);
    for (const field of names) members[field] = type;
  }
  return members;
}

/** @type {(name: string, fields: string) => import('koffi').TypeObject} */
const struct = (title, fields) => koffi.struct(`ptpbmca_${title}`, parsed(fields));

const clockOffset = struct('clock_offset', `
  int64_t offset_ns, uint64_t error_ns path_delay_ns, double skew_ppm,
  uint64_t grandmaster_id receiver_clock_id local_clock_id age_ns,
  uint32_t epoch role sync_state synchronized, uint64_t[4] reserved`);
const anchorTime = struct('anchor_time', `
  uint64_t receiver_ns seconds fraction timeline_id, uint32_t epoch reserved32, uint64_t[2] reserved`);
const config = struct('config', `
  uint32_t struct_size role local_clock, uint8_t priority1 priority2 clock_class domain major_sdo_id,
  uint64_t clock_id, str local_address, uint16_t event_port general_port, uint32_t allow_ephemeral_ports,
  int64_t event_socket general_socket, uint32_t announce_timeout_ms ready_timeout_ms,
  void* on_event user_data`);
const error = struct('error', 'int32_t result os_error, char[256] message, uint64_t[4] reserved');
const messageCounts = struct('message_counts', `
  uint64_t sync follow_up delay_req delay_resp announce signaling pdelay_req pdelay_resp pdelay_resp_follow_up`);
const refusalCounts = struct('refusal_counts', `
  uint64_t wrong_source wrong_identity own_echo wrong_domain wrong_version too_short wrong_length unknown_type
  malformed_tlv unmatched duplicate bad_timestamp announce_loop unrequested implausible outlier`);
const sessionStatus = struct('session_status', `
  ptpbmca_clock_offset clock, uint16_t event_port general_port,
  uint32_t ephemeral_ports kernel_receive_stamps kernel_send_stamps announced,
  uint8_t announced_priority1 announced_priority2 announced_clock_class announced_clock_accuracy,
  uint16_t announced_variance announced_steps_removed, uint8_t announced_time_source, uint8_t[3] reserved8,
  uint64_t announced_grandmaster_id, ptpbmca_message_counts received sent, ptpbmca_refusal_counts refused,
  uint64_t pairs delay_req_answered delay_resp_used steps send_errors, str advice,
  uint64_t refused_flood kernel_drops, uint64_t[6] reserved`);

/** For the test that compares them with what a C compiler makes of the header. */
export const structs = Object.freeze({
  clock_offset: clockOffset, anchor_time: anchorTime, config, error, message_counts: messageCounts,
  refusal_counts: refusalCounts, session_status: sessionStatus,
});

// --- The library -----------------------------------------------------------------------------------------------------

function load() {
  const named = process.env.PTPBMCA_LIBRARY;
  if (named) return koffi.load(named);
  const names = { darwin: ['libptpbmca.0.dylib', 'libptpbmca.dylib'], win32: ['ptpbmca.dll'] }[
    /** @type {string} */ (process.platform)
  ] ?? ['libptpbmca.so.0', 'libptpbmca.so'];
  const beside = names.map((file) => fileURLToPath(new URL(file, import.meta.url))).find(existsSync);
  return koffi.load(beside ?? names[0]);
}

const library = load();
koffi.opaque('ptpbmca_session');
const calls = {
  configInit: library.func('int32_t ptpbmca_config_init(_Out_ ptpbmca_config *config, uint32_t struct_size)'),
  start: library.func(`int32_t ptpbmca_start(const char *receiver, const ptpbmca_config *config,
    _Out_ ptpbmca_session **session, _Out_ ptpbmca_error *error)`),
  offset: library.func('int32_t ptpbmca_offset(const ptpbmca_session *session, _Out_ ptpbmca_clock_offset *out)'),
  receiverTime: library.func(
    'int32_t ptpbmca_receiver_time(const ptpbmca_session *session, int64_t local_ns, _Out_ uint64_t *receiver_ns)'),
  receiverNow: library.func(
    'int32_t ptpbmca_receiver_now(const ptpbmca_session *session, _Out_ uint64_t *receiver_ns)'),
  localTime: library.func(
    'int32_t ptpbmca_local_time(const ptpbmca_session *session, uint64_t receiver_ns, _Out_ int64_t *local_ns)'),
  anchor: library.func(
    'int32_t ptpbmca_anchor(const ptpbmca_session *session, int64_t local_ns, _Out_ ptpbmca_anchor_time *out)'),
  localNow: library.func('int32_t ptpbmca_local_now(const ptpbmca_session *session, _Out_ int64_t *local_ns)'),
  awaitSync: library.func('int32_t ptpbmca_await_sync(const ptpbmca_session *session, uint32_t timeout_ms)'),
  status: library.func('int32_t ptpbmca_status(const ptpbmca_session *session, _Out_ ptpbmca_session_status *out)'),
  stop: library.func('int32_t ptpbmca_stop(ptpbmca_session *session)'),
  resultName: library.func('const char *ptpbmca_result_name(int32_t result)'),
  resultMessage: library.func('const char *ptpbmca_result_message(int32_t result)'),
  version: library.func('const char *ptpbmca_version()'),
};

/** @returns {string} The library's version, such as '0.1.0'. */
export const version = () => calls.version();

/**
 * A call that may wait, off the thread of JavaScript.
 * @param {import('koffi').KoffiFunc<(...args: any) => any>} call
 * @param {...any} args
 * @returns {Promise<number>}
 */
function waiting(call, ...args) {
  return new Promise((resolve, reject) => {
    call.async(...args, (/** @type {any} */ failure, /** @type {number} */ result) => {
      if (failure) reject(failure);
      else resolve(result);
    });
  });
}

// --- Errors ----------------------------------------------------------------------------------------------------------

/** A call failed. The message is the library's sentence with the remedy. */
export class PtpbmcaError extends Error {
  /**
   * @param {number} result
   * @param {string} [message]
   * @param {number} [osError]
   */
  constructor(result, message, osError = 0) {
    super(message || calls.resultMessage(result));
    this.name = 'PtpbmcaError';
    /** One of Result. */
    this.result = result;
    /** Its name in C, such as 'PTPBMCA_ERR_TIMEOUT'. @type {string} */
    this.code = calls.resultName(result);
    /** The system's error number; 0 where it has no part in it. */
    this.osError = osError;
    /** With ERR_NOT_SYNCHRONIZED: what the call gave all the same, with the local time taken as the receiver's.
     * @type {any} */
    this.passedThrough = undefined;
  }
}

/**
 * @param {number} result
 * @param {any} [passedThrough]
 */
function check(result, passedThrough) {
  if (result === Result.OK) return;
  const failure = new PtpbmcaError(result);
  if (result === Result.ERR_NOT_SYNCHRONIZED) failure.passedThrough = passedThrough;
  throw failure;
}

// --- Conversions -----------------------------------------------------------------------------------------------------

/** @param {string} text */
const camel = (text) => text.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/**
 * A number for C. koffi cuts one that is too large for its type without a word: here that is an error.
 * @param {string} title
 * @param {number | bigint | boolean} value
 * @param {number} bits
 * @param {boolean} signed
 * @returns {number | bigint}
 */
function fitting(title, value, bits, signed) {
  const number = BigInt(value);
  if (number !== (signed ? BigInt.asIntN(bits, number) : BigInt.asUintN(bits, number))) {
    throw new RangeError(`${title} is out of range: ${value}`);
  }
  return bits === 64 ? number : Number(number);
}

/**
 * @param {string} title
 * @param {string} value
 */
function text(title, value) {
  if (typeof value !== 'string') throw new TypeError(`${title} is not a string`);
  if (value.includes('\0')) throw new TypeError(`${title} has a zero in it`);
  return value;
}

const FLAGS = new Set([
  'synchronized', 'ephemeral_ports', 'kernel_receive_stamps', 'kernel_send_stamps', 'announced',
]);

/**
 * What C wrote, as JavaScript has it.
 * @param {import('koffi').TypeObject} type
 * @param {any} raw
 * @returns {any}
 */
function converted(type, raw) {
  /** @type {Record<string, any>} */
  const object = {};
  for (const [title, member] of Object.entries(type.members ?? {})) {
    if (title.startsWith('reserved')) continue;
    let value = raw[title];
    if (member.type.members) value = converted(member.type, value);
    else if (/Int64/.test(member.type.primitive)) value = BigInt(value);
    else if (FLAGS.has(title)) value = value !== 0;
    object[camel(title)] = value;
  }
  return Object.freeze(object);
}

/** @param {Config} wanted */
function configOf(wanted) {
  /** @type {Record<string, any>} */
  const raw = {};
  check(calls.configInit(raw, koffi.sizeof(config)));
  const known = new Map(Object.keys(config.members ?? {}).map((title) => [camel(title), title]));
  for (const key of ['structSize', 'onEvent', 'userData']) known.delete(key);
  for (const [key, value] of Object.entries(wanted)) {
    const title = known.get(key);
    if (title === undefined) throw new TypeError(`a config has no ${key}`);
    if (value === undefined) continue;
    const type = koffi.type(/** @type {any} */ (config.members)[title].type);
    raw[title] = title === 'local_address'
      ? text(key, /** @type {any} */ (value))
      : fitting(key, /** @type {any} */ (value), type.size * 8, type.primitive.startsWith('Int'));
  }
  return raw;
}

// --- Sessions --------------------------------------------------------------------------------------------------------

/**
 * How a session is to be; what is left out is the library's default.
 * @typedef {object} Config
 * @property {number} [role] one of RolePolicy; AUTO
 * @property {number} [localClock] one of Clock; REALTIME
 * @property {number} [priority1] 0: by role, 250 for AUTO, 128 for LEAD
 * @property {number} [priority2] 0: 128
 * @property {number} [clockClass] 0: by role, 248 for AUTO, 6 for LEAD
 * @property {number} [domain] 0
 * @property {number} [majorSdoId] 1: the gPTP dialect of AirPlay
 * @property {bigint} [clockId] 0: derived from a MAC address
 * @property {string} [localAddress] an address of this host; any
 * @property {number} [eventPort] 319
 * @property {number} [generalPort] 320
 * @property {boolean} [allowEphemeralPorts] false
 * @property {number | bigint} [eventSocket] -1
 * @property {number | bigint} [generalSocket] -1
 * @property {number} [announceTimeoutMs] 3000
 * @property {number} [readyTimeoutMs] 5000
 */

/**
 * One consistent snapshot of a session's clock.
 * @typedef {object} ClockOffset
 * @property {bigint} offsetNs receiver timeline minus local clock, now; 0 while not synchronised
 * @property {bigint} errorNs the true offset lies within this of offsetNs, see the header; UINT64_MAX: not synchronised
 * @property {bigint} pathDelayNs one-way mean path delay; 0 while unknown
 * @property {number} skewPpm receiver clock rate against the local clock
 * @property {bigint} grandmasterId the clock whose timeline this is; 0 while unknown
 * @property {bigint} receiverClockId
 * @property {bigint} localClockId
 * @property {bigint} ageNs since the last accepted Sync; UINT64_MAX before the first
 * @property {number} epoch anchors computed under another epoch are void
 * @property {number} role one of Role
 * @property {number} syncState one of SyncState
 * @property {boolean} synchronized
 */

/**
 * A moment on the receiver's timeline, all from one snapshot.
 * @typedef {object} Anchor
 * @property {bigint} receiverNs
 * @property {bigint} seconds
 * @property {bigint} fraction receiverNs is seconds + fraction / 2^64
 * @property {bigint} timelineId networkTimeTimelineID
 * @property {number} epoch
 */

/** @typedef {keyof typeof Event} EventName */

/**
 * What has happened between two snapshots.
 * @param {Pick<ClockOffset, 'epoch' | 'role' | 'grandmasterId' | 'synchronized'>} before
 * @param {ClockOffset} now
 * @returns {EventName[]}
 */
function changes(before, now) {
  /** @type {EventName[]} */
  const found = [];
  if (now.role !== before.role) found.push('ROLE_CHANGED');
  if (now.grandmasterId !== before.grandmasterId) found.push('GRANDMASTER_CHANGED');
  if (now.epoch !== before.epoch) found.push('EPOCH_CHANGED');
  if (now.synchronized !== before.synchronized) found.push(now.synchronized ? 'SYNCHRONIZED' : 'LOST');
  return found;
}

/** A session with one receiver, from Session.start() until stop(). Its calls throw PtpbmcaError. */
export class Session {
  #token;

  /** @param {bigint} token */
  constructor(token) {
    this.#token = token;
  }

  /**
   * Starts a session; resolves when its role is settled, or after readyTimeoutMs.
   * @param {string} receiver an address, or several of one receiver, separated by commas
   * @param {Config} [wanted]
   * @returns {Promise<Session>}
   */
  static async start(receiver, wanted = {}) {
    /** @type {[any]} */
    const token = [null];
    /** @type {any} */
    const details = {};
    const result = await waiting(calls.start, text('receiver', receiver), configOf(wanted), token, details);
    if (result !== Result.OK) throw new PtpbmcaError(result, details.message, details.os_error);
    return new Session(token[0]);
  }

  /** @returns {ClockOffset} One snapshot, aged to now. Not being synchronised is no error here. */
  offset() {
    const raw = {};
    check(calls.offset(this.#token, raw));
    return converted(clockOffset, raw);
  }

  /**
   * Local time to receiver time, never below 0. ERR_NOT_SYNCHRONIZED carries `passedThrough`.
   * @param {bigint} localNs
   * @returns {bigint}
   */
  receiverTime(localNs) {
    const out = [0n];
    const result = calls.receiverTime(this.#token, fitting('localNs', localNs, 64, true), out);
    check(result, BigInt(out[0]));
    return BigInt(out[0]);
  }

  /** @returns {bigint} What the receiver's clock reads now. */
  receiverNow() {
    const out = [0n];
    const result = calls.receiverNow(this.#token, out);
    check(result, BigInt(out[0]));
    return BigInt(out[0]);
  }

  /**
   * Receiver time to local time.
   * @param {bigint} receiverNs
   * @returns {bigint}
   */
  localTime(receiverNs) {
    const out = [0n];
    const result = calls.localTime(this.#token, fitting('receiverNs', receiverNs, 64, false), out);
    check(result, BigInt(out[0]));
    return BigInt(out[0]);
  }

  /**
   * A local time as an anchor on the receiver's timeline.
   * @param {bigint} localNs
   * @returns {Anchor}
   */
  anchor(localNs) {
    const raw = {};
    const result = calls.anchor(this.#token, fitting('localNs', localNs, 64, true), raw);
    if (result !== Result.OK && result !== Result.ERR_NOT_SYNCHRONIZED) check(result);
    const anchor = converted(anchorTime, raw);
    check(result, anchor);
    return anchor;
  }

  /** @returns {bigint} The session's local clock, which localNs count in. */
  localNow() {
    const out = [0n];
    check(calls.localNow(this.#token, out));
    return BigInt(out[0]);
  }

  /**
   * Resolves when the session is synchronised; rejects with ERR_TIMEOUT. Takes a thread of koffi's while it waits.
   * @param {number} [timeoutMs]
   * @returns {Promise<void>}
   */
  async awaitSync(timeoutMs = 5000) {
    check(await waiting(calls.awaitSync, this.#token, fitting('timeoutMs', timeoutMs, 32, false)));
  }

  /**
   * Everything about the session, for people and logs: the fields of ptpbmca_session_status.
   * @returns {{clock: ClockOffset, advice: string, received: Record<string, bigint>, sent: Record<string, bigint>,
   *   refused: Record<string, bigint>, [field: string]: any}}
   */
  status() {
    const raw = {};
    check(calls.status(this.#token, raw));
    return converted(sessionStatus, raw);
  }

  /**
   * Looks at the session again and again, and tells what has changed; first, what has happened since the start. What
   * came and went between two looks is not told, but for the epoch. Does not keep the process alive.
   * @param {(event: EventName, now: ClockOffset) => void} onEvent
   * @param {number} [everyMs]
   * @returns {() => void} Ends it.
   */
  watch(onEvent, everyMs = 50) {
    /** @type {any} */
    let before = { synchronized: false, epoch: 0, role: Role.LISTENING, grandmasterId: 0n };
    const timer = setInterval(() => {
      const was = before;
      try {
        before = this.offset();
      } catch (failure) {
        clearInterval(timer);
        if (!(failure instanceof PtpbmcaError && failure.result === Result.ERR_NO_SESSION)) throw failure;
        onEvent('STOPPED', before);
        return;
      }
      for (const event of changes(was, before)) onEvent(event, before);
    }, everyMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  /**
   * Ends the session. Once more is no error.
   * @returns {Promise<void>}
   */
  async stop() {
    const result = await waiting(calls.stop, this.#token);
    if (result !== Result.ERR_NO_SESSION) check(result);
  }
}

// `await using session = ...` ends it, where the engine has that.
if (Symbol.asyncDispose) {
  /** @type {any} */ (Session.prototype)[Symbol.asyncDispose] = Session.prototype.stop;
}
