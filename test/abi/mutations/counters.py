"""Breaks of the statistics: a counter, or a level, that stays 0."""

from .edits import wrap

RING = ['turns', 'systemCalls', 'submissions', 'completions', 'wakes', 'starvations', 'operations',
        'sockets', 'inboundLength', 'buffers', 'bufferBytes', 'providedBuffers']
SOCKET = ['receivedBytes', 'receivedMessages', 'receivedTruncated', 'receiveStarvations',
          'receivePauses', 'sentBytes', 'sentOperations', 'sentZeroCopy', 'failedMessages',
          'droppedBytes']


def stopped(name, first, field):
    return lambda tree: wrap(tree, name, f'''int result = INNER({first}, statistics, size);
    if (result == 0 && size >= sizeof(*statistics))
        statistics->{field} = 0;
    return result;''')


BREAKS = {f'statistics of the ring: {field} stays 0':
          stopped('GetFastRingStatistics', 'ring', field) for field in RING}
BREAKS |= {f'statistics of the socket: {field} stays 0':
           stopped('GetFastSocketStatistics', 'socket', field) for field in SOCKET}

PROGRAMS = {
    'statistics of the ring: turns': 'ring',
    'statistics of the ring: systemCalls': 'ring',
    'statistics of the ring: wakes': 'event',
    'statistics of the ring: starvations': 'socket-pressure',
    'statistics of the ring: operations': 'descriptor',
    'statistics of the ring: inboundLength': 'socket-pressure',
    'statistics of the ring: buffer': 'provider',
    'statistics of the ring: provided': 'provider',
    'statistics of the ring': 'ring',
    'statistics of the socket: receivedTruncated': 'socket-datagram',
    'statistics of the socket: receiveStarvations': 'socket-pressure',
    'statistics of the socket: receivePauses': 'socket-pressure',
    'statistics of the socket: sentZeroCopy': 'socket-transmit',
    'statistics of the socket: failedMessages': 'socket-datagram',
    'statistics of the socket': 'socket-transmit',
}
