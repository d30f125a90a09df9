"""What may change compatibly, beside what is new."""

# Structs whose size the caller passes with each call: fields may be appended.
GROWING = {
    'FastRingStatistics': 'GetFastRingStatistics takes the size the caller knows',
    'FastSocketStatistics': 'GetFastSocketStatistics takes the size the caller knows',
}

# The type of every field that is appended: after another one a gap may follow, which the next release fills.
GROWTH = 'uint64_t'

# Families of constants, by the beginning of their names: no two of a family are the same.
FAMILIES = [
    'FASTRING_OPTION_',
    'FASTRING_REASON_',
    'FASTSOCKET_OPTION_',
]

# Families whose members are added up: no two share a bit.
BIT_FAMILIES = [
    'FASTRING_FEATURE_',
    'FASTRING_TIMEOUT_',
    'FASTRING_WATCH_',
    'FASTSOCKET_MODE_',
]

# Functions that may call the program's own: these must not be declared to throw nothing.
CALLING = {
    'AdvanceFastRingBuffer',
    'CreateFastRingBufferProvider',
    'ReleaseFastRing',
    'ReleaseFastRingBufferProvider',
    'WaitForFastRing',
}

# Ways to compile a program, in none of which the headers say anything else: {way: the compiler's arguments}.
WAYS = {
    'NDEBUG': ['-DNDEBUG'],
    'DEBUG': ['-DDEBUG', '-D_DEBUG'],
    'the optimizer': ['-O2'],
    'fortified functions': ['-O2', '-D_FORTIFY_SOURCE=2'],
    'ISO C99': ['-std=c99'],
    'ISO C11 and POSIX': ['-std=c11', '-D_POSIX_C_SOURCE=200809L'],
    'GNU C11 and all that glibc has': ['-std=gnu11', '-D_GNU_SOURCE'],
    'files of 64 bits': ['-D_FILE_OFFSET_BITS=64', '-D_LARGEFILE_SOURCE'],
    'threads': ['-D_REENTRANT', '-pthread'],
    'position-independent code': ['-fPIC'],
}

# Libraries that ours may need; anything else is a new dependency of every program.
NEEDED = r'(liburing|libc|ld-linux[\w-]*|ld64|libatomic)\.so\.[\d.]+'

# Of these, the ones that some processors need and others don't, whichever a release was recorded on: the loader,
# for thread-local variables, and libatomic, where 32 bits have no counters of 64 (lib/meson.build).
OF_PROCESSOR = r'ld|libatomic\.'

# Of these, the ones whose own next soname changes nothing for programs: only ours calls them.
INNER = {'liburing'}

# The fields of the .pc file and the words that they may have; None: any. No program needs more than this library and,
# if it is linked statically, liburing, whatever its headers and versions are.
PKGCONFIG = {
    'Name': None,
    'Description': None,
    'URL': None,
    'Version': None,
    'Requires': [],
    'Requires.private': ['liburing'],
    'Cflags': ['-I${includedir}/fastsocket'],
    'Libs': ['-L${libdir}', '-lfastsocket'],
    'Libs.private': ['-pthread', '-latomic'],
}
PKGCONFIG_OF_PROCESSOR = ['-latomic']

# What the loader is told of the library by flags (DT_FLAGS_1).
FLAGS = {'NOW', 'NODELETE'}

# The frozen programs that are a part of every run of the tests: those that see most for what they cost. All of them are
# the suite «abi-programs». {name: None, or the part of its cases' names that is run}
QUICK = {
    'around': None,
    'buffer': None,
    'descriptor': None,
    'embed': None,
    'event': None,
    'file': None,
    'file-write': None,
    'later': None,
    'listener': None,
    'provider': None,
    'ring': None,
    'socket-buffer': None,
    'socket-create': None,
    'socket-datagram': None,
    'socket-descriptor': None,
    'socket-event': None,
    'socket-kinds': None,
    'socket-message': None,
    'socket-option': None,
    'socket-receive': None,
    'socket-release': None,
    'socket-ring-end': None,
    'socket-thread': None,
    'socket-transmit': None,
    'stream': None,
    'thread': None,
    'timeout': None,
    'watch': None,
}

# The examples that are frozen: {name: [its test, and the examples that this test needs beside it]}. What a release didn't
# have yet is not asked of it.
EXAMPLES = {
    'echo-server': ['echo-server'],
    'udp-echo': ['udp-echo'],
    'http-hello': ['http-hello'],
    'proxy': ['proxy', 'echo-server'],
    'chat-server': ['chat-server'],
    'shard': ['shard'],
    'pass-descriptor': ['pass-descriptor'],
    'workers': ['workers'],
    'lines': ['lines'],
    'copy': ['copy'],
    'chat-tty': ['chat-tty', 'chat-server'],
    'embed-epoll': ['embed'],
    'embed-glib': ['embed'],
    'http-get': ['http-get'],
    'broadcast': ['broadcast'],
    'dns-forwarder': ['dns-forwarder'],
    'balancer': ['balancer', 'echo-server', 'http-hello'],
    'tls-echo': ['tls-echo'],
}
# {a header that they include: pkg-config's name of what it belongs to}
EXAMPLE_PACKAGES = {
    'glib': 'glib-2.0',
    'openssl/': 'openssl',
}

# Conditions in frozen consumers and programs that ask for nothing but the refusal of what was out of bounds then: a later
# release may take it. {release: [texts]}: a condition of the consumer, or what libcheck says when 0 comes instead.
BOUNDS = {
    '1.0.0': [
        'SetFastRingOption(ring, option, least - 1) == -EINVAL',
        'SetFastRingOption(ring, FASTRING_OPTION_TURN_LIMIT, 65537) == -EINVAL',
        'SetFastRingOption(ring, FASTRING_OPTION_SPIN, 10001) == -EINVAL',
        'SetFastSocketOption(socket, option, (UINT64_C(1) << 40) + 1) == -EINVAL',
        'CreateFastRing(32769) fails with EINVAL',
        'SetFastRingOption(ring, option, least - 1) == 0',
        'SetFastRingOption(ring, option, most + 1) == 0',
        'set(option, tebi + 1) == 0',
    ],
}

# Conditions of frozen consumers that a value out of bounds that was taken leaves false: they count, but for the one that
# comes directly behind such a bound.
BEHIND_BOUNDS = {
    '1.0.0': [
        'GetFastRingOption(ring, option, &value) == 0 && value == least',
        'GetFastSocketOption(socket, option, &value) == 0 && value == next',
    ],
}
