/*
 * A store that speaks RESP2, as far as redis-benchmark and redis-cli ask: PING, ECHO, SET, GET,
 * DEL, CONFIG, COMMAND. Commands may also come as a line of words.
 *
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "service.h"
#include "table.h"

enum
{
    WORD_LIMIT = 16,              /* words of a command */
    LENGTH_LIMIT = 512 * 1024 * 1024,
    LINE_LIMIT = 64 * 1024        /* bytes of a line; a longer one will never end */
};

struct Word
{
    const char* data;
    size_t size;
};

/* What became of parsing. */
enum Parsed
{
    PARSED_WHOLE,
    PARSED_PART,  /* more must come */
    PARSED_WRONG  /* nothing that comes can make it right */
};

struct Command
{
    size_t count;
    struct Word words[WORD_LIMIT];
};

struct Reader
{
    const char* next;
    const char* end;
};

#define SAY(session, text) say(session, text, sizeof(text) - 1)

static enum Parsed readLine(struct Reader* reader, struct Word* line)
{
    size_t left = (size_t)(reader->end - reader->next);
    const char* end = memchr(reader->next, '\n', left);

    if (end == NULL)
        return (left > LINE_LIMIT) ? PARSED_WRONG : PARSED_PART;
    line->data = reader->next;
    line->size = (size_t)(end - reader->next);
    if ((line->size > 0) && (line->data[line->size - 1] == '\r'))
        line->size--;
    reader->next = end + 1;
    return PARSED_WHOLE;
}

/* A line of a sign and a number that isn't negative. */
static enum Parsed readCount(struct Reader* reader, char sign, size_t limit, size_t* count)
{
    struct Word line;
    enum Parsed parsed = readLine(reader, &line);

    if (parsed != PARSED_WHOLE)
        return parsed;
    if ((line.size < 2) || (line.data[0] != sign))
        return PARSED_WRONG;
    *count = 0;
    for (size_t index = 1; index < line.size; index++) {
        if ((line.data[index] < '0') || (line.data[index] > '9'))
            return PARSED_WRONG;
        *count = *count * 10 + (size_t)(line.data[index] - '0');
        if (*count > limit)
            return PARSED_WRONG;
    }
    return PARSED_WHOLE;
}

static enum Parsed readBulk(struct Reader* reader, struct Word* word)
{
    enum Parsed parsed = readCount(reader, '$', LENGTH_LIMIT, &word->size);

    if (parsed != PARSED_WHOLE)
        return parsed;
    if ((size_t)(reader->end - reader->next) < word->size + 2)
        return PARSED_PART;
    word->data = reader->next;
    if ((word->data[word->size] != '\r') || (word->data[word->size + 1] != '\n'))
        return PARSED_WRONG;
    reader->next += word->size + 2;
    return PARSED_WHOLE;
}

static enum Parsed readArray(struct Reader* reader, struct Command* command)
{
    enum Parsed parsed = readCount(reader, '*', WORD_LIMIT, &command->count);

    for (size_t index = 0; (parsed == PARSED_WHOLE) && (index < command->count); index++)
        parsed = readBulk(reader, &command->words[index]);
    return parsed;
}

static enum Parsed readWords(struct Reader* reader, struct Command* command)
{
    struct Word line;
    enum Parsed parsed = readLine(reader, &line);
    const char* end;

    if (parsed != PARSED_WHOLE)
        return parsed;
    command->count = 0;
    for (const char* next = line.data; next < line.data + line.size; next = end + 1) {
        end = memchr(next, ' ', (size_t)(line.data + line.size - next));
        if (end == NULL)
            end = line.data + line.size;
        if (end == next)
            continue;
        if (command->count == WORD_LIMIT)
            return PARSED_WRONG;
        command->words[command->count++] = (struct Word){next, (size_t)(end - next)};
    }
    return PARSED_WHOLE;
}

static bool is(const struct Word* word, const char* text)
{
    return (strlen(text) == word->size) && (strncasecmp(word->data, text, word->size) == 0);
}

static void sayBulk(struct Session* session, const void* data, size_t size)
{
    char head[32];

    say(session, head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", size));
    say(session, data, size);
    SAY(session, "\r\n");
}

static void get(struct Session* session, const struct Command* command)
{
    const struct Word* key = &command->words[1];
    const struct Entry* entry = findEntry(key->data, key->size);

    /* The value is stored as its reply: a lookup is one piece of output. */
    if (entry == NULL)
        SAY(session, "$-1\r\n");
    else
        say(session, entry->reply, entry->replySize);
}

static void set(struct Session* session, const struct Command* command)
{
    const struct Word* words = command->words;

    if (setEntry(words[1].data, words[1].size, words[2].data, words[2].size))
        SAY(session, "+OK\r\n");
    else
        SAY(session, "-OOM no memory\r\n");
}

static void ping(struct Session* session, const struct Command* command)
{
    if (command->count > 1)
        sayBulk(session, command->words[1].data, command->words[1].size);
    else
        SAY(session, "+PONG\r\n");
}

static void echo(struct Session* session, const struct Command* command)
{
    sayBulk(session, command->words[1].data, command->words[1].size);
}

static void delete(struct Session* session, const struct Command* command)
{
    if (removeEntry(command->words[1].data, command->words[1].size))
        SAY(session, ":1\r\n");
    else
        SAY(session, ":0\r\n");
}

/* CONFIG GET: whatever is asked for is empty. */
static void configure(struct Session* session, const struct Command* command)
{
    const struct Word* words = command->words;

    if (!is(&words[1], "GET")) {
        SAY(session, "-ERR nothing can be configured\r\n");
        return;
    }
    SAY(session, "*2\r\n");
    sayBulk(session, words[2].data, words[2].size);
    SAY(session, "$0\r\n\r\n");
}

/* COMMAND: redis-cli asks for descriptions and does without. */
static void describe(struct Session* session, const struct Command* command)
{
    (void)command;
    SAY(session, "*0\r\n");
}

static void quit(struct Session* session, const struct Command* command)
{
    (void)command;
    SAY(session, "+OK\r\n");
    endSession(session);
}

static const struct
{
    const char* name;
    size_t least;
    size_t most; /* words, the command's own included */
    void (*answer)(struct Session* session, const struct Command* command);
} commands[] = {
    {"GET", 2, 2, get},       {"SET", 3, 3, set},
    {"PING", 1, 2, ping},     {"ECHO", 2, 2, echo},
    {"DEL", 2, 2, delete},    {"CONFIG", 3, 3, configure},
    {"QUIT", 1, 1, quit},     {"COMMAND", 1, WORD_LIMIT, describe},
};

static void answer(struct Session* session, const struct Command* command)
{
    if (command->count == 0)
        return;
    for (size_t index = 0; index < sizeof(commands) / sizeof(commands[0]); index++) {
        if (!is(&command->words[0], commands[index].name))
            continue;
        if ((command->count < commands[index].least) || (command->count > commands[index].most))
            SAY(session, "-ERR wrong number of arguments\r\n");
        else
            commands[index].answer(session, command);
        return;
    }
    SAY(session, "-ERR unknown command\r\n");
}

static size_t take(struct Session* session, const uint8_t* data, size_t size)
{
    struct Reader reader = {(const char*)data, (const char*)data + size};
    struct Command command;
    size_t used = 0;
    enum Parsed parsed;

    while (!session->ended && (reader.next < reader.end)) {
        parsed = (*reader.next == '*') ? readArray(&reader, &command)
                                       : readWords(&reader, &command);
        if (parsed == PARSED_PART)
            break;
        if (parsed == PARSED_WRONG) {
            SAY(session, "-ERR Protocol error\r\n");
            endSession(session);
            return size;
        }
        used = (size_t)(reader.next - (const char*)data);
        answer(session, &command);
    }
    return used;
}

const struct Service redisService = {.name = "redis", .take = take};
