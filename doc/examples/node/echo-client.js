// echo-client: sends its standard input over a connection and writes what comes back to its standard
// output, until the peer ends.
//
//     node echo-client.js HOST PORT < data > same-data
//
// Input and output are Node's own streams, in the same loop: either side is stopped while the other
// one takes nothing.

'use strict';

const { Ring, POLLIN, POLLOUT, POLLERR, POLLHUP } = require('./fastsocket.js');

const LIMIT = 1 << 20; // bytes queued at which we stop reading our input
const ring = new Ring();
let reason = null, ended = false;

function write(socket) {
    for (let data; (data = socket.receive());)
        if (!process.stdout.write(data))
            socket.pause();
}

const connection = ring.connect(process.argv.slice(2).join(':'), (socket, event) => {
    if (event === POLLIN)
        write(socket);
    else if (event === POLLOUT)
        process.stdin.resume();
    else if (event === POLLERR)
        reason = socket.errorText;
    else if (event === POLLHUP)
        ended = true;
});

process.stdout.on('drain', () => connection.resume());
process.stdin.on('end', () => connection.shutdown());
process.stdin.on('data', (data) => {
    if (ended)
        return;
    connection.transmit(data);
    if (connection.outboundLength >= LIMIT)
        process.stdin.pause(); // until POLLOUT
});

(async () => {
    await ring.run(() => !ended);
    process.stdin.destroy();
    connection.release();
    await ring.run(() => ring.pending > 0);
    ring.close();
    if (reason)
        console.error(reason);
    process.exitCode = reason ? 1 : 0;
})();
