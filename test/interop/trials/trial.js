// What can go wrong between a library that calls back and Node: test/interop/bindings.py has the words
// that this must print.
//
//     node --expose-gc trial.js FOLDER_OF_THE_LOADER

'use strict';

const { Ring, POLLIN, POLLOUT, POLLHUP } = require(`${process.argv[2]}/fastsocket.js`);
const fs = require('node:fs');

const ring = new Ring();
const address = `unix:@fastsocket-trial-${process.pid}`;
const served = new Set();
let raises = true;

function serve(socket, event) {
    if (event === POLLIN && raises) {
        raises = false;
        throw new TypeError('told');
    }
    if (event === POLLIN)
        socket.forward(socket);
    if (event === POLLHUP) {
        served.delete(socket);
        socket.release();
    }
}

// A handler throws; afterwards everything is as if it had returned.
async function raise() {
    let text = '';
    const client = ring.connect(address, (socket, event) => {
        if (event === POLLIN)
            text += socket.receive();
    });
    client.transmit('first');
    try {
        await ring.run();
    } catch (error) {
        console.log(`raised: ${error.message}`);
    }
    client.transmit('again');
    await ring.run(() => text.length < 10);
    console.log(`usable: ${text}`);
    client.release();
    await ring.run(() => served.size > 0 || ring.pending > 0);
}

// A release inside the socket's own handler, of either side.
async function release() {
    let released = false;
    ring.connect(address, (socket, event) => {
        if (event === POLLIN) {
            socket.release();
            released = true;
        }
    }).transmit('x');
    await ring.run(() => !released || served.size > 0 || ring.pending > 0);
    console.log('released');
}

// Nothing but the library knows the handlers, while the collector runs.
async function collect() {
    let count = 0;
    for (let index = 0; index < 100; index++) {
        ring.connect(address, (socket, event) => {
            if (index % 10 === 0)
                gc();
            if (event === POLLOUT && socket.outboundLength === 0) {
                socket.transmit('x'.repeat(100));
            } else if (event === POLLIN) {
                count++;
                socket.release();
            }
        });
    }
    gc();
    await ring.run(() => count < 100 || served.size > 0 || ring.pending > 0);
    console.log(`collected: ${count}`);
}

// Much reading by Node's own pool meanwhile: the ring's poll has one thread of it at most, and not for ever.
async function share() {
    let reads = 0;
    const waiting = ring.run(() => reads < 1000);
    await Promise.all(Array.from({ length: 1000 }, async () => {
        await fs.promises.readFile(__filename);
        reads++;
    }));
    await waiting; // the poll that no event ends ends by itself
    console.log(`shared: ${reads}`);
}

(async () => {
    ring.listen(address, (handle) => served.add(ring.open(handle, serve)));
    await raise();
    await release();
    await collect();
    await share();
    // The end, with everything left as it is.
    ring.connect(address, () => {}).transmit('x'.repeat(1000000));
    await new Promise((resolve) => setImmediate(resolve));
    ring.turn();
    console.log('exit');
})();
