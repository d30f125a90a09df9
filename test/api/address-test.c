/* Addresses as text: both ways, every form, and wrong in every part. */
#include "services.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <linux/vm_sockets.h> /* needs what stands above */

AREA(address, "address");

enum
{
    PATH = sizeof(((struct sockaddr_un*)NULL)->sun_path),
};

static struct sockaddr_storage name;
static socklen_t length;

static void parse(const char* text)
{
    int result = ParseFastAddress(text, &name, &length);

    ck_assert_msg(result == 0, "«%s»: %s", text, strerror(-result));
}

static void expectFormat(const char* text)
{
    char found[FASTSOCKET_ADDRESS_SIZE];

    ck_assert_int_eq(
        FormatFastAddress((struct sockaddr*)&name, length, found, sizeof(found)), 0);
    ck_assert_str_eq(found, text);
}

/* Reads a text, writes it as another, and reads that as the same address. */
static void expectBoth(const char* text, const char* written)
{
    struct sockaddr_storage first;
    socklen_t firstLength = 0;

    parse(text);
    first = name;
    firstLength = length;
    expectFormat(written);
    parse(written);
    ck_assert_uint_eq(length, firstLength);
    ck_assert_mem_eq(&name, &first, length);
}

static void expectSame(const char* text)
{
    expectBoth(text, text);
}

/* Nothing is written. */
static void expectRefused(const char* text, int error)
{
    struct sockaddr_storage before;

    memset(&name, 0x5a, sizeof(name));
    before = name;
    length = 77;
    ck_assert_msg(ParseFastAddress(text, &name, &length) == error, "«%s» gives %d, not %d", text,
                  ParseFastAddress(text, &name, &length), error);
    ck_assert_uint_eq(length, 77);
    ck_assert_mem_eq(&name, &before, sizeof(name));
}

/* ---- the internet's ---- */

/* §3.1 address text: every form that is numeric is read, and written as it would be read again */
CASE(address, readsIpv4)
{
    const struct sockaddr_in* four = (const struct sockaddr_in*)&name;

    expectSame("192.0.2.1:80");
    ck_assert_uint_eq(length, sizeof(*four));
    ck_assert_int_eq(four->sin_family, AF_INET);
    ck_assert_uint_eq(ntohs(four->sin_port), 80);
    ck_assert_uint_eq(ntohl(four->sin_addr.s_addr), 0xc0000201);
    expectSame("0.0.0.0:0");
    expectSame("255.255.255.255:65535");
    expectBoth("192.0.2.1:00080", "192.0.2.1:80");
}

/* §3.1 address text: IPv6 in brackets */
CASE(address, readsIpv6)
{
    const struct sockaddr_in6* six = (const struct sockaddr_in6*)&name;

    expectSame("[::1]:443");
    ck_assert_uint_eq(length, sizeof(*six));
    ck_assert_int_eq(six->sin6_family, AF_INET6);
    ck_assert_uint_eq(ntohs(six->sin6_port), 443);
    ck_assert_int_eq(memcmp(&six->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback)), 0);
    expectSame("[2001:db8::ff00:42:8329]:65535");
    expectSame("[::ffff:192.0.2.1]:1");
    expectBoth("[2001:DB8:0:0:0:0:0:1]:1", "[2001:db8::1]:1");
}

/* §3.1 address text: a scope is an interface, by name or by number */
CASE(address, readsScopes)
{
    const struct sockaddr_in6* six = (const struct sockaddr_in6*)&name;
    char text[IF_NAMESIZE + 32];
    char first[IF_NAMESIZE];

    if (if_indextoname(1, first) == NULL)
        skipTest("there is no interface");
    snprintf(text, sizeof(text), "[fe80::1%%%s]:80", first);
    expectSame(text);
    ck_assert_uint_eq(six->sin6_scope_id, 1);
    expectBoth("[fe80::1%1]:80", text);
    expectSame("[fe80::1%4000000000]:80");
    ck_assert_uint_eq(six->sin6_scope_id, 4000000000);
    expectRefused("[fe80::1%nosuchone]:80", -ENODEV);
    expectRefused("[fe80::1%0]:80", -ENODEV);
    expectRefused("[fe80::1%]:80", -EINVAL);
    expectRefused("[fe80::1%4294967296]:80", -EINVAL);
}

/* §3.1 address text: any address is that of IPv6 */
CASE(address, readsAny)
{
    expectBoth("*:80", "[::]:80");
    expectBoth(":80", "[::]:80");
    expectBoth(":0", "[::]:0");
    expectSame("[::]:80");
    expectBoth("udp:*:53", "[::]:53");
}

/* §3.1 address text: a word in front says how it is to be used, and changes no address */
CASE(address, readsWords)
{
    expectBoth("udp:192.0.2.1:53", "192.0.2.1:53");
    expectBoth("udp:[::1]:53", "[::1]:53");
    expectBoth("mptcp:192.0.2.1:80", "192.0.2.1:80");
    expectRefused("tcp:192.0.2.1:80", -EINVAL);
    expectRefused("udp:udp:192.0.2.1:53", -EINVAL);
    expectRefused("UDP:192.0.2.1:53", -EINVAL);
}

/* §3.1 address refused: names are none, and nothing that could be meant otherwise is one */
CASE(address, refusesOthers)
{
    static const char* const wrong[] = {
        "",
        " ",
        ":",
        "*",
        "*:",
        "host",
        "192.0.2.1",
        "192.0.2.1:",
        "[::1]",
        "[::1]:",
        "[::1]80",
        "[::1:80",
        "::1:80",
        "::1]:80",
        "[]:80",
        "[*]:80",
        "[192.0.2.1]:80",
        "[host]:80",
        "[[::1]]:80",
        "[::1] :80",
        "[ ::1]:80",
        "[::g]:80",
        "[::1]:80:",
        "[1::2::3]:80",
        "192.0.2.1:65536",
        "192.0.2.1:99999999999999999999",
        "192.0.2.1:+1",
        "192.0.2.1:-1",
        "192.0.2.1: 1",
        "192.0.2.1:1 ",
        " 192.0.2.1:1",
        "192.0.2.1 :1",
        "192.0.2.1:1\n",
        "192.0.2.1:0x50",
        "192.0.2.1:8.0",
        "192.0.2.1:80:80",
        "192.0.2.1::80",
        "192.0.2.256:80",
        "192.0.2:80",
        "192.0.2.1.:80",
        "192.0.2.01:80",
        "192.0.2.1/24:80",
        "**:80",
        "a*:80",
        "udp:",
        "udp:192.0.2.1",
        "mptcp:",
        "host:80",
        "192.0.2.1:http",
        "[::1]:http",
        "*:http",
        "vsock:",
        "vsock:2",
        "vsock:2:",
        "vsock::2",
        "vsock:2:3:4",
        "vsock:-1:3",
        "vsock:2:+3",
        "vsock:4294967296:1",
        "vsock:1:4294967296",
        "vsock:host:1",
        "vsock: 2:3",
        "unix:@",
    };

    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++)
        expectRefused(wrong[index], -EINVAL);
}

/* §3.1 address refused: a part that is longer than any */
CASE(address, refusesLongParts)
{
    char text[1024];

    memset(text, 'a', sizeof(text));
    strcpy(text + 255, ":80");
    expectRefused(text, -EINVAL); /* a name */
    memset(text, 'a', sizeof(text));
    strcpy(text + 256, ":80");
    expectRefused(text, -ENAMETOOLONG);
    strcpy(text, "host:");
    memset(text + 5, 'b', 64);
    text[5 + 64] = '\0';
    expectRefused(text, -ENAMETOOLONG);
}

/* ---- the others ---- */

static void makePath(char* text, const char* word, size_t count)
{
    strcpy(text, word);
    memset(text + strlen(word), 'p', count);
    text[strlen(word) + count] = '\0';
}

/* §3.1 address text: paths, up to all that fits */
CASE(address, readsPaths)
{
    const struct sockaddr_un* local = (const struct sockaddr_un*)&name;
    char text[256];

    expectSame("unix:/run/name");
    ck_assert_int_eq(local->sun_family, AF_UNIX);
    ck_assert_str_eq(local->sun_path, "/run/name");
    ck_assert_uint_eq(length, offsetof(struct sockaddr_un, sun_path) + sizeof("/run/name"));
    expectSame("unix:relative");
    expectSame("unix:/with blanks: and colons]");
    for (size_t count = PATH - 2; count <= PATH; count++) {
        makePath(text, "unix:", count);
        expectSame(text);
        ck_assert_uint_le(length, sizeof(struct sockaddr_un));
    }
    makePath(text, "unix:", PATH + 1);
    expectRefused(text, -ENAMETOOLONG);
}

/* §3.1 address text: abstract names, up to all that fits */
CASE(address, readsAbstractNames)
{
    const struct sockaddr_un* local = (const struct sockaddr_un*)&name;
    char text[256];

    expectSame("unix:@name");
    ck_assert_int_eq(local->sun_path[0], 0);
    ck_assert_mem_eq(local->sun_path + 1, "name", 4);
    ck_assert_uint_eq(length, offsetof(struct sockaddr_un, sun_path) + 5);
    expectSame("unix:@@");
    expectSame("unix:@/a:b c");
    makePath(text, "unix:@", PATH - 1);
    expectSame(text);
    ck_assert_uint_eq(length, sizeof(struct sockaddr_un));
    makePath(text, "unix:@", PATH);
    expectRefused(text, -ENAMETOOLONG);
}

/* §3.1 address text: AF_UNIX without a name has a text, too */
CASE(address, readsNoName)
{
    expectSame("unix:");
    ck_assert_uint_eq(length, offsetof(struct sockaddr_un, sun_path));
}

/* §3.1 address text: contexts and ports of vsock */
CASE(address, readsVsock)
{
    const struct sockaddr_vm* machine = (const struct sockaddr_vm*)&name;

    expectSame("vsock:2:1024");
    ck_assert_int_eq(machine->svm_family, AF_VSOCK);
    ck_assert_uint_eq(machine->svm_cid, 2);
    ck_assert_uint_eq(machine->svm_port, 1024);
    ck_assert_uint_eq(length, sizeof(*machine));
    expectSame("vsock:4294967294:4294967294");
    expectSame("vsock:*:7");
    ck_assert_uint_eq(machine->svm_cid, VMADDR_CID_ANY);
    expectBoth("vsock:4294967295:4294967295", "vsock:*:*");
}

/* ---- the way back ---- */

static void expectUnformatted(const void* address, socklen_t size, int error)
{
    char text[FASTSOCKET_ADDRESS_SIZE] = "untouched";

    ck_assert_int_eq(FormatFastAddress(address, size, text, sizeof(text)), error);
    ck_assert_str_eq(text, "untouched");
}

/* §3.1 address unwritten: what has no text that would be read as itself has none */
CASE(address, refusesToWrite)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "\0a\0b"};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_vm machine = {.svm_family = AF_VSOCK};
    struct sockaddr_storage other = {.ss_family = AF_PACKET};
    const socklen_t front = offsetof(struct sockaddr_un, sun_path);

    expectUnformatted(&local, front + 4, -EINVAL);
    expectUnformatted(&local, sizeof(local), -EINVAL);
    expectUnformatted(&local, front + 1, -EINVAL);
    expectUnformatted(&four, sizeof(four) - 1, -EINVAL);
    expectUnformatted(&six, sizeof(six) - 1, -EINVAL);
    expectUnformatted(&machine, sizeof(machine) - 1, -EINVAL);
    expectUnformatted(&four, 1, -EINVAL);
    expectUnformatted(&four, 0, -EINVAL);
    expectUnformatted(&other, sizeof(other) + 1, -EINVAL);
    expectUnformatted(&other, sizeof(other), -EAFNOSUPPORT);
    other.ss_family = AF_UNSPEC;
    expectUnformatted(&other, sizeof(other), -EAFNOSUPPORT);
}

/* §3.1 address text: the kernel counts a zero behind a path; one of the full length has none */
CASE(address, writesPathsOfTheKernel)
{
    struct sockaddr_un* local = (struct sockaddr_un*)&name;
    char text[256];

    memset(&name, 0, sizeof(name));
    local->sun_family = AF_UNIX;
    memset(local->sun_path, 'p', PATH);
    makePath(text, "unix:", PATH);
    length = sizeof(*local) + 1;
    expectFormat(text);
    strcpy(local->sun_path, "short");
    length = sizeof(*local);
    expectFormat("unix:short");
    length = offsetof(struct sockaddr_un, sun_path) + 3; /* without a zero */
    expectFormat("unix:sho");
    strcpy(local->sun_path, "@file");
    expectFormat("unix:./@fi");
}

/* §3.1 address room: too little gives -ENOSPC, and nothing is written beyond it, or at all */
CASE(address, keepsToItsRoom)
{
    static const char* const texts[] = {"192.0.2.1:80", "[2001:db8::1]:65535", "unix:/run/name",
                                        "unix:@name", "unix:", "vsock:*:*"};
    char room[FASTSOCKET_ADDRESS_SIZE];

    for (size_t index = 0; index < sizeof(texts) / sizeof(texts[0]); index++) {
        size_t need = strlen(texts[index]) + 1;
        parse(texts[index]);
        for (size_t size = 0; size <= need; size++) {
            memset(room, '#', sizeof(room));
            ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&name, length, room, size),
                             size < need ? -ENOSPC : 0);
            ck_assert_int_eq(room[size < need ? 0 : need], '#');
        }
        ck_assert_str_eq(room, texts[index]);
    }
}

/* §3.1 address room: FASTSOCKET_ADDRESS_SIZE does for any */
CASE(address, anyFitsIntoItsSize)
{
    struct sockaddr_un* local = (struct sockaddr_un*)&name;
    char text[FASTSOCKET_ADDRESS_SIZE];

    memset(&name, 0, sizeof(name));
    local->sun_family = AF_UNIX;
    memset(local->sun_path, '@', PATH);
    length = sizeof(*local);
    ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)), 0);
    ck_assert_uint_eq(strlen(text), strlen("unix:./") + PATH);
}

/* §3.1 address refused: NULL is -EINVAL */
CASE(address, refusesNull)
{
    char text[FASTSOCKET_ADDRESS_SIZE];

    parse(":1");
    ck_assert_int_eq(ParseFastAddress(NULL, &name, &length), -EINVAL);
    ck_assert_int_eq(ParseFastAddress(":1", NULL, &length), -EINVAL);
    ck_assert_int_eq(ParseFastAddress(":1", &name, NULL), -EINVAL);
    ck_assert_int_eq(FormatFastAddress(NULL, length, text, sizeof(text)), -EINVAL);
    ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&name, length, NULL, 10), -EINVAL);
}

/* §3.1 address text: what is read of chance is written, and read again as the same */
CASE(address, goesBothWaysByChance)
{
    char text[FASTSOCKET_ADDRESS_SIZE];
    struct sockaddr_storage first;
    socklen_t firstLength = 0;
    unsigned state = 1;

    for (int round = 0; round < 20000; round++) {
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        for (size_t index = 0; index < sizeof(six.sin6_addr); index++) {
            state = state * 1103515245 + 12345;
            six.sin6_addr.s6_addr[index] = state & 0x10000000 ? (uint8_t)(state >> 16) : 0;
        }
        six.sin6_port = htons((uint16_t)(state >> 8));
        ck_assert_int_eq(
            FormatFastAddress((struct sockaddr*)&six, sizeof(six), text, sizeof(text)), 0);
        ck_assert_int_eq(ParseFastAddress(text, &first, &firstLength), 0);
        ck_assert_uint_eq(firstLength, sizeof(six));
        ck_assert_mem_eq(&first, &six, sizeof(six));
    }
}

/* ---- of sockets ---- */

SCENE_AREA(socketAddress, "socket-address");

static void expectAddress(int peer, const char* text)
{
    char found[FASTSOCKET_ADDRESS_SIZE];
    int result = GetFastSocketAddress(scene.ours.socket, peer, found, sizeof(found));

    ck_assert_msg(result == 0, "GetFastSocketAddress: %s", strerror(-result));
    ck_assert_str_eq(found, text);
}

/* Whatever the system says of the descriptor, behind a word. */
static void expectOwnAndPeer(const char* word)
{
    char own[FASTSOCKET_ADDRESS_SIZE + 8];
    size_t front = strlen(word);
    int handle = GetFastSocketHandle(scene.ours.socket);

    strcpy(own, word);
    for (int peer = 0; peer < 2; peer++) {
        length = sizeof(name);
        ck_assert_int_eq(peer ? getpeername(handle, (struct sockaddr*)&name, &length)
                              : getsockname(handle, (struct sockaddr*)&name, &length),
                         0);
        ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&name, length, own + front,
                                           sizeof(own) - front),
                         0);
        expectAddress(peer, own);
    }
}

/* §3.1 socket address: its own and its peer's, in the forms that are read */
CASE(socketAddress, tellsBoth)
{
    openPair(KIND_TCP);
    expectOwnAndPeer("");
    closePair();
    openPair(KIND_UDP);
    expectOwnAndPeer("udp:");
    closePair();
    if (hasKind(KIND_TCP6)) {
        openPair(KIND_TCP6);
        expectOwnAndPeer("");
    }
}

/* §3.1 socket address: AF_UNIX without a name */
CASE(socketAddress, tellsThatThereIsNoName)
{
    for (enum Kind kind = KIND_UNIX_STREAM; kind <= KIND_UNIX_SEQPACKET; kind++) {
        openPair(kind);
        expectAddress(0, "unix:");
        expectAddress(1, "unix:");
        closePair();
    }
}

/* §3.1 socket address: refused without a peer, of a file, and of other families */
CASE(socketAddress, refusesOtherSockets)
{
    char text[FASTSOCKET_ADDRESS_SIZE] = "untouched";
    struct Recorder recorder = {0};
    int ends[2];
    int handle = socket(AF_INET, SOCK_DGRAM, 0);

    openRecorded(&scene, handle, NULL, 0, &recorder);
    ck_assert_int_eq(GetFastSocketAddress(recorder.socket, 0, text, sizeof(text)), 0);
    ck_assert_str_eq(text, "udp:0.0.0.0:0");
    strcpy(text, "untouched");
    ck_assert_int_eq(GetFastSocketAddress(recorder.socket, 1, text, sizeof(text)), -ENOTCONN);
    ck_assert_int_eq(GetFastSocketAddress(recorder.socket, 0, NULL, sizeof(text)), -EINVAL);
    ck_assert_int_eq(GetFastSocketAddress(recorder.socket, 0, text, 5), -ENOSPC);
    ReleaseFastSocket(recorder.socket);

    ck_assert_int_eq(pipe(ends), 0);
    openRecorded(&scene, ends[0], NULL, FASTSOCKET_MODE_FILE_IO, &recorder);
    ck_assert_int_eq(GetFastSocketAddress(recorder.socket, 0, text, sizeof(text)), -ENOTSOCK);
    ReleaseFastSocket(recorder.socket);
    close(ends[1]);

    handle = socket(AF_NETLINK, SOCK_RAW, 0);
    ck_assert_int_ge(handle, 0);
    openRecorded(&scene, handle, NULL, 0, &recorder);
    ck_assert_int_eq(GetFastSocketAddress(recorder.socket, 0, text, sizeof(text)), -EAFNOSUPPORT);
    ck_assert_str_eq(text, "untouched");
    ReleaseFastSocket(recorder.socket);
    ck_assert_int_eq(GetFastSocketAddress(NULL, 0, text, sizeof(text)), -EINVAL);
}

static void* askElsewhere(void* closure)
{
    char text[FASTSOCKET_ADDRESS_SIZE];

    ck_assert_int_eq(GetFastSocketAddress(closure, 0, text, sizeof(text)), -EPERM);
    return NULL;
}

/* §3.1 socket address: in another thread, and after the ring */
CASE(socketAddress, isTheRingsThreads)
{
    char text[FASTSOCKET_ADDRESS_SIZE];

    openPair(KIND_TCP);
    runTurns(scene.ring, 1);
    inThread(askElsewhere, scene.ours.socket);
    endRing();
    ck_assert_int_eq(GetFastSocketAddress(scene.ours.socket, 0, text, sizeof(text)), -ECANCELED);
}
