"""What publisher, consumers and readers on Redis Streams share: the keys, how long one blocks, what is dropped."""

from __future__ import annotations

BLOCK_S = 0.5
"""The longest blocking read: what falls due meanwhile is noticed after this time."""

PATIENCE_S = 2.0
"""How much longer than a publisher a member waits for a slow server, since nobody waits for the member: messages
handed to a connection that was given up come again only after `retry_after_s`."""

# Drops what every group has acknowledged and every reader has read, as far as the stream is longer than asked; whole
# nodes only, which is cheap.  Runs in one step, so no group can move or be born between the look and the cut.
TRIM = """
local surplus = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if surplus <= 0 then return 0 end
local function number(id)
  local time, count = string.match(id, '(%d+)-(%d+)')
  return tonumber(time), tonumber(count)
end
local oldest
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local name, last
  for i = 1, #group, 2 do
    if group[i] == 'name' then name = group[i + 1] end
    if group[i] == 'last-delivered-id' then last = group[i + 1] end
  end
  local pending = redis.call('XPENDING', KEYS[1], name)
  if pending[1] > 0 then last = pending[2] end
  if oldest then
    local a_time, a_count = number(oldest)
    local b_time, b_count = number(last)
    if b_time < a_time or (b_time == a_time and b_count < a_count) then oldest = last end
  else
    oldest = last
  end
end
if not oldest then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', oldest, 'LIMIT', surplus)
"""


def stream_key(topic: str) -> str:
    """The topic's key."""
    return f"rankgr:stream:{topic}"
