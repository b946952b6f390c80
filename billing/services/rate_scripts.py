"""What Redis runs to count requests: each a single step, by Redis' own clock, for all levels at once.

The rate is a generic cell rate algorithm: a bucket of `burst` that refills evenly, kept as the one time at which it
will be full. A day's count is "day:requests", days being counted from 1970 in UTC. A lease is a member of a sorted set
whose score is its end. Times are microseconds, written as whole numbers: Lua would round them to 14 digits.

KEYS are three for each level: rate, day, leases. ARGV are four for each level: microseconds for one request, burst,
requests per day, calls at a time; 0 where the level has no such bound.
"""

_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local DAY = 86400000000
local today = math.floor(now / DAY)
local function whole(number) return string.format('%.0f', number) end
local function requests_on(day, key)
    local text = redis.call('GET', key)
    if not text then return 0 end
    local then_, count = string.match(text, '(%d+):(%d+)')
    return tonumber(then_) == day and tonumber(count) or 0
end
"""

# Further KEYS: the lease's record. Further ARGV: lease id, lease (us).
# Answers (outcome, level, us to wait; today; level, left, us until full; level, left; level, left, us until midnight):
# of rate, concurrency and day, the level (from 1, 0 for none) that has the least left after this call, and what.
ADMIT = (
    _CLOCK
    + """
local levels = math.floor(#KEYS / 3)
local lease_id, lease = ARGV[levels * 4 + 1], tonumber(ARGV[levels * 4 + 2])
local function bound(level, which) return tonumber(ARGV[(level - 1) * 4 + which]) end
local function key(level, which) return KEYS[(level - 1) * 3 + which] end

local outcome, refusing, longest = 'admitted', 0, 0
local full_at, busy, counted = {}, {}, {}
local function refuse(level, word, wait)
    if wait > longest then outcome, refusing, longest = word, level, wait end
end
for level = 1, levels do
    local interval, burst = bound(level, 1), bound(level, 2)
    if interval > 0 then
        full_at[level] = math.max(tonumber(redis.call('GET', key(level, 1)) or now), now)
        refuse(level, 'rate_limited', full_at[level] + interval - interval * burst - now)
    end
    if bound(level, 3) > 0 then
        counted[level] = requests_on(today, key(level, 2))
        if counted[level] >= bound(level, 3) then refuse(level, 'quota_exceeded', (today + 1) * DAY - now) end
    end
    if bound(level, 4) > 0 then
        redis.call('ZREMRANGEBYSCORE', key(level, 3), '-inf', whole(now))
        busy[level] = redis.call('ZCARD', key(level, 3))
        if busy[level] >= bound(level, 4) then refuse(level, 'concurrency_limited', 1) end
    end
end

local taken = refusing == 0 and 1 or 0
local upper = {}
if taken == 1 then
    for level = 1, levels do
        if full_at[level] then
            full_at[level] = full_at[level] + bound(level, 1)
            redis.call('SET', key(level, 1), whole(full_at[level]), 'PX', math.ceil((full_at[level] - now) / 1000))
        end
        if counted[level] then
            local left_ms = math.ceil(((today + 1) * DAY - now) / 1000)
            redis.call('SET', key(level, 2), today .. ':' .. counted[level] + 1, 'PX', left_ms)
        end
        if busy[level] then
            redis.call('ZADD', key(level, 3), whole(now + lease), lease_id)
            if redis.call('PTTL', key(level, 3)) < math.ceil(lease / 1000) then
                redis.call('PEXPIRE', key(level, 3), math.ceil(lease / 1000))
            end
            if level > 1 then upper[#upper + 1] = key(level, 3) end
        end
    end
    if #upper > 0 then
        redis.call('SET', KEYS[levels * 3 + 1], table.concat(upper, ' '), 'PX', math.ceil(lease / 1000))
    end
end

local rate, rate_left, refill = 0, 0, 0
local places, places_left = 0, 0
local days, days_left = 0, 0
for level = 1, levels do
    if full_at[level] then
        local interval = bound(level, 1)
        local left = math.max(0, math.floor((now + interval * bound(level, 2) - full_at[level]) / interval))
        if rate == 0 or left < rate_left then rate, rate_left, refill = level, left, full_at[level] - now end
    end
    if busy[level] then
        local left = bound(level, 4) - busy[level] - taken
        if places == 0 or left < places_left then places, places_left = level, left end
    end
    if counted[level] then
        local left = bound(level, 3) - counted[level] - taken
        if days == 0 or left < days_left then days, days_left = level, left end
    end
end
return {outcome, refusing, math.ceil(longest), today, rate, rate_left, math.ceil(refill), places, places_left,
        days, days_left, math.ceil((today + 1) * DAY - now)}
"""
)

# Further KEYS: the lease's record. Further ARGV: lease id, the day on which the call was counted. What was admitted is
# as if it had never come. A call that comes twice to give back finds its lease gone, and gives back nothing.
GIVE_BACK = (
    _CLOCK
    + """
local levels = math.floor(#KEYS / 3)
local lease_id, day = ARGV[levels * 4 + 1], tonumber(ARGV[levels * 4 + 2])
if redis.call('ZREM', KEYS[3], lease_id) == 0 then return 0 end
for level = 1, levels do
    local rate, count, leases = KEYS[level * 3 - 2], KEYS[level * 3 - 1], KEYS[level * 3]
    local interval = tonumber(ARGV[(level - 1) * 4 + 1])
    local full_at = tonumber(redis.call('GET', rate))
    if interval > 0 and full_at then
        if full_at - interval <= now then
            redis.call('DEL', rate)
        else
            redis.call('SET', rate, whole(full_at - interval), 'PX', math.ceil((full_at - interval - now) / 1000))
        end
    end
    local requests = requests_on(day, count)
    if requests > 0 then redis.call('SET', count, day .. ':' .. requests - 1, 'KEEPTTL') end
    redis.call('ZREM', leases, lease_id)
end
redis.call('DEL', KEYS[levels * 3 + 1])
return 1
"""
)

# KEYS: the sub-token's leases, the lease's record; ARGV: lease id, lease (us). A lease that was given back stays so.
KEEP = (
    _CLOCK
    + """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local lease = tonumber(ARGV[2])
local sets = {KEYS[1]}
for name in string.gmatch(redis.call('GET', KEYS[2]) or '', '%S+') do sets[#sets + 1] = name end
for _, name in ipairs(sets) do
    redis.call('ZADD', name, whole(now + lease), ARGV[1])
    if redis.call('PTTL', name) < math.ceil(lease / 1000) then redis.call('PEXPIRE', name, math.ceil(lease / 1000)) end
end
if #sets > 1 then redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 1000)) end
return 1
"""
)

# KEYS: the sub-token's leases, the lease's record; ARGV: lease id.
RELEASE = """
redis.call('ZREM', KEYS[1], ARGV[1])
local upper = redis.call('GET', KEYS[2])
if upper then
    for name in string.gmatch(upper, '%S+') do redis.call('ZREM', name, ARGV[1]) end
    redis.call('DEL', KEYS[2])
end
return 1
"""

# KEYS and ARGV as ADMIT: only a place among the calls at a time, no rate and no day. Answers 1, or 0 without a place.
TAKE_PLACE = (
    _CLOCK
    + """
local levels = math.floor(#KEYS / 3)
local lease_id, lease = ARGV[levels * 4 + 1], tonumber(ARGV[levels * 4 + 2])
for level = 1, levels do
    local most = tonumber(ARGV[level * 4])
    if most > 0 then
        redis.call('ZREMRANGEBYSCORE', KEYS[level * 3], '-inf', whole(now))
        if redis.call('ZCARD', KEYS[level * 3]) >= most then return 0 end
    end
end
local upper = {}
for level = 1, levels do
    if tonumber(ARGV[level * 4]) > 0 then
        local name = KEYS[level * 3]
        redis.call('ZADD', name, whole(now + lease), lease_id)
        if redis.call('PTTL', name) < math.ceil(lease / 1000) then
            redis.call('PEXPIRE', name, math.ceil(lease / 1000))
        end
        if level > 1 then upper[#upper + 1] = name end
    end
end
if #upper > 0 then
    redis.call('SET', KEYS[levels * 3 + 1], table.concat(upper, ' '), 'PX', math.ceil(lease / 1000))
end
return 1
"""
)
