// echo-server: sends back whatever it receives.
//
//     node echo-server.js [HOST [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

'use strict';

const { Ring, POLLIN, POLLOUT, POLLHUP } = require('./fastsocket.js');
const { ENOMEM, ENFILE, EMFILE, ENOBUFS } = require('node:os').constants.errno;

const LIMIT = 1 << 20; // bytes queued at which we stop reading from a connection
const SHORTAGES = [ENOMEM, ENFILE, EMFILE, ENOBUFS]; // the listener tries again by itself

const [host = '127.0.0.1', port = '7000'] = process.argv.slice(2);
const ring = new Ring();
const connections = new Set();
let stopped = false;

function echo(connection) {
    try {
        connection.forward(connection);
    } catch (error) {
        if (error.code !== 'EPIPE') // the peer is gone: POLLHUP tells soon
            throw error;
    }
    if (connection.outboundLength >= LIMIT)
        connection.pause(); // until POLLOUT
}

function handleEvent(connection, event) {
    if (event === POLLIN) {
        echo(connection);
    } else if (event === POLLOUT) {
        connection.resume();
    } else if (event === POLLHUP) { // what is queued still leaves
        connections.delete(connection);
        connection.release();
    }
}

const listener = ring.listen(`${host}:${port}`, (handle) => {
    if (handle >= 0)
        connections.add(ring.open(handle, handleEvent));
    else if (!SHORTAGES.includes(-handle))
        throw new Error(`the listener has ended: error ${-handle}`);
});
console.log(`listening on ${listener.address}`);

function stop() {
    stopped = true; // the poll ends after a second at most
}
process.once('SIGINT', stop).once('SIGTERM', stop);

(async () => {
    await ring.run(() => !stopped);
    listener.release();
    connections.forEach((connection) => connection.release());
    await ring.run(() => ring.pending > 0);
    ring.close();
})();
