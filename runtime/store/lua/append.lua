-- Append events of many executions. ARGV: partitions, channel, a MessagePack array of base.Append, where a create is
-- followed by {crc of the id, key names, facts}. Answers {now, outcome…}: a seq, or {code, …}.

local CONFLICT, FENCED, FINAL, EXISTS, MISSING = 1, 2, 3, 4, 5
local ID, EVENTS, CRCS, AT, AFTER, FENCE, DEDUP, NEXT, PARK, OUTBOX, SNAPSHOT, CREATE, EXTRA =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13

-- An entry of the journal is one append: its id is 0-<last seq>, its value each event's check, length and bytes.
-- One entry per event would take a third more memory; and a stream is a tree over ids, in which <seq>-0 would cost a
-- node more per block than 0-<seq>, whose first fifteen bytes are common to all.
local function entry_value(events, crcs, check)
  if #events == 1 then
    check = (check * 65599 + crcs[1]) % 4294967296
    return spack('>I4I4', check, #events[1]) .. events[1], check
  end
  local parts = {}
  for i = 1, #events do
    check = (check * 65599 + crcs[i]) % 4294967296
    parts[i] = spack('>I4I4', check, #events[i]) .. events[i]
  end
  return table.concat(parts), check
end

-- The bytes of the event with this seq, or nil.
local function event_at(h, seq)
  local found = call('XRANGE', h.p .. 'j:' .. h.id, '0-' .. seq, '+', 'COUNT', 1)[1]
  if not found then return nil end
  local events, value, at = {}, found[2][2], 1
  while at <= #value do
    local _, size = sunpack('>I4I4', value, at)
    events[#events + 1] = string.sub(value, at + 8, at + 7 + size)
    at = at + 8 + size
  end
  return events[#events - (tonumber(string.sub(found[1], 3)) - seq)]
end

-- The seq under which a re-sent item stands already, or nil.
local function standing(h, item)
  if item[DEDUP] then
    local first = call('HGET', h.p .. 'd:' .. h.id, item[DEDUP])
    if first then return tonumber(first) end
  end
  local after = item[AFTER] or (item[CREATE] and 0)
  if not after then return nil end
  local last = after + #item[EVENTS]
  if last > h.seq or last == after then return nil end
  return event_at(h, last) == item[EVENTS][#item[EVENTS]] and last or nil
end

-- Why the item is refused, or nil.
local function refusal(h, item)
  if item[CREATE] then return {EXISTS, h.id, facts(h)[FACT.request_hash], 0} end
  if h.status >= FIRST_FINAL then return {FINAL, STATUS_NAME[h.status]} end
  local fence = item[FENCE]
  if fence and (fence[1] ~= h.session or fence[2] ~= h.epoch) then return {FENCED, h.epoch} end
  if item[AFTER] and item[AFTER] ~= h.seq then return {CONFLICT, h.seq} end
  return nil
end

local function write_events(h, item)
  local events = item[EVENTS]
  if #events > 0 then
    local value
    value, h.check = entry_value(events, item[CRCS], h.check)
    h.seq = h.seq + #events
    call('XADD', h.p .. 'j:' .. h.id, '0-' .. h.seq, 'e', value)
  end
  if item[AT] > h.updated then h.updated = item[AT] end
end

local function write_outbox(h, items)
  local p, id, hinted = h.p, h.id, {}
  for i = 1, #items do
    local kind, destination, payload, n = items[i][1], items[i][2], items[i][3], items[i][4]
    local short = h.seq .. '/' .. n
    local name = id .. '/' .. short
    local entry = {kind, destination, payload, 0, now, now, 0, '', ''}
    write_entry(p, id, short, entry)
    call('ZADD', p .. 'l:' .. id, 0, line_of(destination, short))
    call('ZADD', p .. 'oa', now, name)
    if first_of(p, id, destination) == short then call('ZADD', lane_key(p, lane_of(entry)), now, name) end
    hinted[lane_of(entry)] = entry
  end
  for _, entry in pairs(hinted) do outbox_hint(entry, id) end
end

local function write_beside(h, item)
  if item[DEDUP] then call('HSET', h.p .. 'd:' .. h.id, item[DEDUP], h.seq) end
  if item[SNAPSHOT] then call('SET', h.p .. 's:' .. h.id, spack('>I4', h.seq) .. item[SNAPSHOT]) end
  if #item[OUTBOX] > 0 then write_outbox(h, item[OUTBOX]) end
end

local function move_status(h, status, at)
  local f = facts(h)
  call('ZREM', index_name(h.p, 'i', f[FACT.account], STATUS_NAME[h.status]), h.id)
  call('ZADD', index_name(h.p, 'i', f[FACT.account], STATUS_NAME[status]), f[FACT.created], h.id)
  h.status = status
  if status == STATUS.RUNNING and h.started == 0 then h.started = at end
end

local function mail(h)
  call('HSET', h.p .. 'm:' .. h.session, h.id, h.seq)
  hint('mail', h.session, h.seq, '', h.id)
end

local function finish(h, at, by_owner)
  local f = facts(h)
  h.completed = at
  if h.session ~= '' and not by_owner then mail(h) end
  dequeue(h)
  release(h)
  if f[FACT.business_name] ~= '' and call('GET', f[FACT.business_name]) == h.id then
    call('DEL', f[FACT.business_name])
  end
  call('ZADD', h.p .. 'x', at + f[FACT.retention_days] * 86400000, h.id)
end

local function extend(h, item)
  local status = item[NEXT] and STATUS[item[NEXT]] or h.status
  local quiet = item[FENCE] and not item[PARK] and status == h.status
  write_events(h, item)
  if quiet then
    call('SETRANGE', h.p .. 'h:' .. h.id, 0, spack('>I4I4d', h.seq, h.check, h.updated))
  else
    if status ~= h.status then move_status(h, status, item[AT]) end
    if status >= FIRST_FINAL then
      finish(h, item[AT], item[FENCE])
    elseif item[FENCE] then
      if item[PARK] then
        release(h)
        enqueue(h, item[PARK][1], item[PARK][2])
      end
    elseif h.session ~= '' then
      mail(h)
    else
      dequeue(h)
      enqueue(h, h.queue, 0)
    end
    write_head(h)
  end
  write_beside(h, item)
  hint('moved', h.id, h.seq, STATUS_NAME[h.status], h.id)
  return h.seq
end

local function taken(item, extra)
  if extra[2] ~= '' then
    local held = call('GET', extra[2])
    if held then return {EXISTS, string.sub(held, 1, 32), string.sub(held, 33), 0} end
  end
  if extra[3] ~= '' then
    local held = call('GET', extra[3])
    if held then return {EXISTS, held, '', 1} end
  end
  return nil
end

local CREATE_QUEUE, CREATE_PRIORITY, CREATE_READY, CREATE_HASH, CREATE_SESSION, CREATE_EPOCH = 5, 6, 7, 10, 12, 13

local function born(p, item)
  local extra, create, id, at = item[EXTRA], item[CREATE], item[ID], item[AT]
  local refused = taken(item, extra)
  if refused then return refused end
  if (item[AFTER] or 0) ~= 0 then return {CONFLICT, 0} end
  local h = {p = p, id = id, seq = 0, check = 0, updated = 0, status = STATUS[item[NEXT] or 'QUEUED'], epoch = 0,
    ready = NEVER, started = 0, completed = 0, priority = create[CREATE_PRIORITY], frames = 0, crc = extra[1],
    session = '', queue = create[CREATE_QUEUE], tail = extra[4]}
  local f = facts(h)
  local account, created = f[FACT.account], f[FACT.created]
  write_events(h, item)
  if h.status == STATUS.RUNNING then h.started = at end
  call('ZADD', index_name(p, 'i', account, ''), created, id)
  call('ZADD', index_name(p, 'i', account, STATUS_NAME[h.status]), created, id)
  call('ZADD', index_name(p, 'if', account, f[FACT.flow]), created, id)
  call('ZADD', index_name(p, 'ig', account, f[FACT.graph_id]), created, id)
  call('ZADD', p .. 'e', 0, id)
  call('ZREM', p .. 'u', id)
  if extra[2] ~= '' then call('SET', extra[2], id .. create[CREATE_HASH]) end
  if h.status >= FIRST_FINAL then
    finish(h, at, true)
  else
    if extra[3] ~= '' then call('SET', extra[3], id) end
    if create[CREATE_SESSION] then
      own(h, create[CREATE_SESSION], create[CREATE_EPOCH])
    else
      enqueue(h, h.queue, create[CREATE_READY])
    end
  end
  write_head(h)
  write_beside(h, item)
  hint('moved', id, h.seq, STATUS_NAME[h.status], id)
  return h.seq
end

local batch = cmsgpack.unpack(ARGV[3])
local answer = {now}
for i = 1, #batch do
  local item = batch[i]
  local p = prefix(item[ID])
  local h = read_head(p, item[ID])
  if h then
    -- A healthy owner's append is neither refused nor a repetition: only what looks wrong is looked up.
    local refused = refusal(h, item)
    if refused or item[DEDUP] then
      answer[i + 1] = standing(h, item) or refused or extend(h, item)
    else
      answer[i + 1] = extend(h, item)
    end
  elseif item[CREATE] then
    answer[i + 1] = born(p, item)
  else
    answer[i + 1] = {MISSING}
  end
end
publish(ARGV[2])
return answer
