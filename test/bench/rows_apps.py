"""
The rows of applications: servers that speak RESP, HTTP and sockperf's protocol, under the programs
that people measure such servers with (tool.py); a broadcast under a load of ours; and what sockets
and timers cost without a load. Redis-benchmark, wrk and sockperf are Debian's; where one is missing
its rows are left out.
"""

import pathlib
import shlex
import sys

from contest import Contender, Row

TOOL = shlex.join([sys.executable, str(pathlib.Path(__file__).parent / 'tool.py')])
ENDS = '-p {port} -P {process} -C {cpu} -t {seconds}'


def server(program, service, arguments=''):
    return f'{{bin}}/apps/app-{program} {service} -C {{cpu}} {arguments}'.rstrip()


def servers(service):
    return [Contender('epoll', server('epoll', service)), Contender('libuv', server('uv', service)),
            Contender('fastsocket', server('fastsocket', service))]


# ---- redis ----

def redis(command, pipeline, **options):
    return Row(f'redis-{command}-p{pipeline}', f'redis-benchmark {command.upper()} -P {pipeline}, '
               '50 connections', servers('redis'), 'libuv',
               f'{TOOL} redis {command} {pipeline} {ENDS}', needs='redis-benchmark', **options)


REDIS = [
    redis('get', 1, short=False), redis('get', 16, target={'fastsocket': 0.95}),
    redis('set', 1, short=False), redis('set', 16, short=False),
]


# ---- http ----

def http(size, connections, pipeline='', **options):
    name = f'http-{size}-c{connections}{"-p" if pipeline else ""}{pipeline}'
    title = (f'HTTP, bodies of {size} B, {connections} connections'
             + (f', {pipeline} requests at once' if pipeline else ''))
    return Row(name, title, [
        *servers('http'), Contender('fastsocket held', server('fastsocket', 'http', '-x held')),
    ], 'libuv', f'{TOOL} http {size} {connections} {pipeline} {ENDS}', needs='wrk', **options)


HTTP = [
    http(512, 10, short=False), http(512, 100, short=False), http(512, 10, 16, short=False),
    http(65536, 10, short=False), http(65536, 100, short=False),
    http(262144, 10, target={'fastsocket': 1.00}), http(262144, 100, short=False),
]


# ---- ping-pong ----

def pong(protocol, service):
    return Row(f'sockperf-{protocol}',
               f'sockperf ping-pong, {protocol.upper()}, 64 B, half the time of a round trip',
               servers(service), 'libuv', f'{TOOL} pong {protocol} {ENDS}',
               figure='p50', unit='µs', needs='sockperf', target={'fastsocket': 1.00}, short=False)


PONG = [pong('tcp', 'pong'), pong('udp', 'pong-udp')]


# ---- broadcast ----

def broadcast(depth, **options):
    return Row(f'broadcast-d{depth}', f'lines of 64 B to 1000 clients, {depth} outstanding, a '
               'delivery', [
                   *servers('broadcast'),
                   Contender('epoll each', server('epoll', 'broadcast', '-x each')),
                   Contender('libuv each', server('uv', 'broadcast', '-x each')),
               ], 'libuv each',
               f'{{bin}}/apps/app-load -c 1000 -d {depth} -s 64 -w {{warm}} {ENDS}', **options)


BROADCAST = [
    broadcast(1, short=False),
    # Deliveries a second: five times as many for the same time of the server.
    broadcast(16, figure='rate', unit='a second', moreIsBetter=True, target={'fastsocket': 5.0}),
]


# ---- what objects cost ----

def costs(what, count, program):
    return f'{{bin}}/apps/costs-{program} {what} -n {count} -C {{cpu}}'


def many(what, title, few, lots, **options):
    """Each contender with few and with many, compared with itself; libuv as another row's base."""
    contenders = []
    for name, program in (('libuv', 'uv'), ('fastsocket', 'fastsocket')):
        for count in (few, lots):
            contenders.append(Contender(f'{name} × {count}', costs(what, count, program),
                                        base=f'{name} × {few}'))
    return Row(f'{what}-growth', f'{title}, each to itself with {few}', contenders,
               f'fastsocket × {few}', **options)


def against(what, title, count):
    return Row(what, f'{title}, {count} of them', [
        Contender('libuv', costs(what, count, 'uv')),
        Contender('fastsocket', costs(what, count, 'fastsocket')),
    ], 'libuv')


RELEASE = 'a socket released, all in one turn'
TIMERS = 'a timer armed, moved and removed, and one that runs out'
COSTS = [
    against('release', RELEASE, 10000),
    many('release', RELEASE, 1000, 10000, short=False, target={'fastsocket × 10000': 1.10}),
    against('timers', TIMERS, 10000),
    many('timers', TIMERS, 1000, 100000, short=False),
]

ROWS = [*REDIS, *HTTP, *PONG, *BROADCAST, *COSTS]
