# echo_server: sends back whatever it receives.
#
#     ruby echo_server.rb [HOST [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

require 'socket'
require_relative 'fastsocket'
include FastSocket

LIMIT = 1 << 20 # bytes queued at which we stop reading from a connection
SHORTAGES = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS].map { |error| -error::Errno }

ring = Ring.new
connections = []

handle_event = lambda do |connection, event, _|
  case event
  when POLLIN
    connection.forward(connection)
    connection.pause if connection.outbound_length >= LIMIT # until POLLOUT
  when POLLOUT
    connection.resume
  when POLLHUP # what is queued still leaves
    connections.delete(connection)
    connection.release
  end
rescue Errno::EPIPE
  nil # the peer is gone: POLLHUP tells soon
end

host = ARGV[0] || '127.0.0.1'
listener = ring.listen("#{host}:#{ARGV[1] || 7000}") do |handle|
  if handle >= 0
    connections << ring.open(handle, &handle_event)
  elsif !SHORTAGES.include?(handle) # of these the listener tries again by itself
    FastSocket.done(handle)
  end
end
# AddFastRingSignal would not do: threads of Ruby's own get the signal.
stopped = false
%w[INT TERM].each { |name| trap(name) { ring.post { stopped = true } } }

port = BasicSocket.for_fd(listener.handle).tap { |socket| socket.autoclose = false }.local_address.ip_port
puts "listening on #{host}:#{port}"
$stdout.flush

ring.wait until stopped
listener.release
connections.each(&:release)
ring.wait until ring.pending.zero?
ring.close
