-- echo-server: sends back whatever it receives on TCP connections.
--
--     luajit echo-server.lua [ADDRESS [PORT]]    127.0.0.1 and 7000 by default; port 0 = any
--
-- ../echo-server.c tells more about what happens here. Buffers are handed on as they came: Lua never
-- touches the bytes.

package.path = (arg[0]:match('^.*/') or './') .. '?.lua;' .. package.path
local fastsocket = require('fastsocket')
local plain = require('plain')

local OUTBOUND_LIMIT = 1024 * 1024 -- bytes queued at which we stop reading from a connection
local EPIPE = 32
local SHORTAGES = { [-12] = true, [-23] = true, [-24] = true, [-105] = true } -- the listener tries again

local address = arg[1] or '127.0.0.1'
local listening, port = plain.listen(address, tonumber(arg[2] or 7000))
local ring = fastsocket.ring()
local connections = {} -- by address, as cdata is no key

local function keyOf(socket)
    return tostring(socket)
end

local function closeConnection(socket)
    connections[keyOf(socket)] = nil
    socket:release()
end

local function echo(socket)
    for buffer in socket.receive, socket do
        local good, message, reason = socket:transmit(buffer)
        if not good then
            return reason == EPIPE or error(message) -- if broken, POLLHUP tells soon
        end
    end
    if socket:outboundLength() >= OUTBOUND_LIMIT then
        socket:pause() -- until POLLOUT: the peer sends without reading
    end
end

local function handleEvent(socket, event)
    if event == fastsocket.POLLIN then
        echo(socket)
    elseif event == fastsocket.POLLOUT then
        socket:resume()
    elseif event == fastsocket.POLLHUP then
        -- The peer's end, or (after POLLERR) a broken connection: nothing is left to do but to send
        -- what is queued.
        closeConnection(socket)
    end
end

local listener = ring:listener(listening, function(_, handle)
    if handle >= 0 then
        local socket = ring:socket(handle, handleEvent)
        connections[keyOf(socket)] = socket
    elseif not SHORTAGES[handle] then
        error(fastsocket.message(-handle))
    end
end)

local signals = plain.signals()
local stopped = false
ring:watch(signals, fastsocket.POLLIN, function(watch)
    if plain.takeSignal(signals) then
        stopped = true
        watch:remove()
    end
end)

print(('listening on %s:%d'):format(address, port))
io.flush()
while not stopped do
    assert(ring:wait())
end

-- What is queued still leaves.
listener:release()
for _, socket in pairs(connections) do
    closeConnection(socket)
end
while ring:pending() > 0 do
    assert(ring:wait())
end
plain.close(signals)
local left = ring:close()
if left.sockets > 0 or left.buffers > 0 then
    error(('left: %d sockets, %d buffers'):format(tonumber(left.sockets), tonumber(left.buffers)), 0)
end
