-- echo-server: sends back whatever it receives on TCP connections.
--
--     luajit echo-server.lua [HOST [PORT]]    127.0.0.1 and 7000 by default; port 0 = any
--
-- ../echo-server.c tells more. Buffers are handed on as they came: Lua touches no byte.

package.path = (arg[0]:match('^.*/') or './') .. '?.lua;' .. package.path
local fastsocket = require('fastsocket')

local OUTBOUND_LIMIT = 1024 * 1024 -- bytes queued at which we stop reading from a connection
local EPIPE, SIGINT, SIGTERM = 32, 2, 15
local SHORTAGES = { [-12] = true, [-23] = true, [-24] = true, [-105] = true } -- the listener tries again

local ring = fastsocket.ring()
local connections = {} -- by text, as cdata is no key
local stopped = false

local function handleEvent(socket, event)
    if event == fastsocket.POLLIN then
        local good, message, reason = socket:forward(socket)
        if not good and reason ~= EPIPE then -- if broken, POLLHUP tells soon
            error(message)
        end
        if socket:outboundLength() >= OUTBOUND_LIMIT then
            socket:pause() -- until POLLOUT: the peer sends without reading
        end
    elseif event == fastsocket.POLLOUT then
        socket:resume()
    elseif event == fastsocket.POLLHUP then
        connections[tostring(socket)] = nil
        socket:release() -- what is queued still leaves
    end
end

local listener = ring:listen((arg[1] or '127.0.0.1') .. ':' .. (arg[2] or 7000), function(_, handle)
    if handle >= 0 then
        local socket = ring:open(handle, handleEvent)
        connections[tostring(socket)] = socket
    elseif not SHORTAGES[handle] then
        error(fastsocket.message(-handle))
    end
end)
for _, number in ipairs({ SIGINT, SIGTERM }) do
    ring:signal(number, function() stopped = true end)
end
print('listening on ' .. listener:address())
io.flush()
ring:run(function() return not stopped end)

listener:release()
for _, socket in pairs(connections) do
    socket:release()
end
ring:run(function() return ring:pending() > 0 end)
local left = ring:close()
if left.sockets > 0 or left.buffers > 0 then
    error(('left: %d sockets, %d buffers'):format(tonumber(left.sockets), tonumber(left.buffers)), 0)
end
