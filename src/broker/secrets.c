/* SPDX-License-Identifier: MIT */

#include "broker/secrets.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/buffer.h"
#include "util/escape.h"
#include "util/mem.h"

#define SECRETS_ROUNDS_MAX 100000        /* of SHA-crypt, whose usual number is 5000 */
#define SECRETS_BCRYPT_MAX 12            /* of bcrypt: the logarithm of its rounds */
#define SECRETS_MEMORY_MAX (64ull << 20) /* bytes that yescrypt takes; its usual figure is 16 MiB */
#define SECRETS_HASH_MAX   (CRYPT_OUTPUT_SIZE - 1)
#define SECRETS_QUOTE_MAX  100 /* bytes of a name in an error */

struct secrets {
        struct secret *list; /* by name */
        size_t n, cap;
        struct hash_key key;
};

struct parse {
        struct secrets *secrets;
        const char *file;
        FILE *errors;
        unsigned line, n_errors;
        struct buffer quoted;
        unsigned tried; /* bits of the kinds of hashes that were computed once */
};

__attribute__((format(printf, 2, 3))) static void parse_error(struct parse *p, const char *format, ...)
{
        va_list ap;

        if (p->n_errors++ >= SECRETS_ERRORS_MAX)
                return;
        fprintf(p->errors, "%s:", p->file);
        if (p->line)
                fprintf(p->errors, "%u:", p->line);
        fputs(" error: ", p->errors);
        va_start(ap, format);
        vfprintf(p->errors, format, ap);
        va_end(ap);
        fputc('\n', p->errors);
}

/* Return: the text as errors show it, until the next call. */
static const char *parse_quote(struct parse *p, struct bytes text)
{
        buffer_consume(&p->quoted, buffer_size(&p->quoted));
        escape_put(&p->quoted, text, SECRETS_QUOTE_MAX);
        buffer_put(&p->quoted, "", 1);
        return (const char *)buffer_view(&p->quoted).p;
}

/* ------------------------------------------------------------------ hashes */

#define HASH_HOWTO "make one with mkpasswd -m yescrypt, or with openssl passwd -6"

static bool begins(const char *text, const char *with)
{
        return !strncmp(text, with, strlen(with));
}

/* A character of crypt(3)'s base 64; negative: it is none. */
static int hash_digit(char c)
{
        static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        const char *found = c ? strchr(digits, c) : NULL;

        return found ? (int)(found - digits) : -1;
}

/* "$y$j9T$...": flags, logarithm of the blocks less one, size of a block less one. Return: why it is refused.
 */
static const char *hash_refuse_yescrypt(const char *parameters)
{
        int blocks, size;

        if (parameters[0] != 'j' || (blocks = hash_digit(parameters[1])) < 0 ||
            (size = hash_digit(parameters[2])) < 0 || parameters[3] != '$')
                return "has parameters of yescrypt that are not the usual ones; " HASH_HOWTO;
        if (blocks > 40 || (128ull * (unsigned)(size + 1)) << (blocks + 1) > SECRETS_MEMORY_MAX)
                return "would take more than 64 MiB of memory for each verification; use a cost of at most 7";
        return NULL;
}

/* "$2b$12$...". */
static const char *hash_refuse_bcrypt(const char *cost)
{
        if (cost[0] < '0' || cost[0] > '9' || cost[1] < '0' || cost[1] > '9' || cost[2] != '$')
                return "is no hash of bcrypt; " HASH_HOWTO;
        if ((cost[0] - '0') * 10 + cost[1] - '0' > SECRETS_BCRYPT_MAX)
                return "would take too long for each verification; use a cost of at most 12";
        return NULL;
}

/* "$6$rounds=5000$..." or without rounds. */
static const char *hash_refuse_sha(const char *parameters)
{
        char *end;

        if (!begins(parameters, "rounds="))
                return NULL;
        if (parameters[7] < '0' || parameters[7] > '9')
                return "is no hash of SHA-crypt; " HASH_HOWTO;
        if (strtoull(parameters + 7, &end, 10) > SECRETS_ROUNDS_MAX)
                return "would take too long for each verification; use at most 100000 rounds";
        return *end == '$' ? NULL : "is no hash of SHA-crypt; " HASH_HOWTO;
}

/* "$prefix$", what says how and with which salt, "$", and digits at the end. */
static const struct kind {
        const char *prefix;
        size_t n_digits;
        unsigned n_dollars; /* in all, without SHA-crypt's rounds */
        const char *(*refuse)(const char *behind_prefix);
} kinds[] = {
        { "$y$", 43, 4, hash_refuse_yescrypt }, { "$gy$", 43, 4, hash_refuse_yescrypt },
        { "$2a$", 53, 3, hash_refuse_bcrypt },  { "$2b$", 53, 3, hash_refuse_bcrypt },
        { "$2y$", 53, 3, hash_refuse_bcrypt },  { "$5$", 43, 3, hash_refuse_sha },
        { "$6$", 86, 3, hash_refuse_sha },
};

#define KINDS_N (sizeof(kinds) / sizeof(*kinds))

static bool hash_is_whole(const struct kind *kind, const char *hash)
{
        const char *last = strrchr(hash, '$') + 1, *salt = hash + strlen(kind->prefix);
        unsigned n = 0;

        for (const char *c = hash; *c; c++)
                n += *c == '$';
        for (const char *c = last; *c; c++)
                if (hash_digit(*c) < 0)
                        return false;
        return strlen(last) == kind->n_digits && n == kind->n_dollars + begins(salt, "rounds=");
}

/* Hashes a password as the hash was made. Return: 0, SECRETS_E_FAILED. */
static int hash_make(char out[CRYPT_OUTPUT_SIZE], const char *password, const char *hash)
{
        struct crypt_data *data = mem_zalloc(sizeof(*data));
        const char *made = crypt_r(password, hash, data);
        int r = !made || made[0] == '*' ? SECRETS_E_FAILED : 0;

        memset(out, 0, CRYPT_OUTPUT_SIZE);
        if (!r)
                memcpy(out, made, strlen(made));
        explicit_bzero(data, sizeof(*data));
        free(data);
        return r;
}

/* Return: why it is refused; NULL: it is well. *tried: the kinds that are known to work here. */
static const char *hash_refuse(const char *hash, unsigned *tried)
{
        char made[CRYPT_OUTPUT_SIZE];
        const char *why;
        unsigned i = 0;

        while (i < KINDS_N && !begins(hash, kinds[i].prefix))
                i++;
        if (i == KINDS_N)
                return hash[0] == '$' ? "is of a kind that is weak or not known; " HASH_HOWTO
                                      : "is no hash of a password; " HASH_HOWTO;
        why = kinds[i].refuse(hash + strlen(kinds[i].prefix));
        if (why)
                return why;
        if (!hash_is_whole(&kinds[i], hash))
                return "is not whole; " HASH_HOWTO;
        if (!(*tried & 1u << i) && hash_make(made, "", hash))
                return "cannot be computed by the crypt(3) of this machine; use another kind";
        *tried |= 1u << i;
        return NULL;
}

/* Return: whether they are equal; how long it takes depends on nothing. */
static bool hash_equal(const char a[CRYPT_OUTPUT_SIZE], const char b[CRYPT_OUTPUT_SIZE])
{
        volatile uint8_t differ = 0;

        for (size_t i = 0; i < CRYPT_OUTPUT_SIZE; i++)
                differ |= (uint8_t)(a[i] ^ b[i]);
        return differ == 0;
}

/* ------------------------------------------------------------------ lines */

static int secret_compare(const void *one, const void *other)
{
        const struct secret *a = one, *b = other;
        int r = strcmp(a->name, b->name);

        return r ? r : (a->line > b->line) - (a->line < b->line);
}

static char *text_copy(struct bytes text)
{
        char *copy = mem_alloc(text.n + 1);

        memcpy(copy, text.p, text.n);
        copy[text.n] = 0;
        return copy;
}

static uint64_t secrets_mark(const struct secrets *s, struct bytes line)
{
        uint64_t mark = hash_bytes(&s->key, line);

        return mark ? mark : 1;
}

static bool name_is_plain(struct bytes name)
{
        for (size_t i = 0; i < name.n; i++)
                if (name.p[i] < '!' || name.p[i] > '~' || name.p[i] == '"' || name.p[i] == '\\')
                        return false;
        return true;
}

/* A line with a colon. */
static void parse_secret(struct parse *p, struct bytes line, struct bytes name)
{
        struct secrets *s = p->secrets;
        struct bytes hash = bytes_of(name.p + name.n + 1, line.n - name.n - 1);
        const char *why;
        char *copy;

        if (!name.n || name.n > SECRETS_NAME_MAX || !name_is_plain(name)) {
                parse_error(p,
                            "%s is no name; it has 1 to %d bytes of printable ASCII without blanks, quotes, "
                            "colons and backslashes",
                            parse_quote(p, name), SECRETS_NAME_MAX);
                return;
        }
        if (hash.n > SECRETS_HASH_MAX || memchr(hash.p, ':', hash.n) || memchr(hash.p, 0, hash.n)) {
                parse_error(p, "what follows %s: is no hash alone; a line is name:hash", parse_quote(p, name));
                return;
        }
        if (s->n == SECRETS_MAX) {
                parse_error(p, "there are more than %d secrets", SECRETS_MAX);
                return;
        }
        copy = text_copy(hash);
        why = hash_refuse(copy, &p->tried);
        if (why) {
                parse_error(p, "the hash of %s %s", parse_quote(p, name), why);
                free(copy);
                return;
        }
        if (s->n == s->cap) {
                s->cap = s->cap ? 2 * s->cap : 16;
                s->list = mem_realloc(s->list, s->cap * sizeof(*s->list));
        }
        s->list[s->n++] = (struct secret){
                .name = text_copy(name), .hash = copy, .mark = secrets_mark(s, line), .line = p->line
        };
}

static void parse_line(struct parse *p, struct bytes line)
{
        const uint8_t *colon;

        if (!line.n || line.p[0] == '#')
                return;
        if (line.p[line.n - 1] == '\r') {
                parse_error(p, "the line ends with a carriage return; use line ends of Unix");
                return;
        }
        colon = memchr(line.p, ':', line.n);
        if (!colon)
                parse_error(p, "there is no colon; a line is name:hash, or a comment that begins with #");
        else
                parse_secret(p, line, bytes_of(line.p, (size_t)(colon - line.p)));
}

static void parse_lines(struct parse *p, const char *text, size_t n)
{
        const char *end;

        for (; n && p->n_errors < SECRETS_ERRORS_MAX; n -= (size_t)(end - text), text = end) {
                const char *stop = memchr(text, '\n', n);

                end = stop ? stop + 1 : text + n;
                p->line++;
                parse_line(p, bytes_of(text, (size_t)((stop ? stop : end) - text)));
        }
}

static void parse_twins(struct parse *p)
{
        struct secrets *s = p->secrets;

        for (size_t i = 1; i < s->n; i++) {
                if (strcmp(s->list[i - 1].name, s->list[i].name) != 0)
                        continue;
                p->line = s->list[i].line;
                parse_error(p, "%s has a secret already, in line %u; remove one of the two",
                            parse_quote(p, bytes_str(s->list[i].name)), s->list[i - 1].line);
        }
}

int secrets_parse(struct secrets **secretsp, const char *file, const char *text, size_t n,
                  const struct hash_key *key, FILE *errors)
{
        struct parse p = { .secrets = mem_zalloc(sizeof(*p.secrets)), .file = file, .errors = errors };

        p.secrets->key = *key;
        parse_lines(&p, text, n);
        if (p.secrets->n)
                qsort(p.secrets->list, p.secrets->n, sizeof(*p.secrets->list), secret_compare);
        parse_twins(&p);
        buffer_deinit(&p.quoted);
        p.line = 0;
        if (!p.n_errors && !p.secrets->n)
                parse_error(&p, "there is no secret in it; add a line name:hash, or remove the option secrets");
        if (p.n_errors) {
                secrets_free(p.secrets);
                return SECRETS_E_INVALID;
        }
        *secretsp = p.secrets;
        return 0;
}

/* ------------------------------------------------------------------ the file */

/* Answers the error if the file is not one for secrets. */
static bool file_is_private(struct parse *p, int fd, uid_t owner, size_t *sizep)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                parse_error(p, "cannot be looked at: %s", strerror(errno));
        else if (!S_ISREG(st.st_mode))
                parse_error(p, "is no regular file");
        else if (st.st_uid != 0 && st.st_uid != owner)
                parse_error(p, "is owned by uid %u; it has to be owned by uid 0 or %u: chown it", st.st_uid,
                            owner);
        else if (st.st_mode & 07177)
                parse_error(p, "has the mode %04o; others could read it: chmod it to 0600",
                            st.st_mode & 07777u);
        else if (st.st_size > SECRETS_FILE_MAX)
                parse_error(p, "is larger than %d bytes", SECRETS_FILE_MAX);
        else
                *sizep = (size_t)st.st_size;
        return p->n_errors == 0;
}

/* Reads at most size bytes. Return: bytes read, -errno. */
static ssize_t file_read(int fd, char *text, size_t size)
{
        size_t n = 0;
        ssize_t got = 1;

        while (n < size && got) {
                got = read(fd, text + n, size - n);
                if (got < 0 && errno != EINTR)
                        return -errno;
                n += got > 0 ? (size_t)got : 0;
                got = got < 0 ? 1 : got;
        }
        return (ssize_t)n;
}

int secrets_load(struct secrets **secretsp, const char *file, uid_t owner, const struct hash_key *key,
                 FILE *errors)
{
        int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = SECRETS_E_INVALID;
        struct parse p = { .file = file, .errors = errors };
        size_t size = 0;
        ssize_t n;
        char *text;

        if (fd < 0) {
                parse_error(&p, "cannot be opened: %s", strerror(errno));
                return SECRETS_E_INVALID;
        }
        if (file_is_private(&p, fd, owner, &size)) {
                text = mem_alloc(size + 1);
                n = file_read(fd, text, size);
                if (n < 0)
                        parse_error(&p, "cannot be read: %s", strerror((int)-n));
                else
                        r = secrets_parse(secretsp, file, text, (size_t)n, key, errors);
                explicit_bzero(text, size);
                free(text);
        }
        close(fd);
        return r;
}

struct secrets *secrets_free(struct secrets *s)
{
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n; i++) {
                free(s->list[i].name);
                explicit_bzero(s->list[i].hash, strlen(s->list[i].hash));
                free(s->list[i].hash);
        }
        free(s->list);
        free(s);
        return NULL;
}

const struct secret *secrets_list(const struct secrets *s, size_t *np)
{
        *np = s->n;
        return s->list;
}

/* ------------------------------------------------------------------ verifying */

static const struct secret *secrets_find(const struct secrets *s, struct bytes name)
{
        const struct secret *found = NULL;

        for (size_t i = 0; i < s->n; i++)
                if (bytes_equal(name, bytes_str(s->list[i].name)))
                        found = &s->list[i];
        return found;
}

bool secrets_has(const struct secrets *s, struct bytes name)
{
        return secrets_find(s, name) != NULL;
}

/*
 * A name that there is not is verified against the hash of another, always the same one for that name: so
 * unknown names take the times that known ones take, also where hashes of several kinds are in the file.
 */
int secrets_verify(const struct secrets *s, struct bytes name, struct bytes password, uint64_t *markp)
{
        const struct secret *known = secrets_find(s, name);
        const struct secret *one = known ? known : &s->list[hash_bytes(&s->key, name) % s->n];
        char text[SECRETS_PASSWORD_MAX + 1] = "", made[CRYPT_OUTPUT_SIZE], hash[CRYPT_OUTPUT_SIZE] = "";
        bool fits = password.n <= SECRETS_PASSWORD_MAX, equal;
        int r;

        if (fits && password.n) {
                fits = !memchr(password.p, 0, password.n);
                memcpy(text, password.p, password.n);
        }
        memcpy(hash, one->hash, strlen(one->hash));
        r = hash_make(made, text, hash);
        explicit_bzero(text, sizeof(text));
        equal = hash_equal(made, hash);
        explicit_bzero(made, sizeof(made));
        explicit_bzero(hash, sizeof(hash));
        if (r)
                return r;
        if (!known || !fits || !equal)
                return SECRETS_E_WRONG;
        *markp = known->mark;
        return 0;
}
