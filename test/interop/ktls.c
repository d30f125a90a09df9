/*
 * TLS by the kernel (kTLS) against OpenSSL: its handshake, then the keys are the kernel's, on a
 * socket of ours, in both directions. OpenSSL's own records stay at the peer, in a thread.
 *
 * Exit: 0, 1 with a line that says what is wrong, 77 where the kernel has no TLS.
 */
#include <Ring/FastSocket.h>

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <liburing.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum
{
    SECRET = 32,
    MUCH = 300000,
    ALERT = 21,
    HANDSHAKE = 22,
    DATA = 23,
    MOST_WAITS = 20000,
};

static const char keyUpdate[5] = {24, 0, 0, 1, 0};

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            printf("%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

/* ---- the handshake, and its secrets ---- */

struct Secrets
{
    uint8_t client[SECRET];
    uint8_t server[SECRET];
};

static struct Secrets secrets;

static void keepLine(const SSL* session, const char* line)
{
    const char* names[] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
    uint8_t* targets[] = {secrets.client, secrets.server};

    (void)session;
    for (int index = 0; index < 2; index++) {
        const char* digits = strrchr(line, ' ') + 1;
        if (strncmp(line, names[index], strlen(names[index])) != 0)
            continue;
        for (int byte = 0; byte < SECRET; byte++) {
            unsigned value = 0;
            CHECK(sscanf(digits + 2 * byte, "%2x", &value) == 1);
            targets[index][byte] = (uint8_t)value;
        }
    }
}

/* HKDF-Expand-Label without a context (RFC 8446, 7.1), of at most one hash. */
static void expand(const uint8_t* secret, const char* label, uint8_t* result, size_t size)
{
    uint8_t info[64] = {(uint8_t)(size >> 8), (uint8_t)size, (uint8_t)(6 + strlen(label))};
    uint8_t hash[SECRET];
    unsigned length = sizeof(hash);
    size_t used = 3;

    used += (size_t)sprintf((char*)info + used, "tls13 %s", label);
    info[used++] = 0; /* of the context */
    info[used++] = 1; /* the first block */
    CHECK(HMAC(EVP_sha256(), secret, SECRET, info, used, hash, &length) != NULL);
    memcpy(result, hash, size);
}

static int installKey(int handle, int direction, const uint8_t* secret)
{
    struct tls12_crypto_info_aes_gcm_128 info = {
        .info = {.version = TLS_1_3_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128},
    };
    uint8_t vector[12];

    expand(secret, "key", info.key, sizeof(info.key));
    expand(secret, "iv", vector, sizeof(vector));
    memcpy(info.salt, vector, 4);
    memcpy(info.iv, vector + 4, 8);
    return setsockopt(handle, SOL_TLS, direction, &info, sizeof(info));
}

static void advance(uint8_t* secret)
{
    uint8_t next[SECRET];

    expand(secret, "traffic upd", next, SECRET);
    memcpy(secret, next, SECRET);
}

static SSL_CTX* makeContext(const SSL_METHOD* method)
{
    SSL_CTX* context = SSL_CTX_new(method);

    CHECK(context != NULL);
    CHECK(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1);
    CHECK(SSL_CTX_set_num_tickets(context, 0) == 1);
    return context;
}

static void certify(SSL_CTX* context)
{
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();

    CHECK(key != NULL && certificate != NULL);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    CHECK(SSL_CTX_use_certificate(context, certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(context, key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* ---- the peer ---- */

enum Play
{
    PLAY_ALERT,
    PLAY_KEYS,
    /* The kernel takes no second key: a KeyUpdate can be read, and nothing behind it. */
    PLAY_OLD_KEYS,
};

struct Peer
{
    int handle;
    enum Play play;
};

static void readAll(SSL* session, char* data, int size)
{
    for (int count = 0; count < size;) {
        int result = SSL_read(session, data + count, size - count);
        CHECK(result > 0);
        count += result;
    }
}

/* OpenSSL writes without MSG_NOSIGNAL, and our end may be gone by then. The kernel sends SIGPIPE to
 * the thread that writes: one that the library caused would still end the program. */
static void blockPipeSignal(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void* runPeer(void* closure)
{
    struct Peer* peer = closure;
    SSL_CTX* context = makeContext(TLS_server_method());
    SSL* session = NULL;
    char* data = malloc(MUCH);

    blockPipeSignal();
    certify(context);
    session = SSL_new(context);
    SSL_set_fd(session, peer->handle);
    CHECK(SSL_accept(session) == 1);
    readAll(session, data, MUCH);
    CHECK(SSL_write(session, data, MUCH) == MUCH);
    if (peer->play != PLAY_ALERT) {
        readAll(session, data, 1);
        CHECK(SSL_key_update(session, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        CHECK(SSL_write(session, "after", 5) == 5);
        readAll(session, data, 5); /* behind a KeyUpdate of ours, if the kernel can */
        if (peer->play == PLAY_KEYS)
            CHECK(SSL_write(session, data, 5) == 5);
    }
    if (peer->play != PLAY_OLD_KEYS)
        readAll(session, data, 1); /* when the other end expects it */
    (void)SSL_shutdown(session);
    while (peer->play != PLAY_OLD_KEYS && SSL_read(session, data, MUCH) > 0)
        ;
    close(peer->handle);
    SSL_free(session);
    SSL_CTX_free(context);
    free(data);
    return NULL;
}

/* ---- our side ---- */

static struct FastRing* ring;
static struct FastRingBufferProvider* provider;
static struct FastBufferPool* pool;
static struct FastSocket* fast;
static char received[MUCH + 64];
static size_t length;
static int record;    /* type of the last one that was no data */
static char body[64]; /* and its bytes */
static int bodyLength;
static int errors;
static int lastError;
static int hangups;

static int typeOf(struct msghdr* message)
{
    for (struct cmsghdr* entry = CMSG_FIRSTHDR(message); entry != NULL;
         entry = CMSG_NXTHDR(message, entry))
        if (entry->cmsg_level == SOL_TLS && entry->cmsg_type == TLS_GET_RECORD_TYPE)
            return *CMSG_DATA(entry);
    return -1;
}

static void takeRecord(int type, const void* data, size_t size)
{
    if (type == DATA) {
        CHECK(length + size <= sizeof(received));
        memcpy(received + length, data, size);
        length += size;
        return;
    }
    CHECK(size <= sizeof(body));
    record = type;
    bodyLength = (int)size;
    memcpy(body, data, size);
}

static void takeChunk(struct FastBuffer* buffer)
{
    struct msghdr* header = GetFastSocketMessageHeader(fast);

    if (header == NULL) {
        takeRecord(DATA, GetFastBufferData(buffer), GetFastBufferLength(buffer));
        return;
    }
    struct io_uring_recvmsg_out* out = io_uring_recvmsg_validate(
        GetFastBufferData(buffer), (int)GetFastBufferLength(buffer), header);
    CHECK(out != NULL);
    struct msghdr message = {.msg_control = (uint8_t*)(out + 1) + header->msg_namelen,
                             .msg_controllen = out->controllen};
    takeRecord(typeOf(&message), io_uring_recvmsg_payload(out, header), out->payloadlen);
}

/* What the library can't receive without a header, the program reads itself. */
static void readRecord(void)
{
    uint8_t control[CMSG_SPACE(1)];
    char data[64];
    struct iovec vector = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t size = recvmsg(GetFastSocketHandle(fast), &message, MSG_DONTWAIT);

    CHECK(size > 0);
    takeRecord(typeOf(&message), data, (size_t)size);
}

static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer = NULL;

    if (event == POLLIN) {
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
            takeChunk(buffer);
            ReleaseFastBuffer(buffer);
        }
    } else if (event == POLLERR) {
        errors++;
        lastError = parameter;
    } else if (event == POLLHUP) {
        CHECK(parameter == 0);
        hangups++;
    }
}

#define RUN_UNTIL(condition)                             \
    do {                                                 \
        int waits = 0;                                   \
        while (!(condition) && waits++ < MOST_WAITS)     \
            CHECK(WaitForFastRing(ring, 10, NULL) == 0); \
        CHECK(condition);                                \
    } while (0)

/* Waits for a record that is no data: a chunk of its own, or ours to read. */
static void expectRecord(bool header, int type)
{
    if (!header) {
        RUN_UNTIL(errors > 0);
        CHECK(errors == 1 && lastError == EIO && GetFastSocketError(fast) == 0);
        CHECK(PauseFastSocket(fast) == 0);
        readRecord();
        errors = 0;
    }
    RUN_UNTIL(record != 0);
    CHECK(record == type);
    record = 0;
}

static void echoMuch(void)
{
    char* data = malloc(MUCH);

    for (int index = 0; index < MUCH; index++)
        data[index] = (char)(index * 7 + index / 251);
    CHECK(TransmitFastSocketData(fast, NULL, 0, data, MUCH, 0) == 0);
    RUN_UNTIL(length == MUCH);
    CHECK(memcmp(received, data, MUCH) == 0);
    CHECK(errors == 0);
    length = 0;
    free(data);
}

static void sendKeyUpdate(void)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(1)];
    } control = {.header = {.cmsg_level = SOL_TLS,
                            .cmsg_type = TLS_SET_RECORD_TYPE,
                            .cmsg_len = CMSG_LEN(1)}};
    struct iovec vector = {.iov_base = (void*)(uintptr_t)keyUpdate, .iov_len = sizeof(keyUpdate)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    *CMSG_DATA(&control.header) = HANDSHAKE;
    CHECK(TransmitFastSocketMessage(fast, &message, 0) == 0);
    RUN_UNTIL(GetFastSocketOutboundLength(fast) == 0);
    advance(secrets.client);
    CHECK(installKey(GetFastSocketHandle(fast), TLS_TX, secrets.client) == 0);
}

static void exchangeKeys(bool header, bool again)
{
    CHECK(TransmitFastSocketData(fast, NULL, 0, "K", 1, 0) == 0);
    expectRecord(header, HANDSHAKE);
    CHECK(bodyLength == sizeof(keyUpdate) && memcmp(body, keyUpdate, sizeof(keyUpdate)) == 0);
    if (!again) {
        /* The other direction does. */
        CHECK(TransmitFastSocketData(fast, NULL, 0, "works", 5, 0) == 0);
        RUN_UNTIL(GetFastSocketOutboundLength(fast) == 0);
        return;
    }
    advance(secrets.server);
    CHECK(installKey(GetFastSocketHandle(fast), TLS_RX, secrets.server) == 0);
    CHECK(ResumeFastSocket(fast) == 0);
    for (int waits = 0; length < 5 && waits < MOST_WAITS; waits++) {
        CHECK(WaitForFastRing(ring, 10, NULL) == 0);
        /* It was looked for before the key was there. */
        if (errors > 0 && lastError == EKEYEXPIRED) {
            errors = 0;
            CHECK(ResumeFastSocket(fast) == 0);
        }
    }
    CHECK(length == 5 && memcmp(received, "after", 5) == 0);
    length = 0;
    sendKeyUpdate();
    CHECK(TransmitFastSocketData(fast, NULL, 0, "hello", 5, 0) == 0);
    RUN_UNTIL(length == 5);
    CHECK(memcmp(received, "hello", 5) == 0);
}

static void connectPair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(bind(listener, (struct sockaddr*)&address, size) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr*)&address, &size) == 0);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(pair[0], (struct sockaddr*)&address, size) == 0);
    pair[1] = accept(listener, NULL, NULL);
    CHECK(pair[1] >= 0);
    close(listener);
}

static void shakeHands(int handle)
{
    SSL_CTX* context = makeContext(TLS_client_method());
    SSL* session = NULL;

    SSL_CTX_set_keylog_callback(context, keepLine);
    session = SSL_new(context);
    SSL_set_fd(session, handle);
    CHECK(SSL_connect(session) == 1);
    SSL_set_quiet_shutdown(session, 1);
    SSL_free(session);
    SSL_CTX_free(context);
}

/* Whether the kernel takes a second key, of Linux 6.14 on; the same one changes nothing. */
static bool giveKeys(int handle)
{
    CHECK(setsockopt(handle, IPPROTO_TCP, TCP_ULP, "tls", 4) == 0);
    CHECK(installKey(handle, TLS_TX, secrets.client) == 0);
    CHECK(installKey(handle, TLS_RX, secrets.server) == 0);
    return installKey(handle, TLS_RX, secrets.server) == 0;
}

static bool takesSecondKey(void)
{
    int pair[2];
    bool result = false;

    connectPair(pair);
    result = giveKeys(pair[0]);
    close(pair[0]);
    close(pair[1]);
    return result;
}

static void playOne(enum Play play, bool header, int mode)
{
    struct msghdr message = {.msg_controllen = CMSG_SPACE(1)};
    struct Peer peer = {.play = play};
    pthread_t thread;
    int pair[2];

    length = 0;
    record = errors = lastError = hangups = 0;
    connectPair(pair);
    peer.handle = pair[1];
    CHECK(pthread_create(&thread, NULL, runPeer, &peer) == 0);
    shakeHands(pair[0]);
    (void)giveKeys(pair[0]);
    fast = CreateFastSocket(ring, provider, pool, pool, pair[0], header ? &message : NULL, 0, mode,
                            0, onEvent, NULL);
    CHECK(fast != NULL);
    echoMuch();
    if (play != PLAY_ALERT)
        exchangeKeys(header, play == PLAY_KEYS);
    if (play != PLAY_OLD_KEYS) {
        CHECK(TransmitFastSocketData(fast, NULL, 0, "Q", 1, 0) == 0);
        expectRecord(header, ALERT);
        CHECK(bodyLength == 2 && body[1] == 0); /* close_notify */
    }
    ReleaseFastSocket(fast);
    RUN_UNTIL(GetFastRingPending(ring) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    printf("ok: %s, %s a message header, mode %#x\n",
           play == PLAY_ALERT  ? "echo and alert"
           : play == PLAY_KEYS ? "echo, KeyUpdate both ways, alert"
                               : "echo, KeyUpdate read",
           header ? "with" : "without", mode);
}

static bool hasTls(void)
{
    int pair[2];
    bool has = false;

    connectPair(pair);
    has = setsockopt(pair[0], IPPROTO_TCP, TCP_ULP, "tls", 4) == 0;
    close(pair[0]);
    close(pair[1]);
    return has;
}

int main(void)
{
    const int modes[] = {FASTSOCKET_MODE_REGULAR, FASTSOCKET_MODE_ZERO_COPY,
                         FASTSOCKET_MODE_AUTO_CORK};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!hasTls()) {
        printf("the kernel has no TLS: %s\n", strerror(errno));
        return 77;
    }
    CHECK((ring = CreateFastRing(0)) != NULL);
    CHECK((pool = CreateFastBufferPool(ring)) != NULL);
    CHECK((provider = CreateFastRingBufferProvider(ring, 0, 64, 4096, AllocateRingFastBuffer,
                                                   pool)) != NULL);
    enum Play keys = takesSecondKey() ? PLAY_KEYS : PLAY_OLD_KEYS;
    for (size_t index = 0; index < sizeof(modes) / sizeof(modes[0]); index++) {
        playOne(PLAY_ALERT, false, modes[index]);
        playOne(PLAY_ALERT, true, modes[index]);
    }
    playOne(keys, false, 0);
    playOne(keys, true, 0);
    ReleaseFastRing(ring);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
    return 0;
}
