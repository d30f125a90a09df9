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

# Libraries that ours may need; anything else is a new dependency of every program.
NEEDED = r'(liburing|libc|ld-linux[\w-]*|ld64|libatomic)\.so\.[\d.]+'

# Of these, the ones that some processors need and others don't, whichever a release was recorded on: the loader,
# for thread-local variables, and libatomic, where 32 bits have no counters of 64 (lib/meson.build).
OF_PROCESSOR = r'ld|libatomic\.'

# What the loader is told of the library by flags (DT_FLAGS_1).
FLAGS = {'NOW', 'NODELETE'}
