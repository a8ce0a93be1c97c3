"""What must happen in Redis in one step, as Lua. Times are the server's own, in seconds.

Keys of a job are `farm:<job>:<part>`; the parts are told in farm.store.  Redis asks of a script's
user that all its KEYS may be written: a key that a worker may only read is an argument.
"""

from __future__ import annotations

NOW = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
"""

# KEYS job todo queued / ARGV n -> names, now in the window
DISPATCH = (
    NOW
    + """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return {} end
local names = redis.call('LPOP', KEYS[2], ARGV[1])
if not names then return {} end
for _, name in ipairs(names) do redis.call('ZADD', KEYS[3], now, name) end
return names
"""
)

# KEYS job queued leases leased done dead avoid live strikes
# ARGV task worker token lease_s alone(0|1) most_strikes version('' of whoever has none)
#      and, only read, the keys of the version and the holds
# -> 'ok', or why not: stop done leased version held avoid off
CLAIM = (
    NOW
    + """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 'stop' end
if redis.call('HEXISTS', KEYS[5], ARGV[1]) == 1 or redis.call('HEXISTS', KEYS[6], ARGV[1]) == 1 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 'done'
end
local expiry = redis.call('ZSCORE', KEYS[4], ARGV[1])
if expiry and tonumber(expiry) > now then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 'leased'
end
local refused = nil
if ARGV[5] == '0' then
  if redis.call('HGET', KEYS[7], ARGV[1]) == ARGV[2] then refused = 'avoid' end
  if redis.call('SCARD', KEYS[9]) >= tonumber(ARGV[6]) then refused = 'off' end
end
if redis.call('HEXISTS', ARGV[9], ARGV[2]) == 1 then refused = 'held' end
local version = redis.call('GET', ARGV[8])
if version and ARGV[7] ~= '' and version ~= ARGV[7] then refused = 'version' end
if refused then
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  return refused
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3] .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[4], now + ARGV[4], ARGV[1])
redis.call('HDEL', KEYS[8], ARGV[1])
return 'ok'
"""
)

# KEYS job leases leased done live / ARGV task worker token lease_s live -> ok lost stop
# A lease that nobody holds (Redis lost its last second, or it ran out) is taken up again.
RENEW = (
    NOW
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state or redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1 then return 'lost' end
local mine = ARGV[3] .. ' ' .. ARGV[2]
local holder = redis.call('HGET', KEYS[2], ARGV[1])
if holder and holder ~= mine then return 'lost' end
if not holder then redis.call('HSET', KEYS[2], ARGV[1], mine) end
redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[5], ARGV[1], ARGV[5]) end
if state ~= 'running' then return 'stop' end
return 'ok'
"""
)

# KEYS leases leased done committed live made queued job again counts final log logs
# ARGV task worker token done unit n ...
# -> 1 recorded, 0 not ours
# What storage was found to have (no token) is not counted as made. The live log of a task that
# went well goes a little later, so that whoever follows it sees its end.
COMMIT = (
    NOW
    + """
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder and ARGV[3] ~= '' and holder ~= ARGV[3] .. ' ' .. ARGV[2] then return 0 end
if redis.call('EXISTS', KEYS[8]) == 0 then return 0 end
if redis.call('HSETNX', KEYS[3], ARGV[1], ARGV[4]) == 0 then return 0 end
redis.call('RPUSH', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('SREM', KEYS[9], ARGV[1])
for i = 5, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[6], ARGV[i], ARGV[i + 1])
  if ARGV[3] ~= '' then redis.call('HINCRBY', KEYS[10], 'units ' .. ARGV[i], ARGV[i + 1]) end
end
if ARGV[3] ~= '' then redis.call('HINCRBY', KEYS[10], 'tasks', 1) end
if redis.call('HEXISTS', KEYS[11], ARGV[1]) == 0 then
  redis.call('EXPIRE', KEYS[12], 30)
  redis.call('ZREM', KEYS[13], ARGV[1])
end
return 1
"""
)

# KEYS leases leased live todo avoid queued / ARGV task worker token avoid(worker or '')
# -> 1 handed back, 0 not ours
RELEASE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[3] .. ' ' .. ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('LPUSH', KEYS[4], ARGV[1])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[5], ARGV[1], ARGV[4]) end
return 1
"""

# KEYS leases leased live todo expired counts / ARGV task
# -> how often that task's lease has run out
EXPIRE = (
    NOW
    + """
local expiry = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not expiry or tonumber(expiry) > now then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('LPUSH', KEYS[4], ARGV[1])
redis.call('HINCRBY', KEYS[6], 'leases expired', 1)
return redis.call('HINCRBY', KEYS[5], ARGV[1], 1)
"""
)

# KEYS queued todo counts / ARGV age_s name ... -> names put back
VANISHED = (
    NOW
    + """
local names = {}
for i = 2, #ARGV do
  local sent = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if sent and tonumber(sent) <= now - ARGV[1] then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('LPUSH', KEYS[2], ARGV[i])
    names[#names + 1] = ARGV[i]
  end
end
if #names > 0 then redis.call('HINCRBY', KEYS[3], 'messages lost', #names) end
return names
"""
)

# KEYS leased / -> names whose lease has run out
EXPIRED = (
    NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
"""
)

# KEYS workers seen / ARGV name record, and, only read, the keys of the version and the holds
# -> the controller's version, what it is told
BEAT = (
    NOW
    + """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
return {redis.call('GET', ARGV[3]) or '', redis.call('HGET', ARGV[4], ARGV[1]) or ''}
"""
)

# KEYS workers seen / ARGV age_s -> names of the workers forgotten
FORGET = (
    NOW
    + """
local names = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1])
for _, name in ipairs(names) do
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
return names
"""
)

# KEYS jobs / ARGV prefix state ... -> names of the jobs in one of these states, in order
ACTIVE = """
local wanted = {}
for i = 2, #ARGV do wanted[ARGV[i]] = true end
local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local state = redis.call('HGET', ARGV[1] .. name, 'state')
  if state and wanted[state] then found[#found + 1] = name end
end
return found
"""

# KEYS lock ticked version last / ARGV holder ttl_ms version
# -> 'kept', 'new' where it was another's since, '' where it is another's
LOCK = (
    NOW
    + """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return '' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], now)
if ARGV[3] ~= '' then redis.call('SET', KEYS[3], ARGV[3]) end
local last = redis.call('GET', KEYS[4])
if last == ARGV[1] then return 'kept' end
redis.call('SET', KEYS[4], ARGV[1])
return 'new'
"""
)

# KEYS job / ARGV to from ... -> 1 if the state was one of those and now is `to`
TURN = (
    NOW
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
for i = 2, #ARGV do
  if ARGV[i] == state then
    redis.call('HSET', KEYS[1], 'state', ARGV[1], 'changed', now)
    return 1
  end
end
return 0
"""
)

# KEYS log logs / ARGV keep ttl_s most name prefix line ...
# Adds lines to a live log, of which `keep` stay; the ones that were silent longest make room.
LOG = (
    NOW
    + """
for i = 6, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', 'line', ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[2])
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1 - ARGV[3])) do
  redis.call('ZREM', KEYS[2], name)
  redis.call('UNLINK', ARGV[5] .. name)
end
return 1
"""
)
