-- check.lua: the LuaJIT module against what C says of the header, and what it makes of errors and lifetimes.
--
--     luajit check.lua layout FILE        FILE: what layout.c printed
--     luajit check.lua calls              Binds 127.0.43.1, ports 24319 and 24320.
package.path = arg[0]:gsub("[^/]*$", "") .. "../../bindings/lua/?.lua;" .. package.path
local ffi = require("ffi")
local ptpbmca = require("ptpbmca")

-- A field's type, seen in what a struct full of ones reads as.
local function kind(struct, field)
    local full = ffi.new("ptpbmca_" .. struct)
    ffi.fill(full, ffi.sizeof(full), 0xff)
    local value = full[field]
    -- LuaJIT keeps nil as a double with all bits set, and takes one for the other.
    if type(value) == "nil" then return "f64" end
    if type(value) == "number" then
        local bits = { [-1] = "i32", [2 ^ 8 - 1] = "u8", [2 ^ 16 - 1] = "u16", [2 ^ 32 - 1] = "u32" }
        return bits[value]
    end
    local name = tostring(ffi.typeof(value))
    if ffi.istype("uint64_t", value) then return "u64" end
    if ffi.istype("int64_t", value) then return "i64" end
    if name:find("%[") then return "array" end
    if name:find("%(%*%)") or name:find("%(%)") then return "callback" end
    if name:find("const char %*") then return "text" end
    if name:find("void %*") then return "pointer" end
    return name:match("ptpbmca_([%w_]+)")
end

-- A field's size; what is a plain number here has that of its type.
local function size_of(struct, field)
    local sizes = { u8 = 1, u16 = 2, u32 = 4, i32 = 4, u64 = 8, i64 = 8, f64 = 8 }
    return sizes[kind(struct, field)] or ffi.sizeof(ffi.new("ptpbmca_" .. struct)[field])
end

local function layout(file)
    local tables = {
        [""] = { ptpbmca.ROLE }, CLOCK_ = { ptpbmca.CLOCK }, ROLE_ = { ptpbmca.POLICY }, SYNC_ = { ptpbmca.SYNC },
    }
    table.insert(tables[""], ptpbmca.RESULT)
    local ours, of_c, compared = {}, {}, 0
    for prefix, list in pairs(tables) do
        for _, constants in ipairs(list) do
            for name, value in pairs(constants) do ours[("constant %s%s %d"):format(prefix, name, value)] = true end
        end
    end
    for line in io.lines(file) do
        local words = {}
        for word in line:gmatch("%S+") do words[#words + 1] = word end
        local what, struct, field = words[1], words[2], words[3]
        -- Neither log nor events are offered here.
        if what ~= "constant" or not (struct:find("^LOG_") or struct:find("^EVENT_")) then
            of_c[line] = true
            compared = compared + 1
        end
        if what == "struct" then
            ours[("struct %s %d"):format(struct, ffi.sizeof("ptpbmca_" .. struct))] = true
        elseif what == "field" then
            local offset = assert(ffi.offsetof("ptpbmca_" .. struct, field), line .. ": Lua has no such field")
            local place = ("field %s %s %d %d %s"):format(struct, field, offset, size_of(struct, field), kind(struct, field))
            ours[place] = true
        end
    end
    assert(compared > 100, "the C program printed too little")
    for line in pairs(of_c) do assert(ours[line], "not so in Lua: " .. line) end
    for line in pairs(ours) do assert(of_c[line], "not so in C: " .. line) end
    print(compared .. " sizes, places, types and constants")
end

local function config(more)
    more.local_address, more.event_port, more.general_port = "127.0.43.1", 24319, 24320
    return more
end

local function calls()
    local session, why = ptpbmca.start("speaker.local")
    assert(not session and why.name == "PTPBMCA_ERR_INVALID_ADDRESS" and tostring(why):find("speaker.local", 1, true))
    assert(not pcall(ptpbmca.start, "127.0.43.2", { event_port = 70000 }))
    assert(not pcall(ptpbmca.start, "127.0.43.2", { prority1 = 1 }))
    assert(not pcall(ptpbmca.start, "127.0.43.2\0junk"))

    -- Nobody is there: what is said of that, and the local time all the same.
    session = assert(ptpbmca.start("127.0.43.2", config({ role = ptpbmca.POLICY.FOLLOW, ready_timeout_ms = 0 })))
    local given, same
    given, why, same = session:receiver_time(0x4000000000000001LL)
    assert(given == nil and why.result == ptpbmca.RESULT.ERR_NOT_SYNCHRONIZED and same == 0x4000000000000001ULL)
    assert(not pcall(session.receiver_time, session, 2 ^ 60))
    assert(not pcall(session.local_time, session, -1LL))
    given, why = session:await_sync(1)
    assert(given == nil and why.name == "PTPBMCA_ERR_TIMEOUT")
    local status, advice = session:status()
    assert(status.event_port == 24319 and #advice > 20 and status.clock.error_ns == ptpbmca.UINT64_MAX)
    assert(session:stop() and session:stop())
    given, why = session:offset()
    assert(given == nil and why.name == "PTPBMCA_ERR_NO_SESSION")

    session = assert(ptpbmca.start("127.0.43.2", config({ role = ptpbmca.POLICY.LEAD })))
    assert(session:await_sync(5000))
    local changes, now = session:changes()
    local text = table.concat(changes, " ")
    assert(text:find("^ROLE_CHANGED GRANDMASTER_CHANGED.* SYNCHRONIZED$"), text)
    assert(now.role == ptpbmca.ROLE.LEADING and now.grandmaster_id == now.local_clock_id)
    assert(#session:changes() == 0)
    local anchor = session:anchor(session:local_now())
    assert(anchor.timeline_id == now.grandmaster_id and anchor.seconds == anchor.receiver_ns / 1000000000ULL)
    assert(session:local_time(session:receiver_time(5000000001LL)) == 5000000001LL)
    -- Forgotten, it ends: another one of the same receiver may have another role.
    session = nil
    collectgarbage()
    collectgarbage()
    session = assert(ptpbmca.start("127.0.43.2", config({ role = ptpbmca.POLICY.FOLLOW, ready_timeout_ms = 0 })))
end

if arg[1] == "layout" then layout(arg[2]) else calls() end
