"""Breaks of what the library takes: kinds of sockets, files and connections that are refused."""

from .edits import wrap

INCLUDES = '''#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
'''
QUESTIONS = INCLUDES + '''
static int ask(int handle, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(handle, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static unsigned modeOf(int handle)
{
    struct stat status;
    return fstat(handle, &status) == 0 ? status.st_mode & S_IFMT : S_IFSOCK;
}
'''
CREATE = ('INNER(ring, provider, inbound, outbound, handle, message, flags, mode, limit, '
          'function, closure)')
DOMAIN, TYPE, PROTOCOL = 'ask(handle, SO_DOMAIN)', 'ask(handle, SO_TYPE)', \
    'ask(handle, SO_PROTOCOL)'


def without(condition):
    """CreateFastSocket refuses what the condition says."""
    return lambda tree: wrap(tree, 'CreateFastSocket', f'''if ({condition}) {{
        errno = EPROTONOSUPPORT;
        return NULL;
    }}
    return {CREATE};''', before=QUESTIONS)


def notAccepted(condition):
    return lambda tree: wrap(tree, 'CreateFastListener', f'''if ({condition}) {{
        errno = EPROTONOSUPPORT;
        return NULL;
    }}
    return INNER(ring, handle, flags, function, closure);''', before=QUESTIONS)


def notWatched(condition):
    return lambda tree: wrap(tree, 'AddFastRingWatch', f'''if ({condition}) {{
        errno = EPERM;
        return NULL;
    }}
    return INNER(ring, handle, mask, flags, function, closure);''', before=QUESTIONS)


BREAKS = {
    'kinds: no TCP': without(f'{PROTOCOL} == IPPROTO_TCP'),
    'kinds: no UDP': without(f'{PROTOCOL} == IPPROTO_UDP'),
    'kinds: no IPv6': without(f'{DOMAIN} == AF_INET6'),
    'kinds: no IPv4': without(f'{DOMAIN} == AF_INET'),
    'kinds: no AF_UNIX': without(f'{DOMAIN} == AF_UNIX'),
    'kinds: no datagrams of AF_UNIX': without(f'{DOMAIN} == AF_UNIX && {TYPE} == SOCK_DGRAM'),
    'kinds: no seqpacket': without(f'{TYPE} == SOCK_SEQPACKET'),
    'kinds: no connecting sockets':
        without(f'''{TYPE} == SOCK_STREAM && getpeername(handle,
        (struct sockaddr*)&(struct sockaddr_storage){{0}},
        &(socklen_t){{sizeof(struct sockaddr_storage)}}) < 0'''),
    'kinds: no unconnected datagram sockets':
        without(f'''{TYPE} == SOCK_DGRAM && getpeername(handle,
        (struct sockaddr*)&(struct sockaddr_storage){{0}},
        &(socklen_t){{sizeof(struct sockaddr_storage)}}) < 0'''),
    'kinds: no files but pipes':
        without('modeOf(handle) != S_IFSOCK && modeOf(handle) != S_IFIFO'),
    'kinds: no pipes': without('modeOf(handle) == S_IFIFO'),
    'kinds: no regular files': without('modeOf(handle) == S_IFREG'),
    'kinds: no terminals': without('isatty(handle)'),
    'kinds: no eventfd, timerfd or signalfd': without('modeOf(handle) == 0'),
    'kinds: no sockets as files':
        without('(mode & FASTSOCKET_MODE_FILE_IO) && modeOf(handle) == S_IFSOCK'),
    'kinds: no files that are only written':
        without('(mode & FASTSOCKET_MODE_FILE_IO) && provider == NULL'),
    'kinds: no sockets without an outbound pool': without('outbound == NULL'),
    'kinds: no message headers': without('message != NULL'),
    'kinds: no room for control data': without('message != NULL && message->msg_controllen > 0'),
    'kinds: no sockets without a function': without('function == NULL'),
    'kinds: no listener for IPv6': notAccepted(f'{DOMAIN} == AF_INET6'),
    'kinds: no listener for AF_UNIX': notAccepted(f'{DOMAIN} == AF_UNIX'),
    'kinds: no listener for seqpacket': notAccepted(f'{TYPE} == SOCK_SEQPACKET'),
    'kinds: no watch on sockets': notWatched('modeOf(handle) == S_IFSOCK'),
    'kinds: no watch on pipes': notWatched('modeOf(handle) == S_IFIFO'),
    'kinds: no watch for room': notWatched('mask & POLLOUT'),
}

PROGRAMS = {
    'kinds: no TCP': 'socket-kinds',
    'kinds: no UDP': 'socket-kinds',
    'kinds: no IPv6': 'socket-kinds',
    'kinds: no connecting sockets': 'socket-create',
    'kinds: no files but pipes': 'file',
    'kinds: no terminals': 'file',
    'kinds: no eventfd, timerfd or signalfd': 'file',
    'kinds: no regular files': 'file',
    'kinds: no files that are only written': 'file-write',
    'kinds: no listener for IPv6': 'later',
    'kinds: no listener': 'listener',
    'kinds: no watch': 'watch',
    'kinds': 'socket-create',
}
