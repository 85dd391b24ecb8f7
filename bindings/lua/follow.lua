-- follow.lua: shows what time it is on a receiver, once a second, until Ctrl-C. examples/follow.c in LuaJIT.
--
--     luajit follow.lua RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] [--truth FILE]
--
-- --truth names a file in which a simulated receiver says what its clock really reads; the table then has a column with
-- the error.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local ffi = require("ffi")
local ptpbmca = require("ptpbmca")

ffi.cdef([[
struct timespec { long tv_sec, tv_nsec; };
int clock_gettime(int, struct timespec *);
int nanosleep(const struct timespec *, struct timespec *);
]])

local CLOCK_MONOTONIC = 1 -- Linux

local function monotonic_ns()
    local now = ffi.new("struct timespec")
    ffi.C.clock_gettime(CLOCK_MONOTONIC, now)
    return 1000000000LL * now.tv_sec + now.tv_nsec
end

-- A 64-bit number from decimal digits: tonumber() would round it.
local function digits(text)
    local value = 0LL
    for digit in text:gmatch("%d") do value = value * 10 + tonumber(digit) end
    return text:sub(1, 1) == "-" and -value or value
end

-- What the simulated receiver's clock reads at a monotonic time, by the last line of its file. nil: it says nothing.
local function truth_at(file, at)
    local reads
    for line in io.lines(file) do
        local from, then_, skew_ppb = line:match("^truth (%d+) (%d+) (-?%d+)")
        if from then
            local since = at - digits(from)
            reads = digits(then_) + since + ffi.cast("int64_t", tonumber(since) * tonumber(skew_ppb) * 1e-9)
        end
    end
    return reads
end

local function show(session, truth)
    local now = assert(session:offset())
    -- A 64-bit number prints as digits with LL or ULL behind them.
    local row = { ("%-9s  %-9s  %20s  %+9.3f"):format(ptpbmca.name(ptpbmca.SYNC, now.sync_state),
        ptpbmca.name(ptpbmca.ROLE, now.role), (tostring(now.offset_ns):gsub("U?LL$", "")), now.skew_ppm) }
    if now.synchronized == 0 then
        row[2] = select(2, session:status())
    else
        local age_ms = now.age_ns == ptpbmca.UINT64_MAX and 0 or tonumber(now.age_ns) / 1e6
        row[2] = ("%9.1f  %9.1f  %7.0f  %5d"):format(tonumber(now.error_ns) / 1e3, tonumber(now.path_delay_ns) / 1e3,
            age_ms, now.epoch)
        if truth then
            local before = monotonic_ns()
            local receiver_ns = session:receiver_now()
            local after = monotonic_ns()
            local really = truth_at(truth, before + (after - before) / 2)
            if receiver_ns and really then
                row[3] = ("%+9.1f"):format(tonumber(ffi.cast("int64_t", receiver_ns) - really) / 1e3)
            end
        end
    end
    print(table.concat(row, "  "))
    io.stdout:flush()
end

local options, receiver = { config = {}, seconds = 0, every = 1000 }, nil
local at = 1
local function following()
    at = at + 1
    return arg[at]
end
while arg[at] do
    local option = arg[at]
    if option == "--local" then options.config.local_address = following()
    elseif option == "--ports" then
        options.config.event_port, options.config.general_port = tonumber(following()), tonumber(following())
    elseif option == "--seconds" then options.seconds = tonumber(following())
    elseif option == "--every" then options.every = tonumber(following())
    elseif option == "--truth" then options.truth = following()
    else receiver = not receiver and not option:find("^%-") and option or ""
    end
    at = at + 1
end
if not receiver or receiver == "" or not options.seconds or not options.every or options.every < 1 then
    io.stderr:write("usage: luajit follow.lua RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] ",
        "[--every MS] [--truth FILE]\n")
    os.exit(2)
end

local session, why = ptpbmca.start(receiver, options.config)
if not session then
    io.stderr:write(why.name, ": ", why.message, "\n")
    os.exit(1)
end
local synchronized
synchronized, why = session:await_sync(5000)
if not synchronized then io.stderr:write(why.name, ": ", why.message, "\n") end

print(("%-9s  %-9s  %20s  %9s  %9s  %9s  %7s  %5s%s"):format("state", "role", "offset ns", "skew ppm", "bound us",
    "path us", "age ms", "epoch", options.truth and "   error us" or ""))
local stop_at = monotonic_ns() + options.seconds * 1e9
-- Ctrl-C ends LuaJIT itself, and the session with it.
while true do
    show(session, options.truth)
    if options.seconds > 0 and monotonic_ns() >= stop_at then break end
    local pause = ffi.new("struct timespec", math.floor(options.every / 1000), options.every % 1000 * 1000000)
    ffi.C.nanosleep(pause, nil)
end
session:stop()
