--- ptpbmca for LuaJIT: what time it is on the AirPlay 2 receiver you play to, through the C interface and LuaJIT's FFI.
--
--     local ptpbmca = require("ptpbmca")
--     local session = assert(ptpbmca.start("10.0.0.7"))
--     assert(session:await_sync(5000))
--     print(session:receiver_now())
--     session:stop()
--
-- The library is the one that the environment variable PTPBMCA_LIBRARY names, else the system's libptpbmca.so.0. The C
-- header, include/ptpbmca.h, says more of every call, constant and field; the names are the same. A call that fails
-- gives nil, an error object (tostring() is the library's sentence with the remedy; .result and .name say which), and
-- after ERR_NOT_SYNCHRONIZED third what the call gave all the same.
--
-- Times are 64-bit cdata (int64_t, uint64_t), because a Lua number does not hold them; a Lua number that is passed in
-- must be whole and at most 2^53.
--
-- No callback of the library is used: LuaJIT must not be entered from the library's own thread. session:changes()
-- compares snapshots instead.
local ffi = require("ffi")

ffi.cdef([[
typedef struct ptpbmca_session ptpbmca_session;
typedef struct ptpbmca_clock_offset {
    int64_t offset_ns;
    uint64_t error_ns, path_delay_ns;
    double skew_ppm;
    uint64_t grandmaster_id, receiver_clock_id, local_clock_id, age_ns;
    uint32_t epoch, role, sync_state, synchronized;
    uint64_t reserved[4];
} ptpbmca_clock_offset;
typedef struct ptpbmca_anchor_time {
    uint64_t receiver_ns, seconds, fraction, timeline_id;
    uint32_t epoch, reserved32;
    uint64_t reserved[2];
} ptpbmca_anchor_time;
typedef void (*ptpbmca_event_callback)(void *, ptpbmca_session *, uint32_t, const ptpbmca_clock_offset *);
typedef struct ptpbmca_config {
    uint32_t struct_size, role, local_clock;
    uint8_t priority1, priority2, clock_class, domain, major_sdo_id;
    uint64_t clock_id;
    const char *local_address;
    uint16_t event_port, general_port;
    uint32_t allow_ephemeral_ports;
    int64_t event_socket, general_socket;
    uint32_t announce_timeout_ms, ready_timeout_ms;
    ptpbmca_event_callback on_event;
    void *user_data;
} ptpbmca_config;
typedef struct ptpbmca_error {
    int32_t result, os_error;
    char message[256];
    uint64_t reserved[4];
} ptpbmca_error;
typedef struct ptpbmca_message_counts {
    uint64_t sync, follow_up, delay_req, delay_resp, announce, signaling;
    uint64_t pdelay_req, pdelay_resp, pdelay_resp_follow_up;
} ptpbmca_message_counts;
typedef struct ptpbmca_refusal_counts {
    uint64_t wrong_source, wrong_identity, own_echo, wrong_domain, wrong_version, too_short, wrong_length, unknown_type;
    uint64_t malformed_tlv, unmatched, duplicate, bad_timestamp, announce_loop, unrequested, implausible, outlier;
} ptpbmca_refusal_counts;
typedef struct ptpbmca_session_status {
    ptpbmca_clock_offset clock;
    uint16_t event_port, general_port;
    uint32_t ephemeral_ports, kernel_receive_stamps, kernel_send_stamps, announced;
    uint8_t announced_priority1, announced_priority2, announced_clock_class, announced_clock_accuracy;
    uint16_t announced_variance, announced_steps_removed;
    uint8_t announced_time_source, reserved8[3];
    uint64_t announced_grandmaster_id;
    ptpbmca_message_counts received, sent;
    ptpbmca_refusal_counts refused;
    uint64_t pairs, delay_req_answered, delay_resp_used, steps, send_errors;
    const char *advice;
    uint64_t refused_flood, kernel_drops;
    uint64_t reserved[6];
} ptpbmca_session_status;

int32_t ptpbmca_config_init(ptpbmca_config *, uint32_t);
int32_t ptpbmca_start(const char *, const ptpbmca_config *, ptpbmca_session **, ptpbmca_error *);
int32_t ptpbmca_offset(const ptpbmca_session *, ptpbmca_clock_offset *);
int32_t ptpbmca_receiver_time(const ptpbmca_session *, int64_t, uint64_t *);
int32_t ptpbmca_receiver_now(const ptpbmca_session *, uint64_t *);
int32_t ptpbmca_local_time(const ptpbmca_session *, uint64_t, int64_t *);
int32_t ptpbmca_anchor(const ptpbmca_session *, int64_t, ptpbmca_anchor_time *);
int32_t ptpbmca_local_now(const ptpbmca_session *, int64_t *);
int32_t ptpbmca_await_sync(const ptpbmca_session *, uint32_t);
int32_t ptpbmca_status(const ptpbmca_session *, ptpbmca_session_status *);
int32_t ptpbmca_stop(ptpbmca_session *);
const char *ptpbmca_result_name(int32_t);
const char *ptpbmca_result_message(int32_t);
const char *ptpbmca_version(void);
]])

local lib = ffi.load(os.getenv("PTPBMCA_LIBRARY") or (ffi.os == "Linux" and "libptpbmca.so.0" or "ptpbmca"))

local ptpbmca = {
    RESULT = {
        OK = 0, ERR_INVALID_ARGUMENT = -1, ERR_INVALID_ADDRESS = -2, ERR_PERMISSION = -3, ERR_ADDRESS_IN_USE = -4,
        ERR_NETWORK = -5, ERR_NO_SESSION = -6, ERR_NOT_SYNCHRONIZED = -7, ERR_TIMEOUT = -8, ERR_WOULD_DEADLOCK = -9,
        ERR_LIMIT = -10, ERR_INTERNAL = -11,
    },
    CLOCK = { REALTIME = 0, MONOTONIC = 1 },
    POLICY = { AUTO = 0, FOLLOW = 1, LEAD = 2 },
    ROLE = { LISTENING = 0, FOLLOWING = 1, LEADING = 2 },
    SYNC = { SILENT = 0, ANNOUNCED = 1, ACQUIRING = 2, LOCKED = 3, HOLDOVER = 4, LEADING = 5 },
    -- What error_ns and age_ns say while there is nothing to say.
    UINT64_MAX = 0xffffffffffffffffULL,
}

--- The name of a number in one of the tables above.
function ptpbmca.name(of, number)
    for name, value in pairs(of) do
        if value == number then return name end
    end
    return "UNKNOWN_" .. tonumber(number)
end

--- The library's version, such as "0.1.0".
function ptpbmca.version() return ffi.string(lib.ptpbmca_version()) end

local Error = { __tostring = function(self) return self.message end }

local function failure(result, message, os_error)
    if not message or message == "" then message = ffi.string(lib.ptpbmca_result_message(result)) end
    local name = ffi.string(lib.ptpbmca_result_name(result))
    return setmetatable({ result = result, name = name, message = message, os_error = os_error or 0 }, Error)
end

-- nil, why, what was given all the same: the results of a call that failed.
local function failed(result, value)
    if result == ptpbmca.RESULT.ERR_NOT_SYNCHRONIZED then return nil, failure(result), value end
    return nil, failure(result)
end

-- LuaJIT cuts a number that is too large for its type without a word: here that is an error.
local function whole(what, value, least, most)
    if type(value) == "number" then
        assert(value % 1 == 0 and value >= least and value <= most, what .. " is out of range")
    else
        assert(ffi.istype("int64_t", value) or ffi.istype("uint64_t", value), what .. " is not a number")
    end
    return value
end

local EXACT = 2 ^ 53

local function int64(what, value)
    if ffi.istype("uint64_t", value) then assert(value < 0x8000000000000000ULL, what .. " is out of range") end
    return ffi.cast("int64_t", whole(what, value, -EXACT, EXACT))
end

local function uint64(what, value)
    if ffi.istype("int64_t", value) then assert(value >= 0, what .. " is out of range") end
    return ffi.cast("uint64_t", whole(what, value, 0, EXACT))
end

local function text(what, value)
    assert(type(value) == "string" and not value:find("\0", 1, true), what .. " is not a string without zeros")
    return value
end

-- What a field of a config takes, by its size where it is a plain number.
local PLAIN = {
    role = 32, local_clock = 32, priority1 = 8, priority2 = 8, clock_class = 8, domain = 8, major_sdo_id = 8,
    event_port = 16, general_port = 16, allow_ephemeral_ports = 32, announce_timeout_ms = 32, ready_timeout_ms = 32,
}
local WIDE = { clock_id = uint64, event_socket = int64, general_socket = int64 }

local function config_of(wanted)
    local config = ffi.new("ptpbmca_config")
    local result = lib.ptpbmca_config_init(config, ffi.sizeof(config))
    if result ~= 0 then return failed(result) end
    for field, value in pairs(wanted) do
        if PLAIN[field] then
            assert(type(value) == "number", field .. " is not a number")
            config[field] = whole(field, value, 0, 2 ^ PLAIN[field] - 1)
        elseif WIDE[field] then
            config[field] = WIDE[field](field, value)
        elseif field == "local_address" then
            -- Valid during ptpbmca_start(): `wanted` holds it.
            config[field] = text(field, value)
        else
            error("a config has no " .. tostring(field), 3)
        end
    end
    return config
end

local Session = {}
Session.__index = Session

--- Starts a session; returns when its role is settled, or after ready_timeout_ms. `wanted`: a table of fields of
-- ptpbmca_config; what is left out is the library's default. The session ends with stop(), or when it is forgotten.
function ptpbmca.start(receiver, wanted)
    local config, why = config_of(wanted or {})
    if not config then return nil, why end
    local out, details = ffi.new("ptpbmca_session *[1]"), ffi.new("ptpbmca_error")
    local result = lib.ptpbmca_start(text("receiver", receiver), config, out, details)
    if result ~= 0 then return nil, failure(result, ffi.string(details.message), details.os_error) end
    return setmetatable({ token = ffi.gc(out[0], lib.ptpbmca_stop) }, Session)
end

--- One snapshot, aged to now: a ptpbmca_clock_offset. Not being synchronised is no error here.
function Session:offset()
    local out = ffi.new("ptpbmca_clock_offset")
    local result = lib.ptpbmca_offset(self.token, out)
    if result ~= 0 then return failed(result) end
    return out
end

--- Local time to receiver time, never below 0.
function Session:receiver_time(local_ns)
    local out = ffi.new("uint64_t[1]")
    local result = lib.ptpbmca_receiver_time(self.token, int64("local_ns", local_ns), out)
    if result ~= 0 then return failed(result, out[0]) end
    return out[0]
end

--- What the receiver's clock reads now.
function Session:receiver_now()
    local out = ffi.new("uint64_t[1]")
    local result = lib.ptpbmca_receiver_now(self.token, out)
    if result ~= 0 then return failed(result, out[0]) end
    return out[0]
end

--- Receiver time to local time.
function Session:local_time(receiver_ns)
    local out = ffi.new("int64_t[1]")
    local result = lib.ptpbmca_local_time(self.token, uint64("receiver_ns", receiver_ns), out)
    if result ~= 0 then return failed(result, out[0]) end
    return out[0]
end

--- A local time as an anchor on the receiver's timeline: a ptpbmca_anchor_time.
function Session:anchor(local_ns)
    local out = ffi.new("ptpbmca_anchor_time")
    local result = lib.ptpbmca_anchor(self.token, int64("local_ns", local_ns), out)
    if result ~= 0 then return failed(result, out) end
    return out
end

--- The session's local clock, which local_ns count in.
function Session:local_now()
    local out = ffi.new("int64_t[1]")
    local result = lib.ptpbmca_local_now(self.token, out)
    if result ~= 0 then return failed(result) end
    return out[0]
end

--- Waits until the session is synchronised; true, or nil and the error.
function Session:await_sync(timeout_ms)
    local result = lib.ptpbmca_await_sync(self.token, whole("timeout_ms", timeout_ms or 5000, 0, 2 ^ 32 - 1))
    if result ~= 0 then return failed(result) end
    return true
end

--- Everything about the session: a ptpbmca_session_status, and its advice as a string.
function Session:status()
    local out = ffi.new("ptpbmca_session_status")
    local result = lib.ptpbmca_status(self.token, out)
    if result ~= 0 then return failed(result) end
    return out, out.advice ~= nil and ffi.string(out.advice) or ""
end

--- What has changed since this was last called, at first since the start: a list of "ROLE_CHANGED",
-- "GRANDMASTER_CHANGED", "EPOCH_CHANGED", "SYNCHRONIZED", "LOST"; and the snapshot. What came and went between two calls
-- is not told, but for the epoch.
function Session:changes()
    local now, why = self:offset()
    if not now then return nil, why end
    local before = self.before or ffi.new("ptpbmca_clock_offset")
    local found = {}
    if now.role ~= before.role then found[#found + 1] = "ROLE_CHANGED" end
    if now.grandmaster_id ~= before.grandmaster_id then found[#found + 1] = "GRANDMASTER_CHANGED" end
    if now.epoch ~= before.epoch then found[#found + 1] = "EPOCH_CHANGED" end
    if now.synchronized ~= before.synchronized then
        found[#found + 1] = now.synchronized ~= 0 and "SYNCHRONIZED" or "LOST"
    end
    self.before = now
    return found, now
end

--- Ends the session; true, or nil and the error. Once more is no error.
function Session:stop()
    local result = lib.ptpbmca_stop(self.token)
    if result ~= 0 and result ~= ptpbmca.RESULT.ERR_NO_SESSION then return failed(result) end
    ffi.gc(self.token, nil)
    return true
end

return ptpbmca
