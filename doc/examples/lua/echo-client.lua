-- echo-client: sends its standard input over a TCP connection and writes what comes back to its standard
-- output, until the peer ends.
--
--     luajit echo-client.lua HOST PORT < data > same-data
--
-- Input and output are sockets, too (MODE_FILE_IO): buffers are handed on, and Lua touches no byte.

package.path = (arg[0]:match('^.*/') or './') .. '?.lua;' .. package.path
local fastsocket = require('fastsocket')

local OUTBOUND_LIMIT = 1024 * 1024 -- bytes queued at which we stop reading the other side
local ring = fastsocket.ring()
local connection, input, output
local ended, reason = false, nil

-- What a socket's input goes to, who goes on when there is room in it, and what its end means.
local function handler(target, paused, finish)
    return function(socket, event)
        if event == fastsocket.POLLIN then
            socket:forward(target()) -- POLLERR and POLLHUP tell of a failure
            if target():outboundLength() >= OUTBOUND_LIMIT then
                socket:pause()
            end
        elseif event == fastsocket.POLLOUT then
            paused():resume()
        elseif event == fastsocket.POLLERR then
            reason = socket:errorText()
        elseif event == fastsocket.POLLHUP then
            finish()
        end
    end
end
local function theConnection() return connection end
local function theInput() return input end
local function theOutput() return output end
local function stop() ended = true end

connection = ring:connect(arg[1] .. ':' .. arg[2], handler(theOutput, theInput, stop))
input = ring:open(0, handler(theConnection, theInput, function() connection:shutdown() end), fastsocket.MODE_FILE_IO)
output = ring:open(1, handler(nil, theConnection, stop), fastsocket.MODE_FILE_IO)
output:pause() -- a terminal is read, too: by the input alone
ring:run(function() return not ended end)
for _, socket in ipairs({ connection, input, output }) do
    socket:release()
end
ring:run(function() return ring:pending() > 0 end)

local left = ring:close()
if reason then
    error(reason, 0)
elseif left.sockets > 0 or left.buffers > 0 then
    error(('left: %d sockets, %d buffers'):format(tonumber(left.sockets), tonumber(left.buffers)), 0)
end
