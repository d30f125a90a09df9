/*
 * tls-echo: an echo server that speaks TLS, by OpenSSL, which knows nothing of sockets here.
 *
 *     cc tls-echo.c -o tls-echo $(pkg-config --cflags --libs fastsocket openssl)
 *     ./tls-echo CERTIFICATE KEY [ADDRESS]      files in PEM; 127.0.0.1:7443 by default
 * See echo-server.c first. New here: between socket and program stand two memory BIOs. What is received is put into one,
 * and OpenSSL reads it there; what OpenSSL writes is taken out of the other, and transmitted. Whatever happens, advance()
 * does all that can be done; so neither the handshake nor the order of events needs a case of its own.
 */
#define _GNU_SOURCE
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>
#include <Ring/FastSocket.h>

enum { PIECE = 16 * 1024, OUTBOUND_LIMIT = 256 * 1024, PATIENCE = 60 * 1000 };
static LIST_HEAD(, Connection) connections = LIST_HEAD_INITIALIZER(connections);
struct Connection { LIST_ENTRY(Connection) link; struct FastSocket* socket; SSL* tls; };
static SSL_CTX* context; /* certificate and key */
static struct FastRing* ring;
static struct FastListener* server;
static struct FastRingSignal* signals[2];

/* Takes what OpenSSL has written to where it belongs. */
static void flush(struct Connection* connection)
{
    char data[PIECE];
    int count;
    while ((count = BIO_read(SSL_get_wbio(connection->tls), data, sizeof(data))) > 0)
        TransmitFastSocketData(connection->socket, NULL, 0, data, (size_t)count, 0); /* POLLERR tells if it fails */
}

/* Queued records still leave, and our close_notify behind them, unless TLS has failed. */
static void closeConnection(struct Connection* connection, int failed)
{
    if (!failed && SSL_is_init_finished(connection->tls))
        SSL_shutdown(connection->tls);
    flush(connection);
    ReleaseFastSocket(connection->socket);
    SSL_free(connection->tls); /* and both BIOs */
    LIST_REMOVE(connection, link);
    free(connection);
}

/* Reads all that is there, and sends it back, while the peer takes it. The connection may be gone afterwards. */
static void advance(struct Connection* connection)
{
    char data[PIECE];
    struct FastBuffer* buffer;
    int count = 1, error;
    while (count > 0 && GetFastSocketOutboundLength(connection->socket) < OUTBOUND_LIMIT) {
        ERR_clear_error();
        count = SSL_read(connection->tls, data, sizeof(data)); /* shakes hands, too */
        if (count > 0)
            count = SSL_write(connection->tls, data, count); /* into memory: all of it */
        error = count > 0 ? SSL_ERROR_NONE : SSL_get_error(connection->tls, count);
        flush(connection);
        if (error == SSL_ERROR_WANT_READ && (buffer = ReceiveFastSocketBuffer(connection->socket)) != NULL) {
            count = BIO_write(SSL_get_rbio(connection->tls), GetFastBufferData(buffer), (int)GetFastBufferLength(buffer));
            ReleaseFastBuffer(buffer);
        } else if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) {
            closeConnection(connection, error != SSL_ERROR_ZERO_RETURN); /* its close_notify; or garbage: the alert is queued */
            return;
        }
    }
    if (GetFastSocketOutboundLength(connection->socket) >= OUTBOUND_LIMIT)
        PauseFastSocket(connection->socket);
}

static void handleEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)parameter;
    if (event == POLLOUT)
        ResumeFastSocket(socket);
    if (event == POLLIN || event == POLLOUT) /* what OpenSSL has already no POLLIN tells of */
        advance(GetFastSocketClosure(socket));
    else if (event == POLLHUP)
        closeConnection(GetFastSocketClosure(socket), 0); /* cut off, without a close_notify; what came was answered */
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Connection* connection = handle >= 0 ? calloc(1, sizeof(*connection)) : NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    (void)listener, (void)closure;
    if (connection != NULL && in != NULL && out != NULL && (connection->tls = SSL_new(context)) != NULL)
        connection->socket = OpenFastSocket(ring, handle, FASTSOCKET_MODE_REGULAR, handleEvent, connection);
    if (connection == NULL || connection->socket == NULL) {
        SSL_free(connection != NULL ? connection->tls : NULL), BIO_free(in), BIO_free(out), free(connection), close(handle);
        return;
    }
    SSL_set_bio(connection->tls, in, out), SSL_set_accept_state(connection->tls);
    SetFastSocketOption(connection->socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, PATIENCE);
    SetFastSocketOption(connection->socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, PATIENCE);
    LIST_INSERT_HEAD(&connections, connection, link);
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value, void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
    ReleaseFastListener(server), server = NULL;
    while (!LIST_EMPTY(&connections)) closeConnection(LIST_FIRST(&connections), 0);
    for (int index = 0; index < 2; index++) /* a second one ends us at once */
        RemoveFastRingSignal(signals[index]), signals[index] = NULL;
}

int main(int count, char** arguments)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];
    context = SSL_CTX_new(TLS_server_method());
    if (count < 3 || context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, arguments[1]) != 1 || SSL_CTX_use_PrivateKey_file(context, arguments[2], SSL_FILETYPE_PEM) != 1)
        return fprintf(stderr, "usage: tls-echo CERTIFICATE KEY [ADDRESS]\n"), ERR_print_errors_fp(stderr), SSL_CTX_free(context), 2;
    int result = (ring = CreateFastRing(0)) != NULL && (signals[0] = AddFastRingSignal(ring, SIGINT, handleSignal, NULL)) != NULL &&
                 (signals[1] = AddFastRingSignal(ring, SIGTERM, handleSignal, NULL)) != NULL &&
                 (server = ListenFastSocket(ring, count > 3 ? arguments[3] : "127.0.0.1:7443", 0, handleConnection, NULL)) != NULL ? 0 : -1;
    if (result < 0)
        perror("tls-echo");
    else if (getsockname(GetFastListenerHandle(server), (struct sockaddr*)&name, &length) == 0 && FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)) == 0)
        printf("listening on %s\n", text), fflush(stdout);
    while (result == 0 && (server != NULL || GetFastRingPending(ring) > 0)) result = WaitForFastRing(ring, UINT32_MAX, NULL);
    RemoveFastRingSignal(signals[0]), RemoveFastRingSignal(signals[1]); /* NULL, unless the loop has ended otherwise */
    ReleaseFastRing(ring), SSL_CTX_free(context);
    return result == 0 ? 0 : 1;
}
