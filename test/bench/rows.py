"""
The rows whose load is bench-load. A row's base is its yardstick; a target is what the library's
ratio to it should be at most.
"""

from contest import Contender, Row

LOAD = '{bin}/bench-load'
ENDS = '-p {port} -P {process} -C {cpu} -w {warm} -t {seconds}'


def server(program, mode, arguments=''):
    return f'{{bin}}/server-{program} {mode} -C {{cpu}} {arguments}'.rstrip()


def onEpoll(mode, arguments='', base='epoll'):
    """The library where io_uring is refused, beside what others are there."""
    return Contender('fastsocket on epoll', 'env FASTSOCKET_ENGINE=epoll ' +
                     server('fastsocket', mode, arguments), base=base)


def echoServers(arguments=''):
    return [
        Contender('raw', server('raw', 'echo', arguments)),
        Contender('epoll', server('epoll', 'echo', arguments)),
        Contender('libuv', server('uv', 'echo', arguments)),
        Contender('libevent', server('event', 'echo', arguments)),
        Contender('fastsocket', server('fastsocket', 'echo', arguments)),
        Contender('fastsocket buffer', server('fastsocket', 'echo', f'-x buffer {arguments}')),
        onEpoll('echo', arguments),
    ]


def load(workload, arguments):
    return f'{LOAD} {workload} {arguments} {ENDS}'


# ---- echo ----

def echo(name, title, arguments, **options):
    return Row(f'echo-{name}', f'TCP echo, {title}', echoServers(), 'raw',
               load('echo', arguments), **options)


SMALL = [
    echo('64-d1', '64 B, 64 connections, one core', '-c 64 -d 1 -s 64', oneCore=True,
         target={'fastsocket': 1.03, 'fastsocket on epoll': 1.10}),
    echo('64-d16', '64 B, 64 connections × 16, one core', '-c 64 -d 16 -s 64',
         oneCore=True, target={'fastsocket': 1.03}),
    echo('64-c500', '64 B, 500 connections', '-c 500 -d 1 -s 64',
         target={'fastsocket': 1.03}),
]

LARGE = Row('echo-16k', 'TCP echo, 16 KiB, 16 connections × 4', [
    Contender('raw', server('raw', 'echo', '-b 65536 -n 128')),
    Contender('raw gather', server('raw', 'echo', '-x gather -b 65536 -n 128')),
    Contender('raw bundle', server('raw', 'echo', '-x gather-bundle -b 4096 -n 4096')),
    Contender('epoll', server('epoll', 'echo', '-b 65536')),
    Contender('libuv', server('uv', 'echo', '-b 65536')),
    Contender('libevent', server('event', 'echo', '-b 65536')),
    Contender('fastsocket', server('fastsocket', 'echo', '-b 65536 -n 128')),
    Contender('fastsocket buffer', server('fastsocket', 'echo', '-x buffer -b 65536 -n 128')),
    onEpoll('echo', '-b 65536 -n 128'),
], 'epoll', load('echo', '-c 16 -d 4 -s 16384'),
            target={'fastsocket': 1.15, 'fastsocket buffer': 1.03})

PING = Row('ping-pong', 'TCP ping-pong, 64 B, time of a round trip', [
    *echoServers()[:5],
    Contender('raw spin', server('raw', 'echo', '-s 50')),
    Contender('fastsocket spin', server('fastsocket', 'echo', '-s 50')),
], 'libuv', load('echo', '-c 1 -d 1 -s 64'), figure='p50', unit='µs',
           target={'fastsocket': 1.00})


SMALL[0].contenders += [
    Contender('fastsocket operation', server('fastsocket', 'echo', '-x descriptor')),
    Contender('raw again', server('raw', 'echo')),  # the noise: the base beside itself
]

# ---- push ----

def push(name, title, arguments, base, target, short=True):
    each = '-x each'
    return Row(f'push-{name}', f'push, {title}', [
        Contender('raw', server('raw', 'push')),
        Contender('raw tried', server('raw', 'push', '-x tried')),
        Contender('raw linked', server('raw', 'push', '-x linked')),
        Contender('epoll', server('epoll', 'push')),
        Contender('epoll each', server('epoll', 'push', each)),
        Contender('libuv', server('uv', 'push')),
        Contender('libevent', server('event', 'push')),
        Contender('fastsocket', server('fastsocket', 'push')),
        onEpoll('push'),
    ], base, load('sink', arguments), target={'fastsocket': target}, short=short)


PUSH = [
    push('64-b64', '64 B, 64 in a burst', '-s 64 -b 64 -n 200000', 'raw', 1.15),
    push('64-b1024', '64 B, 1024 in a burst', '-s 64 -b 1024 -n 200000', 'raw', 1.30),
    push('4k', '4 KiB, 64 in a burst', '-s 4096 -b 64 -n 20000', 'raw', 1.03),
    push('64k', '64 KiB, 8 in a burst', '-s 65536 -b 8 -n 2000', 'raw linked', 1.00),
    push('1m', '1 MiB, 4 in a burst', '-s 1048576 -b 4 -n 200', 'raw linked', 0.85),
]


# ---- bulk receive ----

def receive(name, length, count, target):
    here = f'-b {length} -n {count}'
    return Row(f'receive-{name}', f'receive of 1 MiB writes, {length // 1024} KiB buffers', [
        Contender('raw 64k', server('raw', 'discard', '-b 65536 -n 64')),
        Contender('raw bundle', server('raw', 'discard', f'-x bundle {here}')),
        Contender('epoll', server('epoll', 'discard', f'-b {length}')),
        Contender('libuv', server('uv', 'discard', f'-b {length}')),
        Contender('libevent', server('event', 'discard', f'-b {length}')),
        Contender('fastsocket', server('fastsocket', 'discard', here)),
    ], 'raw 64k', load('source', '-s 1048576'), target={'fastsocket': target})


RECEIVE = [
    receive('4k', 4096, 512, 0.95),
    receive('16k', 16384, 128, 0.90),
    receive('64k', 65536, 64, 0.86),
]


# ---- UDP ----

def datagrams(size, target, oneCore):
    """With two processors a server that is faster than the load waits more often, for fewer
    datagrams each time, and pays for that."""
    buffers = '-b 2048 -n 4096'
    name, title = ('-one', ', one core') if oneCore else ('', '')
    return Row(f'udp-{size}{name}', f'UDP echo, {size} B, 16 sources × 8{title}', [
        Contender('raw', server('raw', 'udp', buffers)),
        Contender('raw joined', server('raw', 'udp', f'-x joined {buffers}')),
        Contender('epoll', server('epoll', 'udp', '-b 2048')),
        Contender('epoll batch', server('epoll', 'udp', '-x batch')),
        Contender('libuv', server('uv', 'udp', '-b 2048')),
        Contender('fastsocket', server('fastsocket', 'udp', buffers)),
        Contender('fastsocket buffer', server('fastsocket', 'udp', f'-x buffer {buffers}')),
        onEpoll('udp', buffers, 'libuv'),
    ], 'raw', load('udp', f'-c 16 -d 8 -s {size}'),
               target={'fastsocket': target, 'fastsocket on epoll': 1.00},
               oneCore=oneCore, short=oneCore)


DATAGRAMS = [datagrams(size, target, oneCore) for size, target in ((64, 0.76), (1400, 0.72))
             for oneCore in (True, False)]


# ---- connections ----

def scaling():
    """Each contender with few connections and with many, compared with itself."""
    contenders = []
    for name, program in (('raw', 'raw'), ('epoll', 'epoll'), ('fastsocket', 'fastsocket')):
        for count in (64, 500, 2000):
            contenders.append(Contender(f'{name} × {count}', server(program, 'echo'),
                                        f'-c {count}', f'{name} × 64'))
    return Row('scaling', 'TCP echo, 64 B, 64 to 2000 connections, to itself',
               contenders, 'fastsocket × 64', load('echo', '-d 1 -s 64'), short=False,
               target={'fastsocket × 2000': 1.10})


IDLE = Row('idle', 'idle connection, memory of 10 000', echoServers(), 'raw',
           load('idle', '-c 10000 -s 64'), figure='memory', unit='B',
           bound={'fastsocket': 330}, short=False)

CHURN = Row('churn', 'connect, one echo, close', echoServers()[:5], 'raw',
            load('churn', '-c 16 -s 64'), target={'fastsocket': 1.00})

ROWS = [
    *SMALL, LARGE, PING, *PUSH, *RECEIVE, *DATAGRAMS, scaling(), IDLE, CHURN,
]
