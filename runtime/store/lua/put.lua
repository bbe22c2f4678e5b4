-- Write a document. ARGV: partitions, kind, key, value, expected version or '', nonce of this write.
-- Answers {now, version, or -1 where another version stands}. The same nonce again is the same write.

local at = 'ax:{meta}:d:' .. ARGV[2] .. ':' .. ARGV[3]
local held = call('GET', at)
local version = 0
if held then
  local stands, _, nonce = sunpack('>ddc8', held)
  version = stands
  if nonce == ARGV[6] then return {now, version} end
end
if ARGV[5] ~= '' and tonumber(ARGV[5]) ~= version then return {now, -1} end
call('SET', at, spack('>ddc8', version + 1, now, ARGV[6]) .. ARGV[4])
call('ZADD', 'ax:{meta}:k:' .. ARGV[2], 0, ARGV[3])
return {now, version + 1}
