"""Workers that run a job's tasks side by side: how they are gathered, and meet again.

A job whose tasks need each other (training on several machines) begins once every task has a
worker, all at once or not at all: one job of a queue gathers at a time, so that no two ever hold
half of the workers each, and after `gather_s` it gives them back for a while.

Who has met forms a round.  It lasts until a worker's lease is lost, a worker asks to meet again,
or more have come than are in it.  A later round waits `regroup_s` for all, then goes on with those
that are there, as many as can share the work.  Leases say who is there; nothing else does.

Keys of a job, beside those of farm.store:

    meeting   hash    round; members, host, port of a round that stands; since, while none does
    here      hash    task -> its lease and address, of a worker that waits to meet
    later     string  for as long as a job that gathered in vain lets others have the workers
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from farm.child import Meeting
from farm.scripts import NOW
from farm.store import Store

TTL_S = 10.0  # whoever gathers says so every half second
LATER_S = 30.0

# KEYS meeting gathering later / ARGV job ttl_ms -> 1 it may gather, 0 another does, or it rests
JOIN = """
if redis.call('HEXISTS', KEYS[1], 'round') == 1 then return 1 end
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local other = redis.call('GET', KEYS[2])
if other and other ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS leases leased done meeting here ...; ARGV[1] is the sizes that a round may have, as JSON
_ROUND = (
    NOW
    + """
local function held(task, lease)
  local expiry = redis.call('ZSCORE', KEYS[2], task)
  return redis.call('HGET', KEYS[1], task) == lease and expiry and tonumber(expiry) > now
end
local function over(task) return redis.call('HEXISTS', KEYS[3], task) == 1 end
local function largest(number)
  local best = 0
  for _, size in ipairs(cjson.decode(ARGV[1])) do
    if size <= number and size > best then best = size end
  end
  return best
end
local function waiting()
  local found, leases, all = {}, {}, redis.call('HGETALL', KEYS[5])
  for i = 1, #all, 2 do
    local one = cjson.decode(all[i + 1])
    if held(all[i], one[1]) then
      table.insert(found, all[i])
      leases[all[i]] = one
    else
      redis.call('HDEL', KEYS[5], all[i])
    end
  end
  table.sort(found, function(a, b) return #a < #b or (#a == #b and a < b) end)
  return found, leases
end
local function dissolve()
  redis.call('HDEL', KEYS[4], 'members', 'host', 'port')
  redis.call('HSET', KEYS[4], 'since', now)
end
local round = tonumber(redis.call('HGET', KEYS[4], 'round') or '0')
local text = redis.call('HGET', KEYS[4], 'members')
local members = text and cjson.decode(text)
"""
)

# KEYS leases leased done meeting here gathering later
# ARGV sizes task lease host port after nodes gather_s regroup_s job ttl_ms later_ms
# -> 'met' round place size host port; 'wait' here wanted; 'late' here wanted
MEET = (
    _ROUND
    + """
local task, lease, after, nodes = ARGV[2], ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[7])
local function met()
  for place, member in ipairs(members) do
    if member[1] == task and member[2] == lease then
      local at = redis.call('HMGET', KEYS[4], 'host', 'port')
      return {'met', round, place - 1, #members, at[1], at[2]}
    end
  end
end
if members then
  local mine = met()
  if mine and round > after then return mine end
  local stands = not mine
  for _, member in ipairs(members) do
    stands = stands and (held(member[1], member[2]) or over(member[1]))
  end
  if not stands then
    dissolve()
    members = nil
  end
end
redis.call('HSET', KEYS[5], task, cjson.encode({lease, ARGV[4], ARGV[5]}))
local here, who = waiting()
local wanted = nodes - redis.call('HLEN', KEYS[3])
if members then return {'wait', #here, wanted} end
redis.call('HSETNX', KEYS[4], 'since', now)
local waited = now - tonumber(redis.call('HGET', KEYS[4], 'since'))
local size = 0
if #here >= wanted or (round > 0 and waited > tonumber(ARGV[9])) then
  size = largest(#here)
elseif round == 0 and (waited > tonumber(ARGV[8]) or redis.call('EXISTS', KEYS[7]) == 1) then
  redis.call('DEL', KEYS[4])
  redis.call('HDEL', KEYS[5], task)
  redis.call('SET', KEYS[7], 1, 'PX', ARGV[12])
  if redis.call('GET', KEYS[6]) == ARGV[10] then redis.call('DEL', KEYS[6]) end
  return {'late', #here, wanted}
end
if size == 0 then
  if round == 0 then redis.call('SET', KEYS[6], ARGV[10], 'PX', ARGV[11]) end
  return {'wait', #here, wanted}
end
members, round = {}, round + 1
for i = 1, size do
  members[i] = {here[i], who[here[i]][1]}
  redis.call('HDEL', KEYS[5], here[i])
end
local first = who[here[1]]
redis.call('HSET', KEYS[4], 'round', round, 'members', cjson.encode(members),
  'host', first[2], 'port', first[3])
redis.call('HDEL', KEYS[4], 'since')
if redis.call('GET', KEYS[6]) == ARGV[10] then redis.call('DEL', KEYS[6]) end
return met() or {'wait', #here - size, wanted}
"""
)

# KEYS leases leased done meeting here / ARGV sizes round -> 1 the round stands, 0 it does not
STANDS = (
    _ROUND
    + """
if not members or round ~= tonumber(ARGV[2]) then return 0 end
local ending, stands = false, true
for _, member in ipairs(members) do
  if over(member[1]) then
    ending = true
  elseif not held(member[1], member[2]) then
    stands = false
  end
end
if stands and not ending and largest(#members + #(waiting())) > #members then stands = false end
if not stands then dissolve() end
return stands and 1 or 0
"""
)


@dataclass(frozen=True)
class Waiting:
    """Not met yet."""

    here: int
    wanted: int
    late: bool
    """Too long: the workers are wanted back."""


class Meetings:
    """Of all jobs, in Redis."""

    def __init__(self, store: Store):
        script = store.client.register_script
        self._client = store.client
        self._join, self._meet, self._stands = script(JOIN), script(MEET), script(STANDS)

    def join(self, job: str, queue: str) -> bool:
        """Whether a worker may take a task of a job now, to wait for the others."""
        keys = [_key(job, "meeting"), _gathering(queue), _key(job, "later")]
        return bool(self._join(keys=keys, args=[job, int(TTL_S * 1000)]))

    def meet(
        self,
        job: str,
        task: str,
        lease: str,
        *,
        queue: str,
        host: str,
        port: int,
        nodes: int,
        sizes: Sequence[int],
        after: int,
        gather_s: float,
        regroup_s: float,
    ) -> Meeting | Waiting:
        """A worker waits to meet the others of its job; asked until they have met.

        lease  "token worker" of its task
        host   its machine's address, and the port where it can be found
        nodes  how many are wanted
        sizes  how many can share the work
        after  the round that it was in; 0 before the first
        """
        parts = ("leases", "leased", "done", "meeting", "here")
        keys = [*(_key(job, part) for part in parts), _gathering(queue), _key(job, "later")]
        found = self._meet(
            keys=keys,
            args=[
                json.dumps(list(sizes)), task, lease, host, port, after, nodes, gather_s, regroup_s,
                job, int(TTL_S * 1000), int(LATER_S * 1000),
            ],
        )  # fmt: skip
        if found[0] == "met":
            number, place, size, port = (int(found[i]) for i in (1, 2, 3, 5))
            return Meeting(number, place, size, found[4], port, address=host)
        return Waiting(int(found[1]), int(found[2]), late=found[0] == "late")

    def stands(self, job: str, number: int, sizes: Sequence[int]) -> bool:
        """Whether a round is to go on."""
        parts = ("leases", "leased", "done", "meeting", "here")
        keys = [_key(job, part) for part in parts]
        return bool(self._stands(keys=keys, args=[json.dumps(list(sizes)), number]))

    def begun(self, job: str) -> bool:
        """Whether its workers have met before."""
        return bool(self._client.hexists(_key(job, "meeting"), "round"))

    def hinders(self, job: str, queue: str) -> str:
        """What a job that has not begun waits for before it may gather workers; "" for nothing."""
        other = self._client.get(_gathering(queue))
        if other and other != job:
            return f"waits for job {other}, which gathers its workers"
        rest_ms = self._client.pttl(_key(job, "later"))
        if rest_ms > 0:
            return "too few workers came together; gathers again at " + time.strftime(
                "%H:%M:%S", time.localtime(math.ceil(time.time() + rest_ms / 1000))
            )
        return ""


def _key(job: str, part: str) -> str:
    return f"farm:{job}:{part}"


def _gathering(queue: str) -> str:
    """The job that gathers workers of a queue; it expires with whoever says so."""
    return f"farm:gathering:{queue}"
