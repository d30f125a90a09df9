// echo-server: sends back whatever it receives.
//
//	go run ./echo-server HOST PORT    port 0 = any
package main

import (
	"examples/fastsocket"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const limit = 1 << 20 // bytes queued at which we stop reading from a connection
var connections = map[*fastsocket.Socket]bool{}

func handle(connection *fastsocket.Socket, event int, _ int) {
	switch event {
	case fastsocket.POLLIN:
		connection.Forward(connection) // if the peer is gone, POLLHUP tells soon
		if connection.OutboundLength() >= limit {
			connection.Pause() // until POLLOUT
		}
	case fastsocket.POLLOUT:
		connection.Resume()
	case fastsocket.POLLHUP: // what is queued still leaves
		delete(connections, connection)
		connection.Release()
	}
}

func main() {
	ring, err := fastsocket.NewRing()
	check(err)
	listener, err := ring.Listen(strings.Join(os.Args[1:], ":"), func(descriptor int, err error) {
		check(err)
		connection, err := ring.Open(descriptor, fastsocket.ModeRegular, handle)
		check(err)
		connections[connection] = true
	})
	check(err)
	signals, stopped := make(chan os.Signal, 1), false
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { <-signals; ring.Post(func() { stopped = true }) }()
	fmt.Println("listening on", listener.Address())
	check(ring.Run(func() bool { return !stopped }))
	listener.Release()
	for connection := range connections {
		connection.Release()
	}
	check(ring.Run(func() bool { return ring.Pending() > 0 }))
	ring.Close()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
