# echo_client: sends its standard input over a connection and writes what comes back to its standard
# output, until the peer ends.
#
#     ruby echo_client.rb HOST PORT < data > same-data
#
# Input and output are sockets, too (MODE_FILE_IO): buffers are handed on, and Ruby touches no byte.

require_relative 'fastsocket'
include FastSocket

LIMIT = 1 << 20 # bytes queued at which we stop reading the other side

# Hands on what came, and stops reading while too much is queued.
def pass(from, to)
  from.forward(to)
  from.pause if to.outbound_length >= LIMIT
rescue Errno::EPIPE
  nil # POLLERR and POLLHUP tell
end

ring = Ring.new
failure = nil
ended = false
input = output = nil

connection = ring.connect("#{ARGV[0]}:#{ARGV[1]}") do |socket, event, _|
  case event
  when POLLIN then pass(socket, output)
  when POLLOUT then input.resume
  when POLLERR then failure = socket.error_text
  when POLLHUP then ended = true
  end
end
input = ring.open(0, MODE_FILE_IO) do |socket, event, _|
  case event
  when POLLIN then pass(socket, connection)
  when POLLHUP then connection.shutdown
  end
end
output = ring.open(1, MODE_FILE_IO) do |_, event, parameter|
  case event
  when POLLOUT then connection.resume
  when POLLERR
    failure = SystemCallError.new(nil, parameter).message
    ended = true
  end
end
output.pause # a terminal is read, too: by the input alone

ring.wait until ended
[connection, input, output].each(&:release)
ring.wait until ring.pending.zero?
ring.close
abort(failure) if failure
