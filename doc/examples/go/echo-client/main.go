// echo-client: sends its input over a connection and writes what comes back, until the peer ends.
//
//	go run ./echo-client HOST PORT < data > same-data
//
// Input and output are sockets, too (ModeFileIO): buffers are handed on, and Go touches no byte.
package main

import (
	"examples/fastsocket"
	"log"
	"os"
	"strings"
)

const limit = 1 << 20 // bytes queued at which we stop reading the other side
var connection, input, output *fastsocket.Socket
var failure, ended = "", false

// handler has input go to a socket; what may go on when there is room for more is paused.
func handler(to, paused **fastsocket.Socket, end func()) fastsocket.EventHandler {
	return func(socket *fastsocket.Socket, event int, _ int) {
		switch event {
		case fastsocket.POLLIN:
			socket.Forward(*to) // POLLERR and POLLHUP tell of a failure
			if (*to).OutboundLength() >= limit {
				socket.Pause()
			}
		case fastsocket.POLLOUT:
			(*paused).Resume()
		case fastsocket.POLLERR:
			failure = socket.ErrorText()
		case fastsocket.POLLHUP:
			end()
		}
	}
}

func main() {
	ring, err := fastsocket.NewRing()
	check(err)
	connection, err = ring.Connect(strings.Join(os.Args[1:], ":"), handler(&output, &input, func() { ended = true }))
	check(err)
	input, _ = ring.Open(0, fastsocket.ModeFileIO, handler(&connection, &input, func() { connection.Shutdown() }))
	output, _ = ring.Open(1, fastsocket.ModeFileIO, handler(nil, &connection, func() { ended = true }))
	output.Pause() // a terminal is read, too: by the input alone
	check(ring.Run(func() bool { return !ended }))
	connection.Release()
	input.Release()
	output.Release()
	check(ring.Run(func() bool { return ring.Pending() > 0 }))
	if failure != "" {
		log.Fatal(failure)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
