-- Permits: see permits.py, which says what holds. A limit L lies in a partition that its name chooses:
--
--   lr:L  places, a hash: holder -> {ticket, session, epoch, number, inside, called at, calls}; '' -> {most, tickets}
--   lh:L  who is in, by ticket      lq:L  who is in line, by ticket
--   la    limits in use             lw    those with a line, by when they were last looked at
--   lt:L  up to when a rate is booked
--
-- ARGV: partitions, what to do, its items (MessagePack). Answers {now, …}: for `acquire` 1 or 0 per item, for `release`
-- and `turns` {limit, holder, token} per turn, for `take` when each may go, for `list` {name, most, holders, first in line, length of the line}.

local CALL_MS, SWEEP, SHOWN = 2000, 256, 100
local TICKET, SESSION, EPOCH, NUMBER, INSIDE, CALLED, CALLS = 1, 2, 3, 4, 5, 6, 7
local items = cmsgpack.unpack(ARGV[3])
local answer = {now}

local function line_of(number, name)
  local p = prefix_of(number)
  local l = {p = p, name = name, r = p .. 'lr:' .. name, h = p .. 'lh:' .. name, q = p .. 'lq:' .. name}
  local raw = call('HGET', l.r, '')
  local about = raw and cmsgpack.unpack(raw) or {1, 0}
  l.most, l.tickets = about[1], about[2]
  return l
end

local function place_of(l, holder)
  local raw = call('HGET', l.r, holder)
  return raw and cmsgpack.unpack(raw)
end

local function keep(l, holder, place)
  call('HSET', l.r, holder, cmsgpack.pack(place))
end

local function stand(l, holder, place)  -- in line
  call('ZREM', l.h, holder)
  call('ZADD', l.q, place[TICKET], holder)
  call('ZADD', l.p .. 'lw', 'NX', now, l.name)
  keep(l, holder, place)
end

local function wait(place, number)
  place[NUMBER], place[INSIDE], place[CALLED], place[CALLS] = number, 0, 0, 0
end

local function absent(place)
  return place[CALLS] > 1 or (place[CALLS] == 1 and now - place[CALLED] >= CALL_MS)
end

local function expel(l)  -- those of dead sessions go back in line
  local inside = call('ZRANGE', l.h, 0, -1)
  local count = #inside
  for i = 1, #inside do
    local place = place_of(l, inside[i])
    if not alive(l.p, place[SESSION]) then
      wait(place, place[NUMBER])
      stand(l, inside[i], place)
      count = count - 1
    end
  end
  return count
end

local function in_line(l)  -- an iterator over holders and places
  local from, chunk, at = 0, {}, 1
  return function()
    if at > #chunk then
      chunk, at = call('ZRANGE', l.q, from, from + 15), 1
      from = from + #chunk
    end
    local holder = chunk[at]
    at = at + 1
    if holder then return holder, place_of(l, holder) end
  end
end

local function acquire(item)
  local name, most, holder, session, epoch, number = unpack(item)
  local l = line_of(item[7], name)
  local place = place_of(l, holder)
  if place and epoch < place[EPOCH] then return 0 end
  if not place then
    l.tickets = l.tickets + 1
    place = {l.tickets, session, epoch, number, 0, 0, 0}
  end
  place[SESSION], place[EPOCH] = session, epoch
  call('HSET', l.r, '', cmsgpack.pack({most, l.tickets}))
  call('ZADD', l.p .. 'la', 0, name)
  if place[INSIDE] == 1 then
    keep(l, holder, place)
    if alive(l.p, session) then return 1 end
  end
  wait(place, number)
  stand(l, holder, place)
  local free = most - expel(l)
  for other, stands in in_line(l) do
    if free <= 0 or other == holder then break end
    if not absent(stands) then free = free - 1 end
  end
  if free <= 0 or not alive(l.p, session) then return 0 end
  place[INSIDE] = 1
  call('ZREM', l.q, holder)
  call('ZADD', l.h, place[TICKET], holder)
  keep(l, holder, place)
  if call('EXISTS', l.q) == 0 then call('ZREM', l.p .. 'lw', name) end
  return 1
end

local function tell(l)
  local free = l.most - expel(l)
  for holder, place in in_line(l) do
    if free <= 0 then return end
    if not absent(place) then free = free - 1 end
    if place[CALLS] == 0 or now - place[CALLED] >= CALL_MS then
      place[CALLS], place[CALLED] = place[CALLS] + 1, now
      keep(l, holder, place)
      answer[#answer + 1] = {l.name, holder, string.format('%.0f.%.0f', place[EPOCH], place[NUMBER])}
    end
  end
end

local function tidy(l)
  if call('EXISTS', l.q) == 1 then return end
  call('ZREM', l.p .. 'lw', l.name)
  if call('EXISTS', l.h) == 0 then
    call('DEL', l.r)
    call('ZREM', l.p .. 'la', l.name)
  end
end

local function release(item)
  local name, holder, epoch = unpack(item)
  local l = line_of(item[4], name)
  local place = place_of(l, holder)
  if place and place[EPOCH] <= epoch then
    call('HDEL', l.r, holder)
    call('ZREM', l.h, holder)
    call('ZREM', l.q, holder)
  end
  tell(l)
  tidy(l)
end

local function sweep(number)
  local p = prefix_of(number)
  for _, name in ipairs(call('ZRANGE', p .. 'lw', 0, SWEEP - 1)) do
    call('ZADD', p .. 'lw', now, name)
    local l = line_of(number, name)
    tell(l)
    tidy(l)
  end
end

local function list(number, prefix_wanted, after, limit)
  local p = prefix_of(number)
  local low = '[' .. prefix_wanted
  if after >= prefix_wanted and after ~= '' then low = '(' .. after end
  if low == '[' then low = '-' end
  local high = prefix_wanted == '' and '+' or '(' .. prefix_wanted .. '\255'
  for _, name in ipairs(call('ZRANGEBYLEX', p .. 'la', low, high, 'LIMIT', 0, limit)) do
    local l = line_of(number, name)
    local inside = {}
    for _, holder in ipairs(call('ZRANGE', l.h, 0, -1)) do
      if alive(p, place_of(l, holder)[SESSION]) then inside[#inside + 1] = holder end
    end
    answer[#answer + 1] = {name, l.most, inside, call('ZRANGE', l.q, 0, SHOWN - 1), call('ZCARD', l.q)}
  end
end

local function take(item)  -- see spaced() in permits.py
  local name, per_second, burst = unpack(item)
  local key, step = prefix_of(item[4]) .. 'lt:' .. name, 1000 / per_second
  local booked = math.max(tonumber(call('GET', key) or 0), now)
  local after = booked + step
  call('SET', key, string.format('%.3f', after), 'PX', math.ceil(after - now) + 1000)
  return math.max(now, math.ceil(booked - (burst - 1) * step))
end

if ARGV[2] == 'acquire' then
  for _, item in ipairs(items) do answer[#answer + 1] = acquire(item) end
elseif ARGV[2] == 'release' then
  for _, item in ipairs(items) do release(item) end
elseif ARGV[2] == 'take' then
  for _, item in ipairs(items) do answer[#answer + 1] = take(item) end
elseif ARGV[2] == 'turns' then
  for _, number in ipairs(items) do sweep(number) end
else
  for _, number in ipairs(items[1]) do list(number, items[2], items[3], items[4]) end
end
return answer
