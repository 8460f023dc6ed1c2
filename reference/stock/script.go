package stock

import "github.com/redis/go-redis/v9"

// Codes of the answers of takeScript.
const (
	codeQueued    = 'q'
	codeReplay    = 'r' // followed by the ticket, and by the rest of the hold while there is one
	codeInvalid   = 'i'
	codeDuplicate = 'd'
	codeClosed    = 'c'
	codeSoldOut   = 's'
	codeBusy      = 'b'
	codeUnknown   = 'u' // the sale is not open: nothing can be said
	codeSealed    = 'l' // its moment was sealed before it came: nothing was done
	codeOver      = 'w' // the entry is withdrawn
)

// Arguments of takeScript: those before the submits, and those of each.
const (
	fixedArgs = 6
	perSubmit = 5
)

// takeScript judges and books a batch of submits. Everything it reads is read
// before it writes; the only thing that can fail once it has begun to write is
// Redis itself, which runs a script whole or not at all.
//
// Keys: state, users, keys, stream, results. Arguments: depth (0 = no bound),
// now, entries?, stream?, results?, now in ms, then user, key, item, hold, payload
// of each submit; a hold begins with the ticket. It answers a code for each, and
// last "z" when it took the last of all.
var takeScript = redis.NewScript(`
local state, users, keys, stream, results = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local depth, entries = tonumber(ARGV[1]), ARGV[3] == '1'
local queued, cached = ARGV[4] == '1', ARGV[5] == '1'
local n = (#ARGV - 6) / 5
local us, ks, fields = {}, {}, {'open', 'total', 'sealed'}
for i = 1, n do
  local a = 5 * i + 1
  us[i], ks[i], fields[i + 3] = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
end
local st = redis.call('HMGET', state, unpack(fields))
local length, ready = 0, st[1]
local sealed = entries and tonumber(ARGV[6]) < tonumber(st[3] or '0')
if ready and queued then
  length = redis.call('XLEN', stream)
  ready = length > 0 or redis.call('EXISTS', stream) == 1
end
local out = {}
if not ready then
  for i = 1, n do out[i] = 'u' end
  out[n + 1] = ''
  return out
end
local known = redis.call('HMGET', keys, unpack(ks))
local held = redis.call('HMGET', users, unpack(us))
local total = tonumber(st[2])
local free, seen, holds = {}, {}, {}
for i = 1, n do
  free[fields[i + 3]] = tonumber(st[i + 3])
  seen[ks[i]] = known[i]
  holds[us[i]] = held[i]
end
local newUsers, newKeys, newResults, adds, changed = {}, {}, {}, {}, {}
for i = 1, n do
  local user, key, item, hold = us[i], ks[i], fields[i + 3], ARGV[5 * i + 5]
  local ticket = string.sub(hold, 1, 32)
  local was, has = seen[key], holds[user]
  if was then
    local mine = user .. ':'
    if string.sub(was, 1, #mine) == mine then
      local first = string.sub(was, #mine + 1)
      if has and string.sub(has, 1, 32) == first then first = has end
      out[i] = 'r' .. first
    else
      out[i] = 'i'
    end
  elseif not free[item] then
    out[i] = 'i'
  elseif has and (entries or string.sub(has, 1, 32) == ticket) then
    out[i] = 'r' .. has
  elseif has then
    out[i] = 'd'
  elseif not entries and total <= 0 then
    out[i] = 'c'
  elseif not entries and free[item] <= 0 then
    out[i] = 's'
  elseif sealed then
    out[i] = 'l'
  elseif queued and depth > 0 and length >= depth then
    out[i] = 'b'
  else
    if not entries then
      free[item] = free[item] - 1
      total = total - 1
      changed[item] = true
    end
    length = length + 1
    holds[user] = hold
    seen[key] = user .. ':' .. ticket
    newUsers[#newUsers + 1] = user
    newUsers[#newUsers + 1] = holds[user]
    newKeys[#newKeys + 1] = key
    newKeys[#newKeys + 1] = seen[key]
    newResults[#newResults + 1] = ticket
    newResults[#newResults + 1] = 'pending'
    adds[#adds + 1] = ARGV[5 * i + 6]
    out[i] = 'q'
  end
end
out[n + 1] = ''
if #adds > 0 then
  if not entries then
    local set = {'total', total}
    for i = 1, n do
      local item = fields[i + 3]
      if changed[item] then
        changed[item] = false
        set[#set + 1] = item
        set[#set + 1] = free[item]
      end
    end
    if total <= 0 then
      set[#set + 1] = 'closed'
      set[#set + 1] = ARGV[2]
      out[n + 1] = 'z'
    end
    redis.call('HSET', state, unpack(set))
  end
  redis.call('HSET', users, unpack(newUsers))
  redis.call('HSET', keys, unpack(newKeys))
  if cached then redis.call('HSET', results, unpack(newResults)) end
  if queued then
    for i = 1, #adds do redis.call('XADD', stream, 'NOMKSTREAM', '*', 'e', adds[i]) end
  end
end
return out
`)

// fillScript sets up a sale. Keys: state. Arguments: the items as one text, then
// the stock of each. It answers ok, same (already set up alike) or running.
var fillScript = redis.NewScript(`
local open = redis.call('HGET', KEYS[1], 'open')
if open then
  if open == ARGV[1] then return 'same' end
  return 'running'
end
local total, set = 0, {'open', ARGV[1]}
for i = 2, #ARGV do
  set[#set + 1] = tostring(i - 2)
  set[#set + 1] = ARGV[i]
  total = total + tonumber(ARGV[i])
end
set[#set + 1] = 'total'
set[#set + 1] = total
redis.call('HSET', KEYS[1], unpack(set))
return 'ok'
`)

// refundScript gives one reservation back, once, and -1 when no sale is open: one
// that is being rebuilt counts what is free itself. Keys: state, users.
// Arguments: user, "ticket:item" with which the hold begins, item, entries?.
var refundScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], 'open') == 0 then return -1 end
local has = redis.call('HGET', KEYS[2], ARGV[1])
if not has or string.sub(has .. ':', 1, #ARGV[2] + 1) ~= ARGV[2] .. ':' then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
if ARGV[4] == '1' then return 1 end
redis.call('HINCRBY', KEYS[1], ARGV[3], 1)
redis.call('HINCRBY', KEYS[1], 'total', 1)
redis.call('HDEL', KEYS[1], 'closed')
return 1
`)
