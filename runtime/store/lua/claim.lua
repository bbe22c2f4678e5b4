-- Claim executions: those of dead sessions first, then ready ones by priority and time over all given partitions.
-- ARGV: partitions, session, limit, queues (MessagePack array), partition numbers (the same).
-- Answers {now, repairs, {id, head, former, seq of the snapshot or 0}…}.

local CHUNK = 8          -- ready entries looked at in one go, per partition and queue
local DUE_AT_ONCE = 256  -- timers moved to ready in one call, per partition and queue
local session, limit = ARGV[2], tonumber(ARGV[3])
local queues, numbers = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])
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
    if h then
      call('ZADD', p .. 'q:' .. queue, tonumber(due[i + 1]) - h.priority * PRIORITY_STEP, due[i])
    end
  end
end

-- Merge the queues' heads: each source is a sorted list read in chunks.
local function ready()
  local sources = {}
  for _, number in ipairs(numbers) do
    local p = prefix_of(number)
    for _, queue in ipairs(queues) do
      ripen(p, queue)
      sources[#sources + 1] = {p = p, key = p .. 'q:' .. queue, queue = queue, at = 1, list = {}}
    end
  end
  while #answer < limit do
    local best, best_score
    for i = #sources, 1, -1 do
      local source = sources[i]
      if source.at > #source.list then
        source.list, source.at = call('ZRANGE', source.key, 0, CHUNK - 1, 'WITHSCORES'), 1
      end
      local score = tonumber(source.list[source.at + 1])
      if not score then
        table.remove(sources, i)
      elseif not best or score < best_score then
        best, best_score = source, score
      end
    end
    if not best then return end
    local id = best.list[best.at]
    best.at = best.at + 2
    call('ZREM', best.key, id)  -- so that the next chunk begins behind it
    local h = read_head(best.p, id)
    if h and h.session == '' and h.status < FIRST_FINAL and h.queue == best.queue then
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
  if #answer < limit then ready() end
end
return {now, repairs, answer}
