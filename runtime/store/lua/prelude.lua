-- What every script shares: names of keys, the packed head, ownership, queues. Put before each of the others.
--
-- All keys of an execution, and all indexes that name it, carry the hash tag of its partition, `ax:{p7}:`, so that
-- one script on one slot does one step. Within a partition (E: execution, S: session, A: account):
--
--   j:E  journal, a stream: see append.lua       h:E  head, packed         s:E  snapshot: seq, bytes
--   b:E  blobs, a hash                           d:E  signals' ids -> seq  f:E:<node>  frames, a stream; n:E counts
--   o:E  outbox entries, a hash                  l:E  their order: <destination>\0<seq>/<n>
--   oq   heads of those lines by due time, of the lane outside; oi: inside (other executions)
--   oa   all entries by age                      od   dead ones            oh:S  held by a session
--   q:A:<queue>  ready, by priority and time     t:<queue>  waiting for their time
--   qa:<queue>  accounts that have ready ones    qt:<queue>  turns: account -> end of its last, '' -> the present
--   ss   sessions by end of lease                w:S  what one owns -> crc m:S  mailbox -> seq    sz  ended ones
--   e    all ids                                 x    final ones by end of retention             u  blobs not yet named
--   i:A, i:<STATUS>:A, if:A:<flow>, ig:A:<graph_id>   by accepted time     k:…, y:…  idempotency and business keys
--
-- Checks come first, then writes; nothing after the checks can fail for a reason of the item.

local call, spack, sunpack = redis.call, struct.pack, struct.unpack
local STATUS = {QUEUED = 1, RUNNING = 2, PAUSED = 3, WAITING_ON_GATE = 4, DEBUG_PAUSED = 5, WAITING = 6,
  COMPENSATING = 7, COMPLETED = 8, FAILED = 9, CANCELLED = 10}
local STATUS_NAME = {'QUEUED', 'RUNNING', 'PAUSED', 'WAITING_ON_GATE', 'DEBUG_PAUSED', 'WAITING',
  'COMPENSATING', 'COMPLETED', 'FAILED', 'CANCELLED'}
local FIRST_FINAL = 8
local NEVER = -1
local PRIORITY_STEP = 60000  -- ms of waiting that one priority is worth: PRIORITY_MS of limits.py

local stamp = call('TIME')
local now = tonumber(stamp[1]) * 1000 + math.floor(tonumber(stamp[2]) / 1000)
local N = tonumber(ARGV[1])

local prefixes = {}
local function prefix_of(number)
  local found = prefixes[number]
  if not found then
    found = 'ax:{p' .. number .. '}:'
    prefixes[number] = found
  end
  return found
end

local function prefix(id)
  return prefix_of(tonumber(string.sub(id, 1, 4), 16) % N)
end

-- The head: fixed fields, session, queue, then the creation's own facts as MessagePack, which never change.
-- seq, check and updated stand first: most appends change only these.
local HEAD = '>I4I4dBddddi4I4I4I2c0I2c0'

local function read_head(p, id)
  local raw = call('GET', p .. 'h:' .. id)
  if not raw then return nil end
  local h = {p = p, id = id}
  local rest
  h.seq, h.check, h.updated, h.status, h.epoch, h.ready, h.started, h.completed, h.priority, h.frames, h.crc,
    h.session, h.queue, rest = sunpack(HEAD, raw)
  h.tail = string.sub(raw, rest)
  return h
end

local function write_head(h)
  call('SET', h.p .. 'h:' .. h.id, spack(HEAD, h.seq, h.check, h.updated, h.status, h.epoch, h.ready, h.started,
    h.completed, h.priority, h.frames, h.crc, #h.session, h.session, #h.queue, h.queue) .. h.tail)
end

local FACT = {created = 1, account = 2, flow = 3, graph_id = 4, mode = 5, retention_days = 6, key = 7,
  request_hash = 8, business_key = 9, key_name = 10, business_name = 11}

local function facts(h)
  if not h.facts then h.facts = cmsgpack.unpack(h.tail) end
  return h.facts
end

local function index_name(p, kind, account, value)
  return p .. kind .. #account .. ':' .. account .. ':' .. value
end

-- Hints: one message for the whole call.
local hints = {}
local function hint(kind, subject, seq, status, id)
  hints[#hints + 1] = {kind, subject, seq, status, id}
end

local function publish(channel)
  if #hints > 0 then call('PUBLISH', channel, cmsgpack.pack(hints)) end
end

-- Queues: a line per account.
local function line_key(p, account, queue)
  return p .. 'q:' .. #account .. ':' .. account .. ':' .. queue
end

local function stand(h, queue, since)
  local account = facts(h)[FACT.account]
  call('ZADD', line_key(h.p, account, queue), since - h.priority * PRIORITY_STEP, h.id)
  call('SADD', h.p .. 'qa:' .. queue, account)
end

local function enqueue(h, queue, ready_at)
  h.queue = queue
  if not ready_at then
    h.ready = NEVER
  elseif ready_at <= now then
    h.ready = ready_at
    stand(h, queue, ready_at > 0 and ready_at or now)
    hint('ready', queue, h.seq, '', h.id)
  else
    h.ready = ready_at
    call('ZADD', h.p .. 't:' .. queue, ready_at, h.id)
  end
end

local function dequeue(h)
  if h.ready ~= NEVER then
    local account = facts(h)[FACT.account]
    local line = line_key(h.p, account, h.queue)
    call('ZREM', line, h.id)
    if call('EXISTS', line) == 0 then call('SREM', h.p .. 'qa:' .. h.queue, account) end
    call('ZREM', h.p .. 't:' .. h.queue, h.id)
    h.ready = NEVER
  end
end

-- Ownership. A session that nobody has opened counts as dead, so that what it owns is found.
local function own(h, session, epoch)
  h.session, h.epoch = session, epoch
  call('HSET', h.p .. 'w:' .. session, h.id, h.crc)
  call('ZADD', h.p .. 'ss', 'NX', 0, session)
end

local function release(h)
  if h.session ~= '' then
    call('HDEL', h.p .. 'w:' .. h.session, h.id)
    h.session = ''
  end
end

local function alive(p, session)
  local ends = call('ZSCORE', p .. 'ss', session)
  return ends and tonumber(ends) > now
end

-- The outbox. An entry: kind, destination, payload, attempts, created, due, dead, error, holder.
local OUT = {kind = 1, destination = 2, payload = 3, attempts = 4, created = 5, due = 6, dead = 7, error = 8, holder = 9}

local function split_name(name)
  return string.sub(name, 1, 32), string.sub(name, 34)
end

local function line_of(destination, short)
  local seq, n = string.match(short, '^(%d+)/(%d+)$')
  return destination .. '\0' .. string.format('%012d/%09d', seq, n)
end

-- The first undelivered entry of a destination, as <seq>/<n>.
local function first_of(p, id, destination)
  local found = call('ZRANGEBYLEX', p .. 'l:' .. id, '[' .. destination .. '\0', '(' .. destination .. '\1',
    'LIMIT', 0, 1)
  if not found[1] then return nil end
  local seq, n = string.match(string.sub(found[1], #destination + 2), '^(%d+)/(%d+)$')
  return string.format('%d/%d', seq, n)
end

local function entry_of(p, id, short)
  local raw = call('HGET', p .. 'o:' .. id, short)
  return raw and cmsgpack.unpack(raw)
end

local function write_entry(p, id, short, entry)
  call('HSET', p .. 'o:' .. id, short, cmsgpack.pack(entry))
end

local INSIDE = {start = true, signal = true, cancel = true}

local function lane_of(entry)
  return INSIDE[entry[OUT.kind]] and 'inside' or 'outside'
end

local function lane_key(p, lane)
  return p .. (lane == 'inside' and 'oi' or 'oq')
end

local function outbox_hint(entry, id)
  hint('outbox', lane_of(entry), 0, '', id)
end

-- A session holds nothing any more; or, of one lane, nothing but the names that are `kept`.
local function let_go(p, session, lane, kept)
  local held = call('SMEMBERS', p .. 'oh:' .. session)
  for i = 1, #held do
    local id, short = split_name(held[i])
    local entry = entry_of(p, id, short)
    if not entry or not lane or (lane_of(entry) == lane and not kept[held[i]]) then
      call('SREM', p .. 'oh:' .. session, held[i])
      if entry and entry[OUT.holder] == session then
        entry[OUT.holder] = ''
        write_entry(p, id, short, entry)
        call('ZADD', lane_key(p, lane_of(entry)), entry[OUT.due], held[i])
      end
    end
  end
end

-- Forget a dead session that owns nothing any more. `mark` > 0: it was ended; < 0: its lease ran out.
local ENDED_KEPT_MS = 86400000
local function bury(p, session, mark)
  let_go(p, session)
  if call('EXISTS', p .. 'w:' .. session) == 1 then return end
  call('ZREM', p .. 'ss', session)
  call('DEL', p .. 'm:' .. session)
  call('HDEL', p .. 'si', session)
  if not call('ZSCORE', p .. 'sz', session) then call('ZADD', p .. 'sz', mark, session) end
  call('ZREMRANGEBYSCORE', p .. 'sz', 1, now - ENDED_KEPT_MS)
  call('ZREMRANGEBYSCORE', p .. 'sz', -(now - ENDED_KEPT_MS), -1)
end
