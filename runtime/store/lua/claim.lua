-- Claim executions: those of dead sessions first, then ready ones over all given partitions: of each queue the accounts
-- in turn, by weight, and of an account by priority and time (`ready.py` says how turns are counted).
-- ARGV: partitions, session, limit, queues (MessagePack array), partition numbers (the same), weights (account -> number).
-- Answers {now, repairs, {id, head, former, seq of the snapshot or 0}…}.

local CHUNK = 8          -- ready entries looked at in one go, per partition, queue and account
local ACCOUNTS = 32      -- accounts looked at, per partition and queue: any of them, where there are more
local DUE_AT_ONCE = 256  -- timers moved to ready in one call, per partition and queue
local session, limit = ARGV[2], tonumber(ARGV[3])
local queues, numbers, weights = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5]), cmsgpack.unpack(ARGV[6])
local wanted = {}
for i = 1, #queues do wanted[queues[i]] = true end
local answer, repairs = {}, 0

local function take(h, former)
  dequeue(h)
  if former ~= '' then call('HDEL', h.p .. 'w:' .. former, h.id) end
  own(h, session, math.max(h.epoch + 1, now))
  write_head(h)
  local mark = call('GETRANGE', h.p .. 's:' .. h.id, 0, 3)
  answer[#answer + 1] = {h.id, call('GET', h.p .. 'h:' .. h.id), former, #mark == 4 and (sunpack('>I4', mark)) or 0}
end

local function inherit(p)
  local dead = call('ZRANGEBYSCORE', p .. 'ss', '-inf', now, 'LIMIT', 0, 64)
  for i = 1, #dead do
    if dead[i] ~= session then
      local ids = call('HKEYS', p .. 'w:' .. dead[i])
      for j = 1, #ids do
        if #answer >= limit then return end
        local h = read_head(p, ids[j])
        if not h or h.session ~= dead[i] then
          call('HDEL', p .. 'w:' .. dead[i], ids[j])
          repairs = repairs + 1
        elseif wanted[h.queue] then
          take(h, dead[i])
        end
      end
      bury(p, dead[i], -now)
    end
  end
end

local function ripen(p, queue)
  local due = call('ZRANGEBYSCORE', p .. 't:' .. queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, DUE_AT_ONCE)
  for i = 1, #due, 2 do
    call('ZREM', p .. 't:' .. queue, due[i])
    local h = read_head(p, due[i])
    if h then stand(h, queue, tonumber(due[i + 1])) end
  end
end

-- Turns are counted per queue over all partitions of the call; they are kept in the first of these.
local function turns_of(queue)
  local turns = {key = prefix_of(numbers[1]) .. 'qt:' .. queue, ends = {}, changed = false}
  local kept = call('HGETALL', turns.key)
  for i = 1, #kept, 2 do turns.ends[kept[i]] = tonumber(kept[i + 1]) end
  turns.present = turns.ends[''] or 0
  turns.ends[''] = nil
  return turns
end

local function turn(turns, account)
  turns.present = math.max(turns.present, turns.ends[account] or 0)
  turns.ends[account] = turns.present + 1 / (weights[account] or 1)
  turns.changed = true
end

local function keep(turns)
  if not turns.changed then return end
  call('DEL', turns.key)
  call('HSET', turns.key, '', string.format('%.17g', turns.present))
  for account, ends in pairs(turns.ends) do
    if ends > turns.present then call('HSET', turns.key, account, string.format('%.17g', ends)) end
  end
end

local function lines_of(p, queue, turns, sources)
  local accounts = call('SRANDMEMBER', p .. 'qa:' .. queue, ACCOUNTS)
  for i = 1, #accounts do
    sources[#sources + 1] = {p = p, queue = queue, turns = turns, account = accounts[i],
      key = line_key(p, accounts[i], queue), at = 1, list = {}}
  end
end

-- Merge the lines: each source is a sorted list read in chunks.
local function ready(all_turns)
  local sources = {}
  for _, queue in ipairs(queues) do
    all_turns[#all_turns + 1] = turns_of(queue)
    for _, number in ipairs(numbers) do
      ripen(prefix_of(number), queue)
      lines_of(prefix_of(number), queue, all_turns[#all_turns], sources)
    end
  end
  while #answer < limit do
    local best, best_ahead, best_score
    for i = #sources, 1, -1 do
      local source = sources[i]
      if source.at > #source.list then
        source.list, source.at = call('ZRANGE', source.key, 0, CHUNK - 1, 'WITHSCORES'), 1
      end
      local score = tonumber(source.list[source.at + 1])
      local ahead = math.max(0, (source.turns.ends[source.account] or 0) - source.turns.present)
      if not score then
        call('SREM', source.p .. 'qa:' .. source.queue, source.account)
        table.remove(sources, i)
      elseif not best or ahead < best_ahead or (ahead == best_ahead and score < best_score) then
        best, best_ahead, best_score = source, ahead, score
      end
    end
    if not best then return end
    local id = best.list[best.at]
    best.at = best.at + 2
    call('ZREM', best.key, id)  -- so that the next chunk begins behind it
    local h = read_head(best.p, id)
    if h and h.session == '' and h.status < FIRST_FINAL and h.queue == best.queue then
      turn(best.turns, best.account)
      take(h, '')
    else
      repairs = repairs + 1
    end
  end
end

local open = true
for _, number in ipairs(numbers) do open = open and alive(prefix_of(number), session) end
if open then
  for _, number in ipairs(numbers) do
    if #answer < limit then inherit(prefix_of(number)) end
  end
  if #answer < limit then
    local all_turns = {}
    ready(all_turns)
    for _, turns in ipairs(all_turns) do keep(turns) end
  end
end
return {now, repairs, answer}
