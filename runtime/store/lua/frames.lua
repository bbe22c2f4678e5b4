-- Append frames. ARGV: partitions, channel, a MessagePack array of base.FrameAppend. Answers as append.lua does.

local CONFLICT, FENCED, FINAL, EXISTS, MISSING = 1, 2, 3, 4, 5
local POSITION, NODE, INDEX, TAKEN, PAYLOAD = 1, 2, 3, 4, 5
local FRAMES_OFFSET = 53  -- where the head holds its number of frames

local function value(frame)
  return spack('>I4I4', frame[POSITION], frame[TAKEN]) .. frame[PAYLOAD]
end

local function standing(h, frames)
  local last = frames[#frames]
  if not last or last[POSITION] > h.frames then return nil end
  local at = '0-' .. (last[INDEX] + 1)
  local found = call('XRANGE', h.p .. 'f:' .. h.id .. ':' .. last[NODE], at, at)[1]
  if found and found[2][2] == value(last) then return last[POSITION] end
  return nil
end

-- How many frames each node will have, or nil where an index is not the next one.
local function counted(h, frames)
  local counts = {}
  for i = 1, #frames do
    local node = frames[i][NODE]
    local count = counts[node] or tonumber(call('HGET', h.p .. 'n:' .. h.id, node) or 0)
    if frames[i][INDEX] ~= count or frames[i][POSITION] ~= h.frames + i then return nil end
    counts[node] = count + 1
  end
  return counts
end

local function append(id, fence, after, frames)
  local p = prefix(id)
  local h = read_head(p, id)
  if not h then return {MISSING} end
  local stands = standing(h, frames)
  if stands then return stands end
  if h.status >= FIRST_FINAL then return {FINAL, STATUS_NAME[h.status]} end
  if fence[1] ~= h.session or fence[2] ~= h.epoch then return {FENCED, h.epoch} end
  local counts = after == h.frames and counted(h, frames)
  if not counts then return {CONFLICT, h.frames} end
  for i = 1, #frames do
    local frame = frames[i]
    call('XADD', p .. 'f:' .. id .. ':' .. frame[NODE], '0-' .. (frame[INDEX] + 1), 'f', value(frame))
  end
  for node, count in pairs(counts) do call('HSET', p .. 'n:' .. id, node, count) end
  call('SETRANGE', p .. 'h:' .. id, FRAMES_OFFSET, spack('>I4', after + #frames))
  hint('frames', id, after + #frames, '', id)
  return after + #frames
end

local batch = cmsgpack.unpack(ARGV[3])
local answer = {now}
for i = 1, #batch do
  answer[i + 1] = append(batch[i][1], batch[i][2], batch[i][3], batch[i][4])
end
publish(ARGV[2])
return answer
